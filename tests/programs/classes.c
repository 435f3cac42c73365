/* An allocator that may be interrupted, entered again and left by a jump at any
 * instruction, to be preloaded: free blocks of each power of two are a lock-free
 * list. What a jump abandons is lost, no more.
 *
 *   head = number:16 | address:48       the number changes with every exchange
 *   block: | size | … content, 16-byte aligned
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 16, CLASSES = 28, PAGE = 4096 };

static char arena[1u << 30] __attribute__((aligned(4096)));
static _Atomic size_t used;
static _Atomic uint64_t lists[CLASSES];

static const uint64_t ADDRESS = ((uint64_t)1 << 48) - 1;

static void *pop(_Atomic uint64_t *list) {
    uint64_t head = atomic_load(list);
    for (;;) {
        char *block = (char *)(head & ADDRESS);
        if (!block) return NULL;
        // May be in use by now, and then the exchange fails. Nothing is ever unmapped.
        uint64_t next = *(volatile uint64_t *)block & ADDRESS;
        uint64_t changed = ((head & ~ADDRESS) + ADDRESS + 1) | next;
        if (atomic_compare_exchange_weak(list, &head, changed)) return block;
    }
}

static void push(_Atomic uint64_t *list, void *block) {
    uint64_t head = atomic_load(list), changed;
    do {
        *(volatile uint64_t *)block = head & ADDRESS;
        changed = ((head & ~ADDRESS) + ADDRESS + 1) | (uint64_t)(uintptr_t)block;
    } while (!atomic_compare_exchange_weak(list, &head, changed));
}

static int class_of(size_t size) {
    int class = 5;
    while (((size_t)1 << class) < size) class++;
    return class;
}

static size_t *size_of(void *block) {
    return (size_t *)((char *)block - HEAD);
}

void *malloc(size_t size) {
    int class = size < sizeof arena ? class_of(size) : CLASSES;
    if (class >= CLASSES) {
        errno = ENOMEM;
        return NULL;
    }
    char *block = pop(&lists[class]);
    if (!block) {
        size_t start = atomic_fetch_add(&used, ((size_t)1 << class) + HEAD);
        if (start + ((size_t)1 << class) + HEAD > sizeof arena) abort();
        block = arena + start + HEAD;
    }
    *size_of(block) = size;
    return block;
}

/* Those with an alignment are not used again. */
static void *aligned(size_t alignment, size_t size) {
    size_t start = atomic_fetch_add(&used, (size + alignment + 2 * HEAD) & ~(size_t)15);
    if (start + size + alignment + HEAD > sizeof arena) abort();
    uintptr_t block = ((uintptr_t)arena + start + HEAD + alignment - 1) & ~(alignment - 1);
    *size_of((void *)block) = size | (size_t)1 << 63;
    return (void *)block;
}

size_t malloc_usable_size(void *block) {
    return block ? *size_of(block) & ~((size_t)1 << 63) : 0;
}

void free(void *block) {
    if (block && !(*size_of(block) >> 63)) push(&lists[class_of(*size_of(block))], block);
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    void *block = malloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void *realloc(void *old, size_t size) {
    if (old && size == 0) {
        free(old);
        return NULL;
    }
    void *block = malloc(size);
    if (!block || !old) return block;
    size_t before = malloc_usable_size(old);
    memcpy(block, old, before < size ? before : size);
    free(old);
    return block;
}

void *reallocarray(void *old, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    return realloc(old, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (alignment & (alignment - 1) || alignment < sizeof(void *)) return EINVAL;
    *out = aligned(alignment < 16 ? 16 : alignment, size);
    return 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return aligned(alignment < 16 ? 16 : alignment, size);
}

void *memalign(size_t alignment, size_t size) {
    return aligned(alignment < 16 ? 16 : alignment, size);
}

void *valloc(size_t size) {
    return aligned(PAGE, size);
}

void *pvalloc(size_t size) {
    return aligned(PAGE, (size + PAGE - 1) & ~(size_t)(PAGE - 1));
}
