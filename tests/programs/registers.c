/* A thread that fills everything it has, waits, and looks whether all is as it was:
 * general registers, flags, x87, MXCSR, vectors, masks, and 128 bytes below the
 * stack pointer. It waits in a loop without calls, or in a system call.
 */

#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

struct state {
    uint64_t general[16]; /* in the order of their numbers: rax rcx rdx rbx rsp rbp rsi rdi r8 … r15 */
    uint64_t flags;
    uint32_t mxcsr;
    uint16_t control, pad;
    uint64_t below[16];
    unsigned char x87[8][16];
    uint64_t masks[8];
    uint64_t to_64[6];
    unsigned char vectors[32][64];
};

_Static_assert(offsetof(struct state, mxcsr) == 136, "as below");
_Static_assert(offsetof(struct state, below) == 144, "as below");
_Static_assert(offsetof(struct state, x87) == 272, "as below");
_Static_assert(offsetof(struct state, masks) == 400, "as below");
_Static_assert(offsetof(struct state, vectors) == 512, "as below");

/* Loads `in`, goes round `spins` times, or makes the system call in rax if that is 0,
 * and stores into `out`. `level`: 0 SSE, 1 AVX, 2 AVX-512. */
void hold(const struct state *in, struct state *out, uint64_t spins, uint64_t level);

__asm__(
    ".text\n"
    ".globl hold\n"
    ".type hold, @function\n"
    "hold:\n"
    ".cfi_startproc\n"
    ".irp r, rbx, rbp, r12, r13, r14, r15, rcx, rdx\n"
    "  push %\\r\n"
    "  .cfi_adjust_cfa_offset 8\n"
    ".endr\n"
    "  sub $16, %rsp\n"
    "  .cfi_adjust_cfa_offset 16\n"
    "  stmxcsr (%rsp)\n"
    "  fnstcw 8(%rsp)\n"
    "  mov %rdi, %r14\n"
    "  mov %rsi, %r15\n"
    "  mov %rdx, %r13\n"
    "  cmp $1, %rcx\n"
    "  je 2f\n"
    "  ja 3f\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  movups 512+64*\\n(%r14), %xmm\\n\n"
    ".endr\n"
    "  jmp 4f\n"
    "2:\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  vmovups 512+64*\\n(%r14), %ymm\\n\n"
    ".endr\n"
    "  jmp 4f\n"
    "3:\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "  vmovups 512+64*\\n(%r14), %zmm\\n\n"
    ".endr\n"
    ".irp n, 0,1,2,3,4,5,6,7\n"
    "  kmovq 400+8*\\n(%r14), %k\\n\n"
    ".endr\n"
    "4:\n"
    "  ldmxcsr 136(%r14)\n"
    "  fninit\n"
    "  fldcw 140(%r14)\n"
    ".irp n, 7,6,5,4,3,2,1,0\n"
    "  fldt 272+16*\\n(%r14)\n"
    ".endr\n"
    "  pushq 128(%r14)\n"
    "  popfq\n"
    /* Nothing from here on to the pushfq changes a flag. */
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  mov 144+8*\\n(%r14), %rax\n"
    "  mov %rax, -8-8*\\n(%rsp)\n"
    ".endr\n"
    "  mov %r13, %rcx\n"
    "  mov 0(%r14), %rax\n"
    "  mov 16(%r14), %rdx\n"
    "  mov 24(%r14), %rbx\n"
    "  mov 40(%r14), %rbp\n"
    "  mov 48(%r14), %rsi\n"
    "  mov 56(%r14), %rdi\n"
    ".irp n, 8,9,10,11,12,13\n"
    "  mov 8*\\n(%r14), %r\\n\n"
    ".endr\n"
    "  jrcxz 6f\n"
    "5:\n"
    "  lea -1(%rcx), %rcx\n"
    "  jrcxz 7f\n"
    "  jmp 5b\n"
    "6:\n"
    "  syscall\n"
    "7:\n"
    "  mov %rax, 0(%r15)\n"
    "  mov %rdx, 16(%r15)\n"
    "  mov %rbx, 24(%r15)\n"
    "  mov %rsp, 32(%r15)\n"
    "  mov %rbp, 40(%r15)\n"
    "  mov %rsi, 48(%r15)\n"
    "  mov %rdi, 56(%r15)\n"
    ".irp n, 8,9,10,11,12,13,14\n"
    "  mov %r\\n, 8*\\n(%r15)\n"
    ".endr\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  mov -8-8*\\n(%rsp), %rax\n"
    "  mov %rax, 144+8*\\n(%r15)\n"
    ".endr\n"
    "  pushfq\n"
    "  popq 128(%r15)\n"
    "  cld\n"
    "  stmxcsr 136(%r15)\n"
    "  fnstcw 140(%r15)\n"
    ".irp n, 0,1,2,3,4,5,6,7\n"
    "  fstpt 272+16*\\n(%r15)\n"
    ".endr\n"
    "  fldcw 8(%rsp)\n"
    "  ldmxcsr (%rsp)\n"
    "  cmpq $1, 24(%rsp)\n"
    "  je 2f\n"
    "  ja 3f\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  movups %xmm\\n, 512+64*\\n(%r15)\n"
    ".endr\n"
    "  jmp 4f\n"
    "2:\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  vmovups %ymm\\n, 512+64*\\n(%r15)\n"
    ".endr\n"
    "  vzeroupper\n"
    "  jmp 4f\n"
    "3:\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "  vmovups %zmm\\n, 512+64*\\n(%r15)\n"
    ".endr\n"
    ".irp n, 0,1,2,3,4,5,6,7\n"
    "  kmovq %k\\n, 400+8*\\n(%r15)\n"
    ".endr\n"
    "  vzeroupper\n"
    "4:\n"
    "  add $16, %rsp\n"
    "  .cfi_adjust_cfa_offset -16\n"
    ".irp r, rdx, rcx, r15, r14, r13, r12, rbp, rbx\n"
    "  pop %\\r\n"
    "  .cfi_adjust_cfa_offset -8\n"
    ".endr\n"
    "  ret\n"
    ".cfi_endproc\n"
    ".size hold, .-hold\n");

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_word(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state;
}

static void fill(void *start, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 8) *(uint64_t *)((char *)start + at) = random_word();
}

static int level(void) {
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512f")) return 2;
    return __builtin_cpu_supports("avx") ? 1 : 0;
}

/* Carry, parity, adjust, zero, sign, direction, overflow; bit 1 and interrupts are on. */
enum { ALL_FLAGS = 0xcd5, ALWAYS = 0x202, FLAGS = ALL_FLAGS | ALWAYS };

static void choose(struct state *in) {
    fill(in, sizeof *in);
    in->flags = (random_word() & ALL_FLAGS) | ALWAYS;
    // Any rounding; all exceptions masked, some flagged.
    in->mxcsr = 0x1f80 | (random_word() & 0xe03f);
    in->control = 0x37f & ~0x300;
    in->control |= random_word() & 0xc00;
    for (int at = 0; at < 8; at++) {
        // A normal number: its exponent in range, its leading bit set.
        uint16_t exponent = 0x3f00 + (random_word() & 0xff);
        in->x87[at][7] |= 0x80;
        memcpy(&in->x87[at][8], &exponent, 2);
    }
}

static uint64_t differ(const char *what, const void *in, const void *out, size_t bytes) {
    if (memcmp(in, out, bytes) == 0) return 0;
    fprintf(stderr, "%s changed\n", what);
    return 1;
}

static uint64_t compare(const struct state *in, const struct state *out) {
    // rcx counts, r14 and r15 lead here, and rsp is compared by what lies below it.
    uint64_t wrong = differ("rdx, rbx", &in->general[2], &out->general[2], 16);
    wrong += differ("rbp, rsi, rdi, r8-r10", &in->general[5], &out->general[5], 48);
    wrong += differ("r12, r13", &in->general[12], &out->general[12], 16);
    uint64_t flags[2] = {in->flags & FLAGS, out->flags & FLAGS};
    wrong += differ("the flags", &flags[0], &flags[1], 8);
    wrong += differ("MXCSR", &in->mxcsr, &out->mxcsr, 4);
    wrong += differ("the x87 control word", &in->control, &out->control, 2);
    wrong += differ("the red zone", in->below, out->below, sizeof in->below);
    for (int at = 0; at < 8; at++) wrong += differ("an x87 register", in->x87[at], out->x87[at], 10);
    int has = level(), count = has == 2 ? 32 : 16, bytes = 16 << has;
    for (int at = 0; at < count; at++) wrong += differ("a vector register", in->vectors[at], out->vectors[at], bytes);
    if (has == 2) wrong += differ("the mask registers", in->masks, out->masks, sizeof in->masks);
    return wrong;
}

/* How much changed in `rounds` rounds. */
uint64_t verify_registers(int rounds) {
    static struct state in, out;
    uint64_t wrong = 0;
    for (int round = 0; round < rounds; round++) {
        choose(&in);
        hold(&in, &out, 20000, level());
        wrong += differ("rax", &in.general[0], &out.general[0], 8);
        wrong += differ("r11", &in.general[11], &out.general[11], 8);
        wrong += compare(&in, &out);
    }
    struct timespec ms = {.tv_nsec = 1000000};
    choose(&in);
    in.general[0] = SYS_nanosleep;
    in.general[7] = (uint64_t)(uintptr_t)&ms;
    in.general[6] = 0;
    hold(&in, &out, 0, level());
    // A relative wait may be cut short.
    wrong += out.general[0] != 0 && out.general[0] != (uint64_t)-EINTR;
    return wrong + compare(&in, &out);
}
