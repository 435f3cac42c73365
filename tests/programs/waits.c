/* Threads that wait in the kernel, one in each blocking system call. Nothing wakes
 * them before the end, so a call that returns was interrupted: that is noted, and the
 * call made again.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* An hour. */
static const struct timespec long_time = {.tv_sec = 3600};

static int pipe_end(int writes) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) abort();
    return ends[writes];
}

static int socket_end(int type) {
    int ends[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends)) abort();
    return ends[0];
}

static int listener(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un_short { sa_family_t family; } any = {AF_UNIX};
    // Without a name the kernel chooses one.
    if (bind(fd, (struct sockaddr *)&any, sizeof any) || listen(fd, 1)) abort();
    return fd;
}

static int with_timeout(int fd) {
    struct timeval timeout = {.tv_sec = 3600};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout)) abort();
    return fd;
}

/* ---- the calls: `fd` is the result of the call's own preparation ---- */

static long wait_read(int fd) { char byte; return read(fd, &byte, 1); }
static long wait_read_word(int fd) { uint64_t word; return read(fd, &word, 8); }
static long wait_write(int fd) { static char page[1 << 17]; return write(fd, page, sizeof page); }
static long wait_accept(int fd) { return accept(fd, NULL, NULL); }
static long wait_recv(int fd) { char byte; return recv(fd, &byte, 1, 0); }
static long wait_recvmsg(int fd) { struct msghdr message = {0}; return recvmsg(fd, &message, 0); }
static long wait_poll(int fd) { struct pollfd in = {fd, POLLIN, 0}; return poll(&in, 1, -1); }
static long wait_poll_timed(int fd) { struct pollfd in = {fd, POLLIN, 0}; return poll(&in, 1, 3600000); }
static long wait_epoll(int fd) { struct epoll_event event; return epoll_wait(fd, &event, 1, -1); }
static long wait_nanosleep(int fd) { (void)fd; return nanosleep(&long_time, NULL); }
static long wait_pause(int fd) { (void)fd; return pause(); }
static long wait_waitid(int fd) { (void)fd; return waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED); }
static long wait_flock(int fd) { return flock(fd, LOCK_EX); }
static long wait_msgrcv(int fd) { struct { long type; char text[8]; } message; return msgrcv(fd, &message, 8, 0, 0); }
static long wait_semop(int fd) { struct sembuf down = {0, -1, 0}; return semop(fd, &down, 1); }
static long wait_semtimedop(int fd) { struct sembuf down = {0, -1, 0}; return semtimedop(fd, &down, 1, &long_time); }

static long wait_select(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, NULL);
}

static long wait_clock_nanosleep(int fd) {
    (void)fd;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 3600;
    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
    return errno ? -1 : 0;
}

static long wait_futex(int fd) {
    (void)fd;
    static int word;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static long wait_futex_timed(int fd) {
    (void)fd;
    static int word;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &long_time, NULL, 0);
}

static long wait_sigtimedwait(int fd) {
    (void)fd;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMAX);
    return sigtimedwait(&set, NULL, &long_time);
}

static long wait_sigsuspend(int fd) {
    (void)fd;
    sigset_t set;
    sigemptyset(&set);
    return sigsuspend(&set);
}

static long wait_fcntl(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLKW, &lock);
}

static aio_context_t context;

static long wait_io_getevents(int fd) {
    (void)fd;
    struct io_event event;
    return syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
}

static int no_fd(void) { return -1; }
static int empty_pipe(void) { return pipe_end(0); }
static int full_pipe(void) { return pipe_end(1); }
static int stream(void) { return socket_end(SOCK_STREAM); }
static int stream_timed(void) { return with_timeout(socket_end(SOCK_STREAM)); }
static int listener_timed(void) { return with_timeout(listener()); }
static int datagram(void) { return socket_end(SOCK_DGRAM); }
static int empty_epoll(void) { return epoll_create1(EPOLL_CLOEXEC); }
static int empty_event(void) { return eventfd(0, EFD_CLOEXEC); }
static int idle_timer(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); }
static int idle_inotify(void) { return inotify_init1(IN_CLOEXEC); }

/* A file that is locked through another description. */
static int locked_file(void) {
    char path[] = "locked-XXXXXX";
    int holder = mkostemp(path, O_CLOEXEC), fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (holder < 0 || fd < 0 || flock(holder, LOCK_EX) || fcntl(holder, F_OFD_SETLK, &lock)) abort();
    unlink(path);
    return fd;
}

static int semaphore, queue;

static int own_semaphore(void) { return semaphore; }
static int own_queue(void) { return queue; }

/* A mapping of the process: made before the first look at them. */
static int own_context(void) {
    if (syscall(SYS_io_setup, 1, &context)) abort();
    return -1;
}

static pid_t child;

/* A child that ends when its parent does. */
static int living_child(void) {
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC)) abort();
    child = fork();
    if (child == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) != 0);
    }
    close(ends[0]);
    return -1;
}

static struct wait {
    const char *name;
    int (*prepare)(void);
    long (*call)(int);
    pthread_t thread;
    int fd;
    _Atomic int interrupted, wrong;
} waits[] = {
    {"read", empty_pipe, wait_read},
    {"write", full_pipe, wait_write},
    {"read of an eventfd", empty_event, wait_read_word},
    {"read of a timerfd", idle_timer, wait_read_word},
    {"read of inotify", idle_inotify, wait_read},
    {"accept", listener, wait_accept},
    {"accept with a timeout", listener_timed, wait_accept},
    {"recv", stream, wait_recv},
    {"recv with a timeout", stream_timed, wait_recv},
    {"recvmsg", datagram, wait_recvmsg},
    {"poll", empty_pipe, wait_poll},
    {"poll with a timeout", empty_pipe, wait_poll_timed},
    {"select", empty_pipe, wait_select},
    {"epoll_wait", empty_epoll, wait_epoll},
    {"futex", no_fd, wait_futex},
    {"futex with a timeout", no_fd, wait_futex_timed},
    {"nanosleep", no_fd, wait_nanosleep},
    {"clock_nanosleep", no_fd, wait_clock_nanosleep},
    {"pause", no_fd, wait_pause},
    {"sigtimedwait", no_fd, wait_sigtimedwait},
    {"sigsuspend", no_fd, wait_sigsuspend},
    {"waitid", living_child, wait_waitid},
    {"flock", locked_file, wait_flock},
    {"fcntl", locked_file, wait_fcntl},
    {"semop", own_semaphore, wait_semop},
    {"semtimedop", own_semaphore, wait_semtimedop},
    {"msgrcv", own_queue, wait_msgrcv},
    {"io_getevents", own_context, wait_io_getevents},
};

enum { COUNT = sizeof waits / sizeof *waits };

static _Atomic int ending;

static void wake(int number) { (void)number; }

static void *go_on_waiting(void *argument) {
    struct wait *own = argument;
    while (!ending) {
        long result = own->call(own->fd);
        if (ending) break;
        // Only the first write finds room.
        if (result >= 0 && own->call == wait_write) continue;
        if (result < 0 && errno == EINTR) own->interrupted++;
        else own->wrong++;
    }
    return NULL;
}

int start_waits(void) {
    struct sigaction action = {.sa_handler = wake};
    semaphore = semget(IPC_PRIVATE, 1, 0600), queue = msgget(IPC_PRIVATE, 0600);
    if (sigaction(SIGUSR2, &action, NULL) || semaphore < 0 || queue < 0) return -1;
    for (int at = 0; at < COUNT; at++) waits[at].fd = waits[at].prepare();
    for (int at = 0; at < COUNT; at++)
        if (pthread_create(&waits[at].thread, NULL, go_on_waiting, &waits[at])) return -1;
    return 0;
}

/* The calls that returned EINTR, as `read;accept`. */
const char *interrupted(void) {
    static char text[2048];
    text[0] = 0;
    for (int at = 0; at < COUNT; at++) {
        if (!waits[at].interrupted) continue;
        if (text[0]) strcat(text, ";");
        strcat(text, waits[at].name);
    }
    return text;
}

/* Ends them all; how many returned something else than EINTR. */
int stop_waits(void) {
    int wrong = 0;
    struct timespec moment = {.tv_nsec = 1000000};
    ending = 1;
    for (int at = 0; at < COUNT; at++) {
        // One that has not begun to wait yet is interrupted the next time.
        while (pthread_kill(waits[at].thread, SIGUSR2), pthread_tryjoin_np(waits[at].thread, NULL))
            nanosleep(&moment, NULL);
        wrong += waits[at].wrong;
    }
    semctl(semaphore, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    syscall(SYS_io_destroy, context);
    kill(child, SIGKILL);
    return wrong + (waitpid(child, NULL, 0) != child);
}

/* ---- a thread that takes every return of epoll_wait for an event ---- */

static pthread_t poller;
static int poller_epoll, poller_event;
static _Atomic int poller_wrong;

static void *poll_without_retry(void *argument) {
    struct epoll_event event;
    if (epoll_wait(poller_epoll, &event, 1, -1) != 1 || event.data.fd != poller_event) poller_wrong++;
    return argument;
}

int start_poller(void) {
    poller_epoll = epoll_create1(EPOLL_CLOEXEC), poller_event = eventfd(0, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = poller_event};
    if (epoll_ctl(poller_epoll, EPOLL_CTL_ADD, poller_event, &event)) return -1;
    return pthread_create(&poller, NULL, poll_without_retry, NULL);
}

/* 0 if it saw its event and nothing else. */
int stop_poller(void) {
    uint64_t one = 1;
    if (write(poller_event, &one, 8) != 8) return -1;
    pthread_join(poller, NULL);
    return poller_wrong;
}
