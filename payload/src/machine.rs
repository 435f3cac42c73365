//! The few instructions that have no name in Rust.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_castpd_si128, _mm_cmpeq_epi8, _mm_load_sd, _mm_load_si128, _mm_loadh_pd, _mm_loadu_si128,
    _mm_movemask_epi8, _rdtsc,
};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use prof_shared::region::{Link, Region, SEQUENCE};
use prof_shared::ring::Header;

/// The address of this thread's control block, which is its identity.
#[inline(always)]
pub fn thread_pointer() -> u64 {
    let pointer;
    // SAFETY: the x86-64 ABI keeps the thread control block's own address at fs:0.
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(nostack, pure, readonly)) };
    pointer
}

/// The half word at `offset` from the thread pointer.
///
/// # Safety
/// `offset` lies within the thread control block.
#[inline(always)]
pub unsafe fn thread_word(offset: u32) -> u32 {
    let word;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("mov {:e}, fs:[{:r}]", out(reg) word, in(reg) u64::from(offset), options(nostack, pure, readonly))
    };
    word
}

/// Whether the word at `base + offset` is `value`. The compiler, which does not see the
/// comparison, goes on with its own `value`: the processor then need not wait for the word.
///
/// # Safety
/// That word is mapped.
#[inline(always)]
pub unsafe fn is_word(base: u64, offset: u64, value: u64) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("cmp [{} + {}], {}", "jne {}", in(reg) base, in(reg) offset, in(reg) value,
             label { return false }, options(nostack, readonly));
    }
    true
}

/// Two words that are compared as one.
#[derive(Clone, Copy)]
pub struct Pair(__m128i);

impl Pair {
    /// Those at an address.
    ///
    /// # Safety
    /// Both are mapped.
    #[inline(always)]
    pub unsafe fn at(addr: u64) -> Pair {
        // SAFETY: the caller's promise; needs no alignment.
        Pair(unsafe { _mm_loadu_si128(addr as *const __m128i) })
    }

    /// Those at two addresses.
    ///
    /// # Safety
    /// Both are mapped.
    #[inline(always)]
    pub unsafe fn of(first: u64, second: u64) -> Pair {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm_load_sd(first as *const f64);
            Pair(_mm_castpd_si128(_mm_loadh_pd(low, second as *const f64)))
        }
    }

    /// Whether they are these. Also to the compiler this says nothing of either word: it goes
    /// on with those of `link`, for which the processor need not wait.
    #[inline(always)]
    pub fn is(self, link: &Link) -> bool {
        // SAFETY: every x86-64 has SSE2; a link is as large as a vector and as aligned.
        unsafe {
            let own = _mm_load_si128(core::ptr::from_ref(link).cast());
            let same = _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, own));
            asm!("cmp {:e}, 0xffff", "jne {}", in(reg) same, label { return false }, options(nomem, nostack));
        }
        true
    }
}

/// The stack pointer.
#[inline(always)]
pub fn stack_pointer() -> u64 {
    let pointer;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nostack, nomem, preserves_flags)) };
    pointer
}

/// Where a function is.
pub struct Registers {
    pub pc: u64,
    pub sp: u64,
    pub bp: u64,
    pub bx: u64,
}

/// Where the function is into which this is put.
#[inline(always)]
pub fn registers() -> Registers {
    let (pc, sp, bp, bx);
    // SAFETY: reads registers.
    unsafe {
        asm!("mov rdx, rbx", "mov rcx, rbp", "mov rsi, rsp", "lea rax, [rip]", out("rdx") bx, out("rcx") bp,
             out("rsi") sp, out("rax") pc, options(nostack, nomem, preserves_flags));
    }
    Registers { pc, sp, bp, bx }
}

/// This thread's alternate signal stack; empty if it has none.
pub fn alternate_stack() -> Range<u64> {
    const SIGALTSTACK: u64 = 131;
    // stack_t: address, flags, size (sigaltstack(2)).
    let mut stack = [0u64; 3];
    let mut result = SIGALTSTACK;
    // SAFETY: asks only, into live memory; a raw call leaves errno alone.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") 0u64, in("rsi") stack.as_mut_ptr(),
             out("rcx") _, out("r11") _, options(nostack));
    }
    let [start, _flags, bytes] = stack;
    if result == 0 { start..start.saturating_add(bytes) } else { 0..0 }
}

/// The time stamp counter, not later than what follows it in program order needs:
/// the call that it precedes has a locked or dependent memory access of its own.
#[inline(always)]
pub fn stamp_before() -> u64 {
    // SAFETY: every x86-64 has it; the attacher checked that user mode may read it.
    unsafe { _rdtsc() }
}

/// The time stamp counter once everything before it has executed.
#[inline(always)]
pub fn stamp_after() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: checked by the attacher. The intrinsic would store the processor's
    // number, which nobody wants. Memory is not moved across it.
    unsafe {
        asm!("rdtscp", out("rax") low, out("rdx") high, out("rcx") _, options(nostack, preserves_flags))
    };
    high << 32 | low
}

/// A moment, in the ticks of the recording.
#[inline(always)]
pub fn tick(region: &Region, ring: &Header, counter: impl FnOnce() -> u64) -> u64 {
    match region.tick_shift {
        SEQUENCE => ring.sequence.fetch_add(1, Relaxed),
        shift => counter() >> (shift & 63),
    }
}

/// The pid of this process, as it sees itself.
pub fn own_pid() -> u32 {
    const GETPID: u64 = 39;
    let mut result = GETPID;
    // SAFETY: getpid(2) changes nothing and cannot fail; a raw call leaves errno alone.
    unsafe {
        asm!("syscall", inout("rax") result, out("rcx") _, out("r11") _, options(nostack));
    }
    result as u32
}

/// Whether the kernel knows no thread `tid` in process `pid`.
pub fn is_gone(pid: u32, tid: u32) -> bool {
    const TGKILL: u64 = 234;
    const NO_SUCH_PROCESS: i64 = -3;
    let mut result = TGKILL as i64;
    // SAFETY: tgkill(2) with signal 0 changes nothing; a raw call leaves errno alone.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") u64::from(pid), in("rsi") u64::from(tid), in("rdx") 0u64,
             out("rcx") _, out("r11") _, options(nostack));
    }
    result == NO_SUCH_PROCESS
}
