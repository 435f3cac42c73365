//! x86_64: signal frames, system call restart, xsave areas, the stub's code.

pub mod frame;
pub mod gadget;
pub mod restart;
pub mod rseq;
pub mod stub;
pub mod xstate;

/// The general registers, as ptrace gives them.
pub type Registers = libc::user_regs_struct;

/// Bytes below the stack pointer that a function may use without moving it
/// (System V ABI, AMD64 supplement, 3.2.2).
pub const RED_ZONE: u64 = 128;
/// The code segment of 64-bit user code; 32-bit and x32's way in have another.
pub const USER_CODE_SEGMENT: u64 = 0x33;
/// `rt_sigreturn`.
pub const RT_SIGRETURN: u64 = libc::SYS_rt_sigreturn as u64;

/// Flags that must not be inherited by code of ours: trap, direction, alignment check.
const UNWANTED_FLAGS: u64 = 1 << 8 | 1 << 10 | 1 << 18;

/// `saved` with what would disturb code of ours cleared, about to execute at
/// `rip` with the stack at `rsp`; no system call will be restarted.
pub fn entering(saved: &Registers, rip: u64, rsp: u64) -> Registers {
    Registers { rip, rsp, orig_rax: u64::MAX, eflags: saved.eflags & !UNWANTED_FLAGS, ..*saved }
}

/// `saved`, about to execute the instruction pair at `gadget` for a system call.
pub fn calling(saved: &Registers, gadget: u64, rsp: u64, number: u64, args: [u64; 6]) -> Registers {
    let [rdi, rsi, rdx, r10, r8, r9] = args;
    Registers { rax: number, rdi, rsi, rdx, r10, r8, r9, ..entering(saved, gadget, rsp) }
}
