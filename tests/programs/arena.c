/* Another allocator, to be preloaded: takes from one arena and gives nothing back.
 * What is fresh is zero, and every block has its size in front of it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 16, PAGE = 4096 };

static char arena[1 << 30] __attribute__((aligned(4096)));
static _Atomic size_t used, freed;

static void *take(size_t alignment, size_t size) {
    if (size > sizeof arena / 4) {
        errno = ENOMEM;
        return NULL;
    }
    size_t room = size + alignment + HEAD;
    size_t start = atomic_fetch_add(&used, (room + 15) & ~(size_t)15);
    if (start + room > sizeof arena) abort();
    uintptr_t block = ((uintptr_t)arena + start + HEAD + alignment - 1) & ~(alignment - 1);
    ((size_t *)block)[-1] = size;
    return (void *)block;
}

void *malloc(size_t size) {
    return take(16, size);
}

void free(void *p) {
    if (p) atomic_fetch_add(&freed, ((size_t *)p)[-1]);
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    return take(16, bytes);
}

void *realloc(void *old, size_t size) {
    if (old && size == 0) return NULL;
    char *p = take(16, size);
    if (!p || !old) return p;
    size_t before = ((size_t *)old)[-1];
    return memcpy(p, old, before < size ? before : size);
}

void *reallocarray(void *old, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    return realloc(old, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (alignment & (alignment - 1) || alignment < sizeof(void *)) return EINVAL;
    void *p = take(alignment, size);
    if (!p) return ENOMEM;
    *out = p;
    return 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return take(alignment, size);
}

void *memalign(size_t alignment, size_t size) {
    return take(alignment < 16 ? 16 : alignment, size);
}

void *valloc(size_t size) {
    return take(PAGE, size);
}

void *pvalloc(size_t size) {
    return take(PAGE, (size + PAGE - 1) & ~(size_t)(PAGE - 1));
}

size_t malloc_usable_size(void *p) {
    return p ? ((size_t *)p)[-1] : 0;
}
