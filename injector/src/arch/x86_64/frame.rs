//! The kernel's signal frame, forged: `rt_sigreturn` loads a thread with it.
//!
//! ```text
//!   rsp at rt_sigreturn ─► 0    ucontext: flags, link, alternate stack
//!                          40   sigcontext: r8 … r15 rdi rsi rbp rbx rdx rax rcx rsp
//!                               rip eflags cs:gs:fs:ss err trapno oldmask cr2
//!                          224  address of the xsave area, or 0 for a fresh one
//!                          296  signal mask
//!                          304  end (siginfo follows in a real one; it is not read)
//! ```
//!
//! Source: `arch/x86/include/uapi/asm/{ucontext,sigcontext}.h`,
//! `arch/x86/kernel/signal_64.c` (`SYSCALL_DEFINE0(rt_sigreturn)`), Linux 4.14–6.18.

use super::Registers;

/// Bytes of a frame.
pub const FRAME_BYTES: u64 = 304;
const WORDS: usize = FRAME_BYTES as usize / 8;

/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 7;
/// No mode that `sigaltstack` knows: the kernel refuses it, ignores that, and so
/// leaves the alternate stack alone (`restore_altstack`, kernel/signal.c).
const INVALID_SS_FLAGS: u64 = 0x7ff0;

/// What a thread shall be loaded with.
pub struct Frame<'a> {
    /// General registers; `orig_rax` and the segment bases are not loaded.
    pub registers: &'a Registers,
    /// Blocked signals.
    pub mask: u64,
    /// Address of the xsave area; 0: the state of a new program.
    pub xstate: u64,
}

impl Frame<'_> {
    /// The frame's bytes, to lie where `rsp` points at `rt_sigreturn`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words().iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn words(&self) -> [u64; WORDS] {
        let r = self.registers;
        let segment = |value: u64| value & 0xffff;
        let segments = segment(r.cs) | segment(r.gs) << 16 | segment(r.fs) << 32 | segment(r.ss) << 48;
        let (link, ss_sp, ss_size) = (0, 0, 0);
        let head = [UC_FLAGS, link, ss_sp, INVALID_SS_FLAGS, ss_size];
        let registers = [
            r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax,
            r.rcx, r.rsp, r.rip, r.eflags, segments,
        ];
        let mut words = [0; WORDS];
        words[..5].copy_from_slice(&head);
        words[5..24].copy_from_slice(&registers);
        words[28] = self.xstate;
        words[37] = self.mask;
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_layout_is_that_of_the_c_library() {
        // Checked against libc's own idea of the structure, register by register.
        let names = [
            (libc::REG_R8, 0x08),
            (libc::REG_R15, 0x15),
            (libc::REG_RDI, 0xd1),
            (libc::REG_RAX, 0xa),
            (libc::REG_RCX, 0xc),
            (libc::REG_RSP, 0x59),
            (libc::REG_RIP, 0x19),
            (libc::REG_EFL, 0xef),
            (libc::REG_CSGSFS, 0x002b_0002_0001_0033),
        ];
        #[expect(unsafe_code)]
        // SAFETY: plain integers, for which zero is a value.
        let mut registers: Registers = unsafe { std::mem::zeroed() };
        (registers.r8, registers.r15, registers.rdi) = (0x08, 0x15, 0xd1);
        (registers.rax, registers.rcx, registers.rsp) = (0xa, 0xc, 0x59);
        (registers.rip, registers.eflags) = (0x19, 0xef);
        (registers.cs, registers.gs, registers.fs, registers.ss) = (0x33, 1, 2, 0x2b);
        let words = Frame { registers: &registers, mask: 0xab, xstate: 0xcd }.words();
        let context = offset_of!(libc::ucontext_t, uc_mcontext) / 8;
        for (index, value) in names {
            assert_eq!(words[context + index as usize], value, "{index}");
        }
        assert_eq!(words[context + offset_of!(libc::mcontext_t, fpregs) / 8], 0xcd);
        assert_eq!(words[offset_of!(libc::ucontext_t, uc_sigmask) / 8], 0xab);
    }
}
