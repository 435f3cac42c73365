// Allocations that can be told from all others: by valloc, which nobody else calls. In a
// library of its own, because Memray sees only what goes through the import table of a
// library.

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

void *mark(size_t size) { return valloc(size); }
void *again(void *block, size_t size) { return realloc(block, size); }
void give_back(void *block) { free(block); }
void *map(size_t size) { return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
void *map_over(void *at, size_t size) {
    return mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
void *remap(void *at, size_t old_size, size_t size) { return mremap(at, old_size, size, MREMAP_MAYMOVE); }
int unmap(void *at, size_t size) { return munmap(at, size); }
