/* Threads that allocate as fast as they can, and count what they do and how long it
   takes them. Every one of their calls is counted: they do nothing else. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 64
#define SIZE 30000
/* An allocation or a free that takes its thread more time of a processor than this was
   held up. */
#define HELD_UP_NS 200000

struct lane {
    _Atomic uint64_t tid, allocations, frees, held_up_ns;
    _Atomic int ended;
    void *blocks[SLOTS];
    uint64_t state;
};

static struct lane lanes[64];
static int count;
static _Atomic int going, halting;

static uint64_t own_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void change(struct lane *lane, int at) {
    void **block = &lane->blocks[at];
    if (*block == NULL) {
        *block = lane->state & 1 << 20 ? malloc(SIZE + at) : calloc(1, SIZE + at);
        lane->allocations++;
    } else if (lane->state & 1 << 21) {
        *block = realloc(*block, SIZE + at + (lane->state >> 40 & 255));
        lane->allocations++;
    } else {
        free(*block);
        *block = NULL;
        lane->frees++;
    }
}

static void *run(void *argument) {
    struct lane *lane = argument;
    lane->tid = gettid();
    while (!going)
        usleep(1000);
    uint64_t before = own_ns();
    while (!halting) {
        lane->state = lane->state * 6364136223846793005ull + 1442695040888963407ull;
        change(lane, lane->state >> 58);
        uint64_t now = own_ns();
        if (now - before > HELD_UP_NS)
            lane->held_up_ns += now - before;
        before = now;
    }
    for (int at = 0; at < SLOTS; at++)
        if (lane->blocks[at] != NULL) {
            free(lane->blocks[at]);
            lane->blocks[at] = NULL;
            lane->frees++;
        }
    /* Slowly, so that there is room for the last of what was lost to be told. */
    for (int rest = 0; rest < 200; rest++) {
        usleep(2000);
        void *block = malloc(SIZE);
        lane->allocations++;
        usleep(2000);
        free(block);
        lane->frees++;
    }
    lane->ended = 1;
    for (;;)
        pause();
}

void counts_start(int threads) {
    count = threads;
    for (int at = 0; at < threads; at++) {
        pthread_t thread;
        lanes[at].state = at + 1;
        pthread_create(&thread, NULL, run, &lanes[at]);
        pthread_detach(thread);
    }
}

void counts_go(void) { going = 1; }

void counts_halt(void) {
    halting = 1;
    for (int at = 0; at < count; at++)
        while (!lanes[at].ended)
            usleep(1000);
}

/* Which: 0 tid, 1 allocations, 2 frees, 3 nanoseconds held up. */
uint64_t counts_of(int at, int which) {
    struct lane *lane = &lanes[at];
    _Atomic uint64_t *fields[] = {&lane->tid, &lane->allocations, &lane->frees, &lane->held_up_ns};
    return *fields[which];
}
