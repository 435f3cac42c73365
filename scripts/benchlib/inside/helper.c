// What the targets of scripts/bench need of C.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stddef.h>
#include <time.h>

// A heartbeat: a thread that sleeps for a millisecond again and again and notes the
// largest gap between two beats. It needs no GIL and allocates nothing.

static _Atomic int64_t largest_gap_ns;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void *beat(void *unused) {
    const struct timespec pause = {0, 1000000};
    for (int64_t last = now_ns();;) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        int64_t now = now_ns();
        if (now - last > atomic_load(&largest_gap_ns))
            atomic_store(&largest_gap_ns, now - last);
        last = now;
    }
    return unused;
}

int start_heartbeat(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, beat, NULL);
}

// The largest gap since the last call.
int64_t take_gap(void) { return atomic_exchange(&largest_gap_ns, 0); }

// A block and its end between two breakpoints, for a tracer that counts what is
// executed between them.
void counted_pair(void *(*allocate)(size_t), void (*release)(void *), size_t size) {
    __asm__ volatile("int3" ::: "memory");
    release(allocate(size));
    __asm__ volatile("int3" ::: "memory");
}
