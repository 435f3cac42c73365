//! The code that runs a `prof_shared::region::Program` in the target.
//!
//! Position independent. Entered with all signals blocked and
//!
//! ```text
//!  rsp  top of the stub's stack, 16-byte aligned      r12  __errno_location, or 0
//!  rbx  the Program                                   r13  frame that restores the thread
//! ```
//!
//! It saves `errno` (r12, r14), executes the steps, puts `errno` back, sets
//! `done` and loads the frame. Registers that a call may change hold nothing.

use prof_shared::region::{PAGE, Program, Step, step};
use std::arch::global_asm;
use std::mem::offset_of;

#[expect(unsafe_code)]
mod code {
    use super::*;

    // Assembled into our own read-only data; never executed in this process.
    global_asm!(
        ".pushsection .rodata.prof_stub, \"a\", @progbits",
        ".globl prof_stub_start, prof_stub_end",
        ".hidden prof_stub_start, prof_stub_end",
        "prof_stub_start:",
        "    cld",
        "    test r12, r12",
        "    jz 1f",
        "    call r12",
        "    mov r12, rax",
        "    mov r14d, [r12]",
        "1:  mov rbp, [rbx + {len}]",
        "    lea r15, [rbx + {steps}]",
        "2:  test rbp, rbp",
        "    jz 6f",
        "    cmp qword ptr [r15 + {what}], {swap}",
        "    je 4f",
        "    mov rdi, [r15 + {args}]",
        "    mov rsi, [r15 + {args} + 8]",
        "    mov rdx, [r15 + {args} + 16]",
        "    mov rcx, [r15 + {args} + 24]",
        "    mov r8, [r15 + {args} + 32]",
        "    mov r9, [r15 + {args} + 40]",
        "    cmp qword ptr [r15 + {what}], {call}",
        "    je 3f",
        // A system call.
        "    mov r10, rcx",
        "    mov rax, [r15 + {target}]",
        "    syscall",
        "    jmp 5f",
        // A call. No vector registers are used for arguments, if it is variadic.
        "3:  xor eax, eax",
        "    call [r15 + {target}]",
        "    jmp 5f",
        // A compare-and-swap leaves what the word held in rax either way.
        "4:  mov rdx, [r15 + {target}]",
        "    mov rax, [r15 + {args}]",
        "    mov rcx, [r15 + {args} + 8]",
        "    lock cmpxchg [rdx], rcx",
        "5:  mov [r15 + {result}], rax",
        "    add r15, {step_bytes}",
        "    dec rbp",
        "    jmp 2b",
        "6:  test r12, r12",
        "    jz 7f",
        "    mov [r12], r14d",
        "7:  mov qword ptr [rbx + {done}], 1",
        "    mov rsp, r13",
        "    mov eax, {rt_sigreturn}",
        "    syscall",
        "    ud2",
        "prof_stub_end:",
        ".popsection",
        len = const offset_of!(Program, len),
        steps = const offset_of!(Program, steps),
        done = const offset_of!(Program, done),
        what = const offset_of!(Step, what),
        target = const offset_of!(Step, target),
        args = const offset_of!(Step, args),
        result = const offset_of!(Step, result),
        step_bytes = const size_of::<Step>(),
        call = const step::CALL,
        swap = const step::SWAP,
        rt_sigreturn = const libc::SYS_rt_sigreturn,
    );

    unsafe extern "C" {
        static prof_stub_start: u8;
        static prof_stub_end: u8;
    }

    /// The stub's machine code.
    pub fn bytes() -> &'static [u8] {
        let (start, end) = (&raw const prof_stub_start, &raw const prof_stub_end);
        // SAFETY: both symbols bound one piece of read-only data, assembled above.
        unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
    }
}

pub use code::bytes;

/// Registers with which the stub is entered, in the order of the head of this file.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Address of the stub's code.
    pub code: u64,
    /// Top of its stack, 16-byte aligned.
    pub stack: u64,
    /// Address of the program.
    pub program: u64,
    /// Address of `__errno_location`, or 0 if no step is a call.
    pub errno_location: u64,
    /// Address of the frame that restores the thread.
    pub frame: u64,
}

impl Entry {
    /// `saved` turned into an entry of the stub.
    pub fn registers(&self, saved: &super::Registers) -> super::Registers {
        super::Registers {
            rbx: self.program,
            r12: self.errno_location,
            r13: self.frame,
            ..super::entering(saved, self.code, self.stack)
        }
    }
}

/// The stub as it fills its page, the rest `int3`.
pub fn page() -> [u8; PAGE as usize] {
    let mut page = [0xcc; PAGE as usize];
    page[..bytes().len()].copy_from_slice(bytes());
    page
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions, Mnemonic};

    #[test]
    fn the_code_decodes_to_its_end_and_fits_its_page() {
        let decoder = Decoder::with_ip(64, super::bytes(), 0, DecoderOptions::NONE);
        let mnemonics: Vec<_> = decoder.into_iter().map(|instruction| instruction.mnemonic()).collect();
        assert_eq!(mnemonics.first(), Some(&Mnemonic::Cld));
        assert_eq!(mnemonics.last(), Some(&Mnemonic::Ud2));
        assert!(!mnemonics.contains(&Mnemonic::INVALID));
        assert!(super::bytes().len() < 256 && super::page()[4095] == 0xcc);
    }
}
