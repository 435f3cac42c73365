/* Threads, signals, stacks and libraries that come and go: the C half of the
 * workloads. Functions return how much went wrong.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- speed ---- */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* Picoseconds that malloc and free cost in the best of many windows, so short that
 * some are undisturbed. */
uint64_t fastest_pair(void) {
    enum { WINDOWS = 1000, PAIRS = 100 };
    uint64_t best = UINT64_MAX;
    for (int window = 0; window < WINDOWS; window++) {
        uint64_t start = now_ns();
        for (int pair = 0; pair < PAIRS; pair++) {
            void *volatile block = malloc(100);
            free(block);
        }
        uint64_t took = now_ns() - start;
        if (took < best) best = took;
    }
    return best * 1000 / PAIRS;
}

/* ---- blocks whose content is known ---- */

static unsigned char *make(size_t size, unsigned char seed) {
    unsigned char *block = malloc(size);
    memset(block, seed, size);
    block[0] = seed;
    return block;
}

static uint64_t check(const unsigned char *block, size_t size) {
    return (block[size / 2] != block[0]) + (block[size - 1] != block[0]);
}

static uint64_t check_and_free(unsigned char *block, size_t size) {
    uint64_t wrong = block ? check(block, size) : 0;
    free(block);
    return wrong;
}

/* ---- libraries ---- */

uint64_t load_and_unload(const char *path, int rounds) {
    uint64_t wrong = 0;
    for (int round = 0; round < rounds; round++) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        uint64_t (*pair)(void) = library ? (uint64_t(*)(void))dlsym(library, "answer") : NULL;
        wrong += !pair || pair() != 42;
        wrong += !library || dlclose(library);
    }
    return wrong;
}

uint64_t answer(void) {
    return 42;
}

/* ---- a heartbeat ---- */

static _Atomic uint64_t largest_gap_ns;

static void *beat(void *argument) {
    for (uint64_t last = now_ns();;) {
        usleep(1000);
        uint64_t now = now_ns();
        if (now - last > largest_gap_ns) largest_gap_ns = now - last;
        last = now;
    }
    return argument;
}

/* Microseconds between two beats of a thread, the most since the last call; the first one
 * starts it. */
uint64_t take_gap(void) {
    static int is_beating;
    pthread_t thread;
    if (!is_beating++ && pthread_create(&thread, NULL, beat, NULL) == 0) pthread_detach(thread);
    return atomic_exchange(&largest_gap_ns, 0) / 1000;
}

/* ---- threads ---- */

enum { BLOCK = 1000 };

static unsigned char *_Atomic left;
static _Atomic uint64_t wrong_in_threads;

/* Takes what another left, leaves something, allocates and frees. */
static void *live_shortly(void *argument) {
    (void)argument;
    uint64_t wrong = 0;
    for (int round = 1; round <= 20; round++)
        wrong += check_and_free(atomic_exchange(&left, make(BLOCK, (unsigned char)round)), BLOCK);
    atomic_fetch_add(&wrong_in_threads, wrong);
    return NULL;
}

/* `stack` is the size of their stacks, or 0. */
uint64_t start_threads(size_t count, size_t stack) {
    pthread_t threads[64];
    pthread_attr_t attributes;
    uint64_t wrong = count > 64;
    pthread_attr_init(&attributes);
    if (stack) wrong += pthread_attr_setstacksize(&attributes, stack) != 0;
    for (size_t at = 0; at < count; at++) wrong += pthread_create(&threads[at], &attributes, live_shortly, NULL) != 0;
    for (size_t at = 0; at < count; at++) pthread_join(threads[at], NULL);
    pthread_attr_destroy(&attributes);
    return wrong + atomic_exchange(&wrong_in_threads, 0);
}

/* ---- signals ---- */

static _Atomic uint64_t handled_count, wrong_in_handler;
static unsigned char *_Atomic handed;

uint64_t handled(void) {
    return handled_count;
}

static void allocate_in_handler(int number) {
    (void)number;
    wrong_in_handler += check_and_free(atomic_exchange(&handed, make(300, (unsigned char)handled_count)), 300);
    handled_count++;
}

static int start_timer(void) {
    struct itimerval every_ms = {{0, 1000}, {0, 1000}};
    return setitimer(ITIMER_REAL, &every_ms, NULL);
}

int stop_timer(void) {
    struct itimerval never = {{0, 0}, {0, 0}};
    return setitimer(ITIMER_REAL, &never, NULL);
}

enum { ALTERNATE = 64 << 10 };

static unsigned char alternate[ALTERNATE];
static char *forbidden;
static sigjmp_buf after_fault;
static stack_t first;

static void recover(int number) {
    (void)number;
    free(make(500, 1));
    siglongjmp(after_fault, 1);
}

/* `SIGALRM` every millisecond, handled on the alternate stack if asked. */
int start_storm(int on_alternate) {
    struct sigaction action = {.sa_handler = allocate_in_handler, .sa_flags = SA_RESTART | (on_alternate ? SA_ONSTACK : 0)};
    struct sigaction fault = {.sa_handler = recover, .sa_flags = SA_ONSTACK};
    stack_t stack = {.ss_sp = alternate, .ss_size = ALTERNATE};
    if (on_alternate) {
        forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (sigaltstack(&stack, NULL) || sigaction(SIGSEGV, &fault, NULL)) return -1;
    }
    return sigaltstack(NULL, &first) || sigaction(SIGALRM, &action, NULL) || start_timer();
}

/* Whether the alternate stack is the one of the start: ours, Python's own, or none. */
int stack_is_as_ever(void) {
    stack_t stack;
    return sigaltstack(NULL, &stack) == 0 && stack.ss_sp == first.ss_sp && stack.ss_size == first.ss_size && stack.ss_flags == first.ss_flags;
}

static uint64_t churn(int rounds) {
    // Volatile: what was freed must not be found again after a jump.
    static unsigned char *volatile kept[16];
    uint64_t wrong = 0;
    for (int round = 0; round < rounds; round++) {
        unsigned char *volatile *place = &kept[round % 16];
        unsigned char *old = *place;
        *place = NULL;
        wrong += check_and_free(old, 200);
        *place = make(200, (unsigned char)round);
    }
    return wrong;
}

uint64_t churn_under_signals(int rounds) {
    return churn(rounds) + atomic_exchange(&wrong_in_handler, 0);
}

/* Faults, whose handler allocates on the alternate stack and jumps. */
uint64_t fault_and_recover(int rounds) {
    volatile uint64_t wrong = 0;
    for (volatile int round = 0; round < rounds; round++) {
        if (sigsetjmp(after_fault, 1) == 0) {
            *(volatile char *)forbidden = 1;
            wrong++;
        }
    }
    return wrong;
}

static sigjmp_buf start_again;
static volatile sig_atomic_t may_jump;

static void jump(int number) {
    (void)number;
    handled_count++;
    if (may_jump) {
        may_jump = 0;
        siglongjmp(start_again, 1);
    }
}

/* `SIGALRM` every millisecond, whose handler jumps out of whatever it interrupted. */
int start_jumps(void) {
    struct sigaction action = {.sa_handler = jump, .sa_flags = SA_RESTART};
    return sigaction(SIGALRM, &action, NULL) || start_timer();
}

uint64_t churn_under_jumps(int rounds) {
    if (sigsetjmp(start_again, 1) == 0) {
        may_jump = 1;
        churn(rounds);
        may_jump = 0;
    }
    return 0;
}

/* ---- a thread that a signal holds ---- */

static pthread_t catchable;
static int hold[2];
static _Atomic uint64_t caught_at;
static _Atomic int is_over;

static void stay(int number, siginfo_t *info, void *context) {
    char byte;
    (void)number, (void)info;
    caught_at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    while (read(hold[0], &byte, 1) != 1) {}
    caught_at = 0;
}

static void *allocate_on(void *argument) {
    while (!is_over) free(make(100, 1));
    return argument;
}

static int start_catcher(void) {
    struct sigaction action = {.sa_sigaction = stay, .sa_flags = SA_SIGINFO | SA_RESTART};
    return pipe(hold) || sigaction(SIGUSR1, &action, NULL);
}

int start_catchable(void) {
    return start_catcher() || pthread_create(&catchable, NULL, allocate_on, NULL) ? -1 : 0;
}

/* Holds it in a handler; where it was. */
uint64_t catch_thread(void) {
    pthread_kill(catchable, SIGUSR1);
    while (!caught_at) sched_yield();
    return caught_at;
}

int release_thread(void) {
    if (write(hold[1], "x", 1) != 1) return -1;
    while (caught_at) sched_yield();
    return 0;
}

int stop_catchable(void) {
    is_over = 1;
    return pthread_join(catchable, NULL);
}

/* ---- a thread that has loaded a function pointer ---- */

static _Atomic int is_loaded;

/* Keeps what `slot` held in rax, which never reaches memory. */
static void *keep_loaded(void *slot) {
    __asm__ volatile("mov (%2), %%rax\n\t"
                     "movl $1, %0\n"
                     "1: pause\n\t"
                     "cmpl $0, %1\n\t"
                     "je 1b\n\t"
                     "xor %%eax, %%eax"
                     : "=m"(is_loaded)
                     : "m"(is_over), "r"(slot)
                     : "rax", "memory");
    return NULL;
}

/* For `stop_catchable`, like the other. */
int start_loaded(void *slot) {
    if (start_catcher() || pthread_create(&catchable, NULL, keep_loaded, slot)) return -1;
    while (!is_loaded) sched_yield();
    return 0;
}

/* ---- contexts ---- */

enum { CONTEXTS = 4, STACK = 32 << 10 };

struct ring {
    ucontext_t main, contexts[CONTEXTS];
    uint64_t wrong, rounds;
};

static void in_context(unsigned high, unsigned low, int self) {
    struct ring *ring = (struct ring *)((uintptr_t)high << 32 | low);
    for (uint64_t round = 0; round < ring->rounds; round++) {
        unsigned char *block = make(BLOCK, (unsigned char)round);
        swapcontext(&ring->contexts[self], &ring->contexts[(self + 1) % CONTEXTS]);
        ring->wrong += check_and_free(block, BLOCK);
    }
    // The last of them goes back; the others are never continued.
    swapcontext(&ring->contexts[self], &ring->main);
}

/* Contexts on stacks of 32 KiB hand over to each other `rounds` times. */
uint64_t switch_contexts(int rounds) {
    struct ring ring = {.rounds = rounds};
    char *stacks = mmap(NULL, CONTEXTS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int at = 0; at < CONTEXTS; at++) {
        ucontext_t *context = &ring.contexts[at];
        getcontext(context);
        context->uc_stack.ss_sp = stacks + at * STACK;
        context->uc_stack.ss_size = STACK;
        context->uc_link = NULL;
        makecontext(context, (void (*)(void))in_context, 3, (unsigned)((uintptr_t)&ring >> 32), (unsigned)(uintptr_t)&ring, at);
    }
    swapcontext(&ring.main, &ring.contexts[0]);
    // Each of the others waits for its last turn with one block.
    for (int at = 1; at < CONTEXTS; at++) swapcontext(&ring.main, &ring.contexts[at]);
    return ring.wrong + (munmap(stacks, CONTEXTS * STACK) != 0);
}
