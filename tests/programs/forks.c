/* Forks by a signal handler, in the middle of whatever it interrupts. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 310001, MAPPING = 331776, MOST = 4096 };

static volatile int forks, wanted;
static pid_t children[MOST];

static void fork_here(int number) {
    (void)number;
    if (forks >= wanted) return;
    pid_t pid = _Fork();
    if (pid != 0) {
        children[forks++] = pid;
        return;
    }
    /* The child's two events; nothing that takes a lock may be called here. */
    void *mapping = mmap(NULL, MAPPING, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    _exit(mapping == MAP_FAILED || munmap(mapping, MAPPING));
}

/* So many forks while blocks of BLOCK bytes come and go. How many blocks there were; -1 if
 * something failed. */
long churn_with_forks(int count) {
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    struct itimerval soon = {{0, 0}, {0, 30}};
    long blocks = 0;
    int begun = -1;
    wanted = count < MOST ? count : MOST;
    if (sigaction(SIGALRM, &action, NULL)) return -1;
    for (; forks < wanted; blocks++) {
        /* Each signal is asked for here: one that waits when a handler returns would come at
         * the place of the one before. */
        if (begun != forks) {
            begun = forks;
            if (setitimer(ITIMER_REAL, &soon, NULL)) return -1;
        }
        void *volatile block = malloc(BLOCK);
        free(block);
    }
    for (int n = 0; n < forks; n++) {
        int status;
        if (waitpid(children[n], &status, 0) != children[n] || status != 0) return -1;
    }
    return blocks;
}
