// A process to be detoured: it does what it is told on standard input, line by
// line, and answers each line with one of its own. Its load checks itself.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORKERS = 8, BLOCKS = 64, PAGE = 4096, ROUNDS = 100 };

static atomic_ulong rounds, faults;
static atomic_int stopping;
static pthread_t workers[WORKERS];

static void check(int holds) {
  if (!holds)
    atomic_fetch_add(&faults, 1);
}

static int aligned(void *block, uintptr_t to) { return (uintptr_t)block % to == 0; }

static unsigned char *allocate(unsigned how, size_t size) {
  void *block = NULL;
  switch (how % 8) {
  case 0: {
    unsigned char *zeroed = calloc(3, size / 3 + 1);
    check(zeroed[0] == 0 && zeroed[size - 1] == 0);
    return zeroed;
  }
  case 1: check(posix_memalign(&block, 256, size) == 0 && aligned(block, 256)); return block;
  case 2: block = aligned_alloc(64, size); check(aligned(block, 64)); return block;
  case 3: block = reallocarray(NULL, 2, size); return block;
  case 4: block = (how & 256) ? valloc(size) : malloc(size); return block;
  case 5: block = (how & 256) ? pvalloc(size) : malloc(size); return block;
  default: return malloc(size);
  }
}

static void map_and_check(unsigned char mark) {
  unsigned char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(area != MAP_FAILED);
  area[0] = mark;
  area = mremap(area, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
  check(area != MAP_FAILED && area[0] == mark && area[3 * PAGE] == 0);
  check(munmap(area, 4 * PAGE) == 0);
  errno = 0;
  check(munmap((void *)1, PAGE) == -1 && errno == EINVAL);
}

static void *work(void *argument) {
  unsigned char worker = (unsigned char)(uintptr_t)argument, *blocks[BLOCKS] = {0};
  size_t sizes[BLOCKS] = {0};
  unsigned seed = worker * 77u + 1;
  while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
    seed = seed * 1103515245u + 12345u;
    unsigned index = (seed >> 16) % BLOCKS;
    unsigned char first = (unsigned char)index, last = first ^ worker;
    if (blocks[index]) {
      check(blocks[index][0] == first && blocks[index][sizes[index] - 1] == last);
      if (seed & 0x400) {
        size_t grown = sizes[index] + (seed >> 20);
        blocks[index] = realloc(blocks[index], grown);
        check(blocks[index][0] == first && blocks[index][sizes[index] - 1] == last);
      }
      free(blocks[index]);
    }
    sizes[index] = 2 + (seed >> 8) % 3000;
    blocks[index] = allocate(seed >> 12, sizes[index]);
    blocks[index][0] = first;
    blocks[index][sizes[index] - 1] = last;
    if (seed % 64 == 0)
      map_and_check(last);
    if (seed % 16 == 0)
      free(NULL);
    atomic_fetch_add_explicit(&rounds, 1, memory_order_relaxed);
  }
  for (int i = 0; i < BLOCKS; i++)
    free(blocks[i]);
  return NULL;
}

static void *idle(void *argument) {
  for (;;)
    pause();
  return argument;
}

static int start(pthread_t *thread, void *(*body)(void *), uintptr_t argument) {
  return pthread_create(thread, NULL, body, (void *)argument) == 0;
}

static int map(unsigned long addr, unsigned long bytes) {
  void *got = mmap((void *)addr, bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  return got == (void *)addr;
}

static int reserve(unsigned long mebibytes) {
  for (; mebibytes >= 16; mebibytes -= 16)
    if (mmap(NULL, 16 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
      return 0;
  return 1;
}

static int idlers(unsigned long count) {
  pthread_t thread;
  while (count--)
    if (!start(&thread, idle, 0))
      return 0;
  return 1;
}

// Each function so many times, the blocks small enough for the heap.
static int sequence(void) {
  // In a program of fixed position this is the address of its own PLT slot.
  void *(*volatile by_pointer)(size_t) = malloc;
  for (int i = 0; i < ROUNDS; i++) {
    unsigned char *volatile block = by_pointer(100);
    block = realloc(block, 200);
    free(block);
    block = calloc(2, 50);
    free(block);
    free(NULL);
    map_and_check(1);
  }
  return 1;
}

static int load(void) {
  for (uintptr_t i = 0; i < WORKERS; i++)
    if (!start(&workers[i], work, i))
      return 0;
  return 1;
}

static int finish(void) {
  atomic_store(&stopping, 1);
  for (int i = 0; i < WORKERS; i++)
    pthread_join(workers[i], NULL);
  return atomic_load(&faults) == 0;
}

static int obey(const char *command, unsigned long a, unsigned long b) {
  if (!strcmp(command, "map"))
    return map(a, b);
  if (!strcmp(command, "reserve"))
    return reserve(a);
  if (!strcmp(command, "idlers"))
    return idlers(a);
  if (!strcmp(command, "sequence"))
    return sequence();
  if (!strcmp(command, "load"))
    return load();
  if (!strcmp(command, "finish"))
    return finish();
  return !strcmp(command, "ready");
}

int main(void) {
  char line[128], command[32];
  while (fgets(line, sizeof line, stdin)) {
    unsigned long a = 0, b = 0;
    int known = sscanf(line, "%31s %lx %lx", command, &a, &b) >= 1;
    const char *answer = known && obey(command, a, b) ? "ok" : "failed";
    printf("%s %lu %lu\n", answer, atomic_load(&rounds), atomic_load(&faults));
    fflush(stdout);
  }
  return 0;
}
