/* Allocations whose native stacks are known: each is made where the C library was
   asked for its own. */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))
#define MOST 16384

static FILE *out;

/* What backtrace() needs is loaded at its first use. */
int open_backtraces(const char *path)
{
    void *pcs[4];
    backtrace(pcs, 4);
    out = fopen(path, "w");
    return out != NULL;
}

static void note(size_t size, void **pcs, int count)
{
    fprintf(out, "%zu", size);
    for (int i = 0; i < count; i++) {
        Dl_info info = {0};
        dladdr((char *)pcs[i] - 1, &info);
        fprintf(out, " %lx=%s", (unsigned long)pcs[i], info.dli_sname ? info.dli_sname : "?");
    }
    fprintf(out, "\n");
    fflush(out);
}

NOINLINE void marked(size_t size)
{
    static __thread void *pcs[MOST];
    int count = backtrace(pcs, MOST);
    void *block = malloc(size);
    note(size, pcs, count);
    free(block);
}

NOINLINE void middle(size_t size)
{
    marked(size);
    __asm__ volatile("" ::: "memory");
}

/* Two callers of one function, whose frame is where it was and goes on where it did. */
NOINLINE void by_one(size_t size)
{
    middle(size);
    __asm__ volatile("" ::: "memory");
}

NOINLINE void by_another(size_t size)
{
    middle(size);
    __asm__ volatile("" ::: "memory");
}

/* A frame of a size that only rbp knows. */
NOINLINE void sized(size_t size, size_t room)
{
    char *bytes = alloca(room);
    memset(bytes, 1, room);
    middle(size);
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

/* Unlike `marked` it asks nobody, so it may stand in any place. */
NOINLINE void quiet(size_t size)
{
    free(malloc(size));
}

NOINLINE void call_back(void (*function)(void))
{
    function();
    __asm__ volatile("" ::: "memory");
}

static void *run_marked(void *size)
{
    middle((size_t)size);
    return NULL;
}

static void *run_callback(void *function)
{
    call_back((void (*)(void))function);
    return NULL;
}

static void in_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) == 0)
        pthread_join(thread, NULL);
}

void thread_marked(size_t size)
{
    in_thread(run_marked, (void *)size);
}

void thread_callback(void (*function)(void))
{
    in_thread(run_callback, (void *)function);
}

static size_t handled_size;

static void handler(int number)
{
    (void)number;
    middle(handled_size);
}

/* So many that a new chunk is begun there. */
static void handler_elsewhere(int number)
{
    (void)number;
    quiet(handled_size);
    for (int i = 0; i < 10000; i++)
        quiet(40);
}

static void raised(size_t size, void (*function)(int), int flags)
{
    struct sigaction action = {0}, before;
    action.sa_handler = function;
    action.sa_flags = flags;
    handled_size = size;
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &before, NULL);
}

NOINLINE void signal_marked(size_t size)
{
    raised(size, handler, 0);
    __asm__ volatile("" ::: "memory");
}

/* On a stack of the handler's own. */
NOINLINE void signal_elsewhere(size_t size)
{
    size_t bytes = 64 << 10;
    stack_t stack = {.ss_sp = malloc(bytes), .ss_size = bytes}, before;
    sigaltstack(&stack, &before);
    raised(size, handler_elsewhere, SA_ONSTACK);
    sigaltstack(&before, NULL);
    free(stack.ss_sp);
}
