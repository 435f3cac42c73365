/* An allocator whose free takes long, to be preloaded. There is one block of HELD bytes:
 * whoever wants it waits until it was freed, and who freed it returns when somebody has
 * it again, or after a while. All other blocks are libc's.
 */

#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <sched.h>

enum { HELD = 48123, PATIENCE = 200 };

extern void *__libc_malloc(size_t);
extern void __libc_free(void *);

static char block[HELD];
static _Atomic int holders;
/* How often the block was taken. */
static _Atomic unsigned taken;

static void *take(void) {
    int none = 0;
    while (!atomic_compare_exchange_weak(&holders, &none, 1)) {
        none = 0;
        sched_yield();
    }
    atomic_fetch_add(&taken, 1);
    return block;
}

static void give(void) {
    unsigned before = atomic_load(&taken);
    atomic_store(&holders, 0);
    for (int yields = 0; yields < PATIENCE && atomic_load(&taken) == before; yields++) sched_yield();
}

void *malloc(size_t size) {
    return size == HELD ? take() : __libc_malloc(size);
}

void free(void *p) {
    if (p == block) give();
    else __libc_free(p);
}
