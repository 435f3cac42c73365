/* Known allocations, by every function and from any thread.
 *
 * Each `do_*` performs one call and notes it in the lane of its caller: kind,
 * thread, addresses, sizes. The lanes lie in a file that the test shares (its
 * layout is described in tests/it/dsl/oplog.rs), so what was done before a
 * SIGKILL is known. A call that failed, or had nothing to do, is not noted.
 *
 * Python calls these through ctypes. A lane is used by one thread at a time.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LANE_OPS = 8192, LANES_MAX = 64 };

struct op {
    char kind[16];
    uint32_t tid, pad;
    uint64_t addr, old_addr, size, old_size;
};

struct lane {
    _Atomic uint64_t count;
    uint64_t pad[7];
    struct op ops[LANE_OPS];
};

static struct lane *lanes;

/* ---- the log ---- */

int open_log(const char *path, int count) {
    size_t bytes = sizeof(struct lane) * count;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, bytes)) return -1;
    lanes = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return lanes == MAP_FAILED ? -1 : 0;
}

static void note(int lane, const char *kind, void *addr, void *old, size_t size, size_t old_size) {
    struct lane *own = &lanes[lane];
    uint64_t count = atomic_load_explicit(&own->count, memory_order_relaxed);
    if (count < LANE_OPS) {
        struct op *op = &own->ops[count];
        strncpy(op->kind, kind, sizeof op->kind - 1);
        op->tid = (uint32_t)syscall(SYS_gettid);
        op->addr = (uint64_t)(uintptr_t)addr;
        op->old_addr = (uint64_t)(uintptr_t)old;
        op->size = size;
        op->old_size = old_size;
    }
    atomic_store_explicit(&own->count, count + 1, memory_order_release);
}

/* ---- one call each ---- */

void *do_malloc(int lane, size_t size) {
    void *p = malloc(size);
    note(lane, "malloc", p, NULL, size, 0);
    return p;
}

void *do_calloc(int lane, size_t count, size_t size) {
    void *p = calloc(count, size);
    note(lane, "calloc", p, NULL, count * size, 0);
    return p;
}

void *do_realloc(int lane, void *old, size_t size) {
    void *volatile before = old;
    void *p = realloc(old, size);
    note(lane, "realloc", p, before, size, 0);
    return p;
}

void *do_reallocarray(int lane, void *old, size_t count, size_t size) {
    void *volatile before = old;
    void *p = reallocarray(old, count, size);
    note(lane, "reallocarray", p, before, count * size, 0);
    return p;
}

void *do_posix_memalign(int lane, size_t alignment, size_t size) {
    void *p = NULL;
    if (posix_memalign(&p, alignment, size)) abort();
    note(lane, "posix_memalign", p, NULL, size, 0);
    return p;
}

void *do_aligned_alloc(int lane, size_t alignment, size_t size) {
    void *p = aligned_alloc(alignment, size);
    note(lane, "aligned_alloc", p, NULL, size, 0);
    return p;
}

/* Two names of one function are one kind, under the lower of the names. */
void *do_memalign(int lane, size_t alignment, size_t size) {
    void *p = memalign(alignment, size);
    int same = (void *)memalign == (void *)aligned_alloc;
    note(lane, same ? "aligned_alloc" : "memalign", p, NULL, size, 0);
    return p;
}

void *do_valloc(int lane, size_t size) {
    void *p = valloc(size);
    note(lane, "valloc", p, NULL, size, 0);
    return p;
}

void *do_pvalloc(int lane, size_t size) {
    void *p = pvalloc(size);
    note(lane, "pvalloc", p, NULL, size, 0);
    return p;
}

void do_free(int lane, void *p) {
    note(lane, "free", p, NULL, 0, 0);
    free(p);
}

/* C23's frees: glibc has them from 2.43 on, and c23.c for all others. */
void free_sized(void *, size_t) __attribute__((weak));
void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

int has_sized_frees(void) {
    return free_sized && free_aligned_sized;
}

void do_free_sized(int lane, void *p, size_t size) {
    note(lane, "free", p, NULL, 0, 0);
    free_sized(p, size);
}

void do_free_aligned_sized(int lane, void *p, size_t alignment, size_t size) {
    note(lane, "free", p, NULL, 0, 0);
    free_aligned_sized(p, alignment, size);
}

void *do_mmap(int lane, size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    note(lane, "mmap", p, NULL, size, 0);
    return p;
}

/* glibc's mmap64 is its mmap. */
void *do_mmap64(int lane, size_t size) {
    void *p = mmap64(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    note(lane, "mmap", p, NULL, size, 0);
    return p;
}

void *do_mmap_stack(int lane, size_t size) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    note(lane, "thread_stack", p, NULL, size, 0);
    return p;
}

/* Over a live mapping: the kernel unmaps what was there. */
void *do_mmap_over(int lane, char *old, size_t offset, size_t size) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    void *p = mmap(old + offset, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    note(lane, "mmap", p, NULL, size, 0);
    return p;
}

void do_munmap(int lane, char *base, size_t offset, size_t size) {
    note(lane, "munmap", base + offset, NULL, size, 0);
    if (munmap(base + offset, size)) abort();
}

void *do_mremap(int lane, void *old, size_t old_size, size_t size) {
    void *p = mremap(old, old_size, size, MREMAP_MAYMOVE);
    note(lane, "mremap", p, old, size, old_size);
    return p;
}

/* ---- calls that fail, or that are something else than they seem ---- */

static volatile size_t huge = (size_t)1 << 62;

/* Nothing is allocated or freed: the old block stays. 0 if so. */
int failing_realloc(void *p) {
    return realloc(p, huge) != NULL || errno != ENOMEM;
}

int failing_malloc(void) {
    return malloc(huge) != NULL;
}

int failing_calloc(void) {
    return calloc(huge, 8) != NULL;
}

int failing_posix_memalign(void) {
    void *p = NULL;
    return posix_memalign(&p, 64, huge) == 0 || posix_memalign(&p, 3, 100) == 0;
}

int failing_aligned_allocs(void) {
    return aligned_alloc(64, huge) != NULL || memalign(64, huge) != NULL || valloc(huge) != NULL ||
           pvalloc(huge) != NULL || reallocarray(NULL, huge, 8) != NULL;
}

int failing_munmap(char *p) {
    return munmap(p + 1, 4096) != -1;
}

int failing_mremap(char *p) {
    return mremap(p + 1, 4096, 8192, 0) != MAP_FAILED;
}

int failing_mmap(void) {
    return mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

/* glibc frees the block and returns NULL. */
int realloc_to_nothing(int lane, void *p) {
    note(lane, "free", p, NULL, 0, 0);
    return realloc(p, 0) != NULL;
}

/* The hooks must leave errno alone. 0 if they do. */
int errno_survives(void) {
    errno = 12345;
    free(malloc(100));
    return errno != 12345;
}

/* ---- a table of function pointers, stored at run time ---- */

static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
} *volatile table;

void store_table(void) {
    table = malloc(sizeof *table);
    table->malloc = malloc;
    table->free = free;
}

void *table_malloc(int lane, size_t size) {
    void *p = table->malloc(size);
    note(lane, "malloc", p, NULL, size, 0);
    return p;
}

void table_free(int lane, void *p) {
    note(lane, "free", p, NULL, 0, 0);
    table->free(p);
}

/* ---- many threads, blocks that change hands ---- */

static void *_Atomic mailbox[LANES_MAX];

/* Hands each block to the next lane, frees what the one before handed over. */
void storm(int lane, int count, int rounds, size_t size) {
    for (int round = 0; round < rounds; round++) {
        void *p;
        switch (round & 3) {
        case 0: p = do_malloc(lane, size); break;
        case 1: p = do_calloc(lane, 1, size); break;
        case 2: p = do_realloc(lane, do_malloc(lane, size), size + 64); break;
        default: p = do_aligned_alloc(lane, 64, size); break;
        }
        memset(p, lane, size);
        void *unread = atomic_exchange(&mailbox[(lane + 1) % count], p);
        if (unread) do_free(lane, unread);
        void *mine = atomic_exchange(&mailbox[lane], NULL);
        if (mine) do_free(lane, mine);
    }
}

void empty_mailboxes(int lane) {
    for (int at = 0; at < LANES_MAX; at++) {
        void *p = atomic_exchange(&mailbox[at], NULL);
        if (p) do_free(lane, p);
    }
}

/* ---- threads that Python did not start ---- */

struct job {
    int lane;
    size_t size;
    void (*callback)(void);
    pthread_t self;
};

static void *allocate(void *argument) {
    struct job *job = argument;
    do_free(job->lane, do_malloc(job->lane, job->size));
    return NULL;
}

static void *call_back(void *argument) {
    ((struct job *)argument)->callback();
    return NULL;
}

static void in_a_thread(void *(*run)(void *), struct job *job) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, job)) abort();
    pthread_join(thread, NULL);
}

/* A thread with no Python state. */
void in_c_thread(int lane, size_t size) {
    in_a_thread(allocate, &(struct job){.lane = lane, .size = size});
}

static void *note_self(void *argument) {
    struct job *job = argument;
    allocate(job);
    job->self = pthread_self();
    return NULL;
}

/* Threads one after the other. How many had the thread pointer of the one before. */
int in_c_threads(int lane, int count, size_t size) {
    int recycled = 0;
    pthread_t previous = 0;
    for (int at = 0; at < count; at++) {
        struct job job = {.lane = lane, .size = size + 2 * at};
        in_a_thread(note_self, &job);
        recycled += job.self == previous;
        previous = job.self;
    }
    return recycled;
}

/* A thread that enters Python: ctypes does PyGILState_Ensure and _Release. */
void callback_in_c_thread(void (*callback)(void)) {
    in_a_thread(call_back, &(struct job){.callback = callback});
}

void callback_here(void (*callback)(void)) {
    callback();
}

static struct job wanted;
static sem_t begin, done;

static void *serve(void *argument) {
    pthread_setname_np(pthread_self(), "test worker");
    for (;;) {
        while (sem_wait(&begin)) {}
        allocate(&wanted);
        sem_post(&done);
    }
    return argument;
}

/* A C thread that lives on. */
void start_worker(void) {
    pthread_t thread;
    sem_init(&begin, 0, 0);
    sem_init(&done, 0, 0);
    if (pthread_create(&thread, NULL, serve, NULL)) abort();
    pthread_detach(thread);
}

void ask_worker(int lane, size_t size) {
    wanted = (struct job){.lane = lane, .size = size};
    sem_post(&begin);
    while (sem_wait(&done)) {}
}

/* ---- load that checks itself ---- */

enum { SLOTS = 512 };

struct block {
    uint64_t size, seed;
    unsigned char bytes[];
};

static struct block *_Atomic slots[SLOTS];

static uint64_t check(struct block *block) {
    uint64_t wrong = 0;
    for (uint64_t at = 0; at < block->size; at += 97) wrong += block->bytes[at] != (unsigned char)(block->seed + at);
    wrong += block->bytes[block->size - 1] != (unsigned char)(block->seed + block->size - 1);
    return wrong;
}

static void fill(struct block *block, uint64_t size, uint64_t seed) {
    block->size = size;
    block->seed = seed;
    for (uint64_t at = 0; at < size; at += 97) block->bytes[at] = (unsigned char)(seed + at);
    block->bytes[size - 1] = (unsigned char)(seed + size - 1);
}

/* Allocates, hands over through shared slots, checks and frees. The number of
 * bytes that were not what they had to be. */
uint64_t checked_load(uint64_t *random, uint64_t rounds) {
    uint64_t wrong = 0, x = *random;
    for (uint64_t round = 0; round < rounds; round++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint64_t size = 1 + x % (x & 0x1000 ? 4000 : 200);
        struct block *block;
        if (x & 0x2000) {
            block = calloc(1, sizeof *block + size);
            for (uint64_t at = 0; at < size; at++) wrong += block->bytes[at] != 0;
        } else {
            block = malloc(sizeof *block + size);
        }
        fill(block, size, x);
        if (x & 0x4000) {
            block = realloc(block, sizeof *block + 2 * size);
            wrong += check(block);
        }
        block = atomic_exchange(&slots[(x >> 32) % SLOTS], block);
        if (block) {
            wrong += check(block);
            free(block);
        }
        if ((x & 0xff0000) == 0) {
            char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            wrong += map[100] != 0;
            map[100] = 1;
            munmap(map, 8192);
        }
    }
    *random = x;
    return wrong;
}

/* ---- idling ---- */

/* Returns when stdin has something, without ever blocking. */
void spin_until_input(void) {
    struct pollfd in = {.fd = 0, .events = POLLIN};
    while (poll(&in, 1, 0) == 0) {}
}

/* Returns when stdin has something. */
void block_until_input(void) {
    struct pollfd in = {.fd = 0, .events = POLLIN};
    while (poll(&in, 1, -1) != 1) {}
}
