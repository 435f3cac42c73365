// Targets that check themselves. `victim MODE`: prints "ready", runs until its
// stdin ends (or the awaited event comes), prints a verdict.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t over;
static unsigned futex_word;
static void on_end(int signal) { (void)signal; over = 1; }
static void ready(void) { puts("ready"); fflush(stdout); }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }

// Every general register, the red zone, x87, MXCSR, PKRU, AVX (or AVX-512 where
// it is) and the direction-neutral flags hold known values for 20,000 turns.
#define FILL(r) "mov $0x" #r "5a5a5a5a, %%r" #r "\n"
#define CHECK(r) "mov $0x" #r "5a5a5a5a, %%rax\n cmp %%rax, %%r" #r "\n jne 2f\n"
static int avx512, pku;
__attribute__((noinline, target("avx2"))) static int holds(void) {
  unsigned long ok = 0;
  unsigned mxcsr = 0x5fa0, read_back = 0, old;  // round up, flush nothing, one sticky flag
  asm volatile("stmxcsr %0\n ldmxcsr %1" : "=m"(old) : "m"(mxcsr));
  asm volatile(
      "sub $256, %%rsp\n push %%rbp\n"  // below our own caller's red zone
      "mov $0x1122334455667788, %%rax\n vmovq %%rax, %%xmm5\n vpbroadcastq %%xmm5, %%ymm6\n vmovdqa %%ymm6, %%ymm15\n"
      "fldpi\n mov %%rax, -8(%%rsp)\n mov %%rax, -128(%%rsp)\n"
      FILL(8) FILL(9) FILL(10) FILL(11) FILL(12) FILL(13) FILL(14) FILL(15)
      "mov $0x77, %%edi\n mov $0x66, %%esi\n mov $0x55, %%ebp\n mov $0x44, %%ebx\n"
      "mov $20000, %%ecx\n stc\n"
      "1: lea -1(%%rcx), %%rcx\n jnc 2f\n jrcxz 3f\n jmp 1b\n"
      "3: jnc 2f\n"
      "vpcmpeqq %%ymm6, %%ymm15, %%ymm7\n vpmovmskb %%ymm7, %%eax\n cmp $-1, %%eax\n jne 2f\n"
      "mov $0x1122334455667788, %%rax\n cmp %%rax, -8(%%rsp)\n jne 2f\n cmp %%rax, -128(%%rsp)\n jne 2f\n"
      CHECK(8) CHECK(9) CHECK(10) CHECK(11) CHECK(12) CHECK(13) CHECK(14) CHECK(15)
      "cmp $0x77, %%rdi\n jne 2f\n cmp $0x66, %%rsi\n jne 2f\n cmp $0x55, %%rbp\n jne 2f\n cmp $0x44, %%rbx\n jne 2f\n"
      "fldpi\n fcompp\n fnstsw %%ax\n and $0x4500, %%ax\n cmp $0x4000, %%ax\n jne 4f\n"
      "mov $1, %%eax\n jmp 5f\n"
      "2: fstp %%st(0)\n 4: xor %%eax, %%eax\n"
      "5: pop %%rbp\n add $256, %%rsp\n vzeroupper\n"
      : "=a"(ok) : : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "xmm5", "xmm6", "xmm7", "xmm15", "memory", "cc");
  asm volatile("stmxcsr %0\n ldmxcsr %1" : "=m"(read_back) : "m"(old));
  return ok && (read_back & 0xffc0) == (mxcsr & 0xffc0);
}
__attribute__((noinline, target("avx512f"))) static int holds512(void) {
  unsigned long ok;
  asm volatile(
      "mov $0x1122334455667788, %%rax\n vpbroadcastq %%rax, %%zmm20\n vmovdqa64 %%zmm20, %%zmm31\n"
      "mov $0x5a5a, %%eax\n kmovw %%eax, %%k3\n"
      "mov $20000, %%ecx\n 1: dec %%ecx\n jnz 1b\n"
      "vpcmpeqq %%zmm20, %%zmm31, %%k1\n kmovw %%k1, %%eax\n cmp $0xff, %%eax\n jne 2f\n"
      "kmovw %%k3, %%eax\n cmp $0x5a5a, %%eax\n jne 2f\n mov $1, %%eax\n jmp 3f\n"
      "2: xor %%eax, %%eax\n 3: vzeroupper\n"
      : "=a"(ok) : : "rcx", "cc", "xmm20", "xmm31", "k1", "k3");
  return ok;
}
static unsigned read_pkru(void) {
  unsigned value = 0;
  if (pku) asm volatile("xor %%ecx, %%ecx\n rdpkru" : "=a"(value) : : "ecx", "edx");
  return value;
}
static void compute(void) {
  long rounds = 0, bad = 0;
  unsigned pkru = read_pkru();
  errno = 77;
  for (; !over; rounds++) {
    bad += !holds();
    if (avx512) bad += !holds512();
    bad += errno != 77 || read_pkru() != pkru;
  }
  printf("bad=%ld busy=%d\n", bad, rounds > 10);
}

// A thread copies the process again and again, and its mappings are locked meanwhile.
static void *copies(void *arg) {
  while (!over) {
    pid_t child = fork();
    if (!child) _exit(0);
    waitpid(child, 0, 0);
  }
  return arg;
}
static void copied(void) {
  size_t bytes = 256 << 20;
  mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  pthread_t thread;
  pthread_create(&thread, 0, copies, 0);
  ready();
  while (!over) {}
  pthread_join(thread, 0);
  puts("bad=0");
}

static long wait_for(const char *mode, int fd) {
  char byte;
  struct pollfd one = {fd, POLLIN, 0};
  struct epoll_event event = {EPOLLIN, {0}};
  int epoll = epoll_create1(0);
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  ready();
  if (!strcmp(mode, "read")) return read(fd, &byte, 1);
  if (!strcmp(mode, "pause")) return pause();
  if (!strcmp(mode, "poll")) return poll(&one, 1, -1);
  if (!strcmp(mode, "epoll_wait")) return epoll_wait(epoll, &event, 1, -1);
  if (!strcmp(mode, "epoll_pwait")) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); return epoll_pwait(epoll, &event, 1, -1, &s); }
  if (!strcmp(mode, "select")) { fd_set s; FD_ZERO(&s); FD_SET(fd, &s); return select(fd + 1, &s, 0, 0, 0); }
  if (!strcmp(mode, "ppoll")) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); return ppoll(&one, 1, 0, &s); }
  if (!strcmp(mode, "futex")) return syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
  if (!strcmp(mode, "futex_until")) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); t.tv_sec += 1000; return syscall(SYS_futex, &futex_word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, 0, ~0); }
  if (!strcmp(mode, "sigwaitinfo")) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); return sigwaitinfo(&s, 0); }
  if (!strcmp(mode, "wait4")) { pid_t c = fork(); if (!c) { read(fd, &byte, 1); _exit(0); } return wait4(c, 0, 0, 0) == c; }
  return -99;
}

// Sleeps of 20 ms that must last; EINTR is continued with the time left.
static void nap(void) {
  long naps = 0, bad = 0;
  for (; !over; naps++) {
    struct timespec left = {0, 20000000};
    double begin = now();
    while (nanosleep(&left, &left) && errno == EINTR && !over) {}
    if (!over && now() - begin < 0.0199) bad++;
  }
  printf("bad=%ld\n", bad);
}

static volatile long ticks, mallocs;
static void on_alarm(int signal) { (void)signal; free(malloc(100)); ticks++; }
static void alarms(void) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, 0);
  stack_t alternate = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16}, found;
  sigaltstack(&alternate, 0);
  timer_t timer;
  struct itimerspec often = {{0, 1000000}, {0, 1000000}};
  timer_create(CLOCK_MONOTONIC, 0, &timer);
  timer_settime(timer, 0, &often, 0);
  ready();
  long bad = 0;
  while (!over) { double x = ticks; for (int i = 0; i < 1000; i++) x = x * 1.0000001 + 1; bad += x < 0; }
  timer_delete(timer);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, 0, &mask);
  sigaltstack(0, &found);
  printf("bad=%ld ticked=%d mask=%d stack=%d\n", bad, ticks > 0, sigismember(&mask, SIGALRM),
         found.ss_sp == alternate.ss_sp && found.ss_size == alternate.ss_size);
}

static void *brief(void *arg) { free(malloc(1000)); return arg; }
static void threads(void) {
  while (!over) {
    pthread_t ids[4];
    for (int i = 0; i < 4; i++) pthread_create(&ids[i], 0, brief, 0);
    for (int i = 0; i < 4; i++) pthread_join(ids[i], 0);
  }
  puts("bad=0");
}

static void *reader(void *arg) { char byte; (void)arg; ready(); long n = read(0, &byte, 1); printf("got=%ld\n", n); fflush(stdout); _exit(0); }
static void leaderless(void) { pthread_t id; pthread_create(&id, 0, reader, 0); pthread_exit(0); }

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  struct sigaction end = {.sa_handler = on_end};
  sigaction(SIGUSR1, &end, 0);
  avx512 = __builtin_cpu_supports("avx512f");
  pku = strstr(mode, "pku") != 0;
  if (!strncmp(mode, "compute", 7)) { ready(); compute(); }
  else if (!strcmp(mode, "nap")) { ready(); nap(); }
  else if (!strcmp(mode, "alarms")) alarms();
  else if (!strcmp(mode, "threads")) { ready(); threads(); }
  else if (!strcmp(mode, "leaderless")) leaderless();
  else if (!strcmp(mode, "vfork")) { ready(); if (!vfork()) { char byte; read(0, &byte, 1); _exit(0); } puts("bad=0"); }
  else if (!strcmp(mode, "copied")) copied();
  else if (!strcmp(mode, "burn")) { ready(); while (!over) {} }
  else {
    if (!strcmp(mode, "sigwaitinfo")) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, 0); }
    errno = 0;
    long result = wait_for(mode, 0);
    printf("result=%ld errno=%d\n", result, result < 0 ? errno : 0);
  }
  return 0;
}
