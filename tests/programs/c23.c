/* The sized frees of C23, for C libraries that do not have them. */

#include <stdlib.h>

void free_sized(void *p, size_t size) {
    (void)size;
    free(p);
}

void free_aligned_sized(void *p, size_t alignment, size_t size) {
    (void)alignment, (void)size;
    free(p);
}
