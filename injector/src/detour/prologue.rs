//! The straight run from a function's start, and what an island must undo at
//! each of its instruction boundaries.
//!
//! An island hands over to a hook as if the function had just been called. So at
//! a boundary every argument register, every callee-saved register and the stack
//! pointer must be as at the call, or be brought back to it. The run therefore
//! goes on over instructions that only
//!
//! - push (a push of an unchanged register also *saves* it), or lower `rsp`;
//! - write registers that the callee owns, or that have been saved;
//! - store into the room that they have made on the stack;
//! - compare, or read memory: the trampoline does it all again from the start.
//!
//! It ends before anything else, but for one thing: behind `test rdi,rdi; je`
//! a function that does nothing for null is still at its beginning. A detour
//! there misses `free(NULL)` and nothing more.

use super::hook::Hook;
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

/// The longest run looked at, in bytes.
pub(super) const ENTRY_BLOCK_BYTES: usize = 64;

/// A change of the stack pointer, undone in reverse order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lowered {
    /// By a push of this register, which then still was as at the call.
    Saving(Register),
    /// By so many bytes that nobody needs back.
    By(u32),
}

/// An instruction of the run, and the state before it.
#[derive(Clone, Debug)]
pub(super) struct Boundary {
    /// The instruction.
    pub instruction: Instruction,
    /// What the run did to the stack before it, in order.
    pub lowered: Vec<Lowered>,
}

/// Decodes the run. The last instruction is the one that ended it; everything
/// before it can be undone.
pub(super) fn walk(hook: Hook, code: &[u8], addr: u64) -> Vec<Boundary> {
    let block = &code[..code.len().min(ENTRY_BLOCK_BYTES)];
    let mut state = State::new(hook);
    let mut boundaries = Vec::new();
    for instruction in Decoder::with_ip(64, block, addr, DecoderOptions::NONE).iter() {
        if instruction.is_invalid() {
            break;
        }
        boundaries.push(Boundary { instruction, lowered: state.lowered.clone() });
        if !state.step(&instruction) {
            break;
        }
    }
    boundaries
}

/// Where the run's last adjustment of the stack pointer stands; the start, if
/// there is none.
pub(super) fn stack_settled_at(boundaries: &[Boundary]) -> u64 {
    let adjusts = |pair: &&[Boundary]| pair[0].lowered != pair[1].lowered;
    let last = boundaries.windows(2).rfind(adjusts).map(|pair| &pair[1]);
    last.or(boundaries.first()).map_or(0, |boundary| boundary.instruction.ip())
}

struct State {
    hook: Hook,
    lowered: Vec<Lowered>,
    changed: Registers,
    saved: Registers,
    /// The flags are those of `test rdi,rdi` with `rdi` as at the call.
    null_tested: bool,
    factory: InstructionInfoFactory,
}

impl State {
    fn new(hook: Hook) -> State {
        State {
            hook,
            lowered: Vec::new(),
            changed: Registers::default(),
            saved: Registers::default(),
            null_tested: false,
            factory: InstructionInfoFactory::new(),
        }
    }

    /// Takes the instruction's effects in; false if they cannot be undone.
    fn step(&mut self, instruction: &Instruction) -> bool {
        if instruction.flow_control() != FlowControl::Next {
            return instruction.mnemonic() == Mnemonic::Je && self.null_tested;
        }
        let undoable = match instruction.mnemonic() {
            Mnemonic::Endbr64 | Mnemonic::Nop => true,
            Mnemonic::Push => self.push(instruction),
            Mnemonic::Sub if instruction.op0_register() == Register::RSP => self.lower(instruction),
            mnemonic => is_plain(mnemonic) && self.write(instruction),
        };
        self.test(instruction);
        undoable
    }

    fn push(&mut self, instruction: &Instruction) -> bool {
        if instruction.stack_pointer_increment() != -8 {
            return false;
        }
        let register = instruction.op0_register();
        let saves = register.is_gpr64() && register != Register::RSP && !self.changed.contains(register);
        if saves {
            self.saved.insert(register);
        }
        self.lowered.push(if saves { Lowered::Saving(register) } else { Lowered::By(8) });
        true
    }

    fn lower(&mut self, instruction: &Instruction) -> bool {
        let constant = matches!(instruction.code(), Code::Sub_rm64_imm8 | Code::Sub_rm64_imm32);
        match u32::try_from(instruction.immediate(1)) {
            Ok(bytes) if constant && bytes <= i32::MAX as u32 => {
                self.lowered.push(Lowered::By(bytes));
                true
            }
            _ => false,
        }
    }

    /// Whether all that the instruction writes may be written; notes what it changes.
    fn write(&mut self, instruction: &Instruction) -> bool {
        let info = self.factory.info(instruction);
        let stores = info.used_memory().iter().any(|memory| is_write(memory.access()));
        let written = info.used_registers().iter().filter(|used| is_write(used.access()));
        let written: Vec<Register> = written.map(|used| used.register().full_register()).collect();
        if stores && !self.stores_into_own_room(instruction) {
            return false;
        }
        let may_change = |register: &Register| {
            register.is_gpr64()
                && *register != Register::RSP
                && (!self.is_kept(*register) || self.saved.contains(*register))
        };
        let undoable = written.iter().all(may_change);
        written.into_iter().filter(|register| register.is_gpr64()).for_each(|r| self.changed.insert(r));
        undoable
    }

    /// Whether a hook or the caller relies on the register.
    fn is_kept(&self, register: Register) -> bool {
        const CALLEE_SAVED: [Register; 6] =
            [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];
        CALLEE_SAVED.contains(&register) || self.hook.arguments().contains(&register)
    }

    fn stores_into_own_room(&self, instruction: &Instruction) -> bool {
        let Some(Lowered::By(room)) = self.lowered.last() else { return false };
        let start = instruction.memory_displacement64();
        let end = start.checked_add(instruction.memory_size().size() as u64);
        instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RSP
            && instruction.memory_index() == Register::None
            && end.is_some_and(|end| end <= u64::from(*room))
    }

    fn test(&mut self, instruction: &Instruction) {
        let tests = self.hook.ignores_null()
            && instruction.code() == Code::Test_rm64_r64
            && instruction.op0_register() == Register::RDI
            && instruction.op1_register() == Register::RDI
            && !self.changed.contains(Register::RDI);
        self.null_tested = tests || (self.null_tested && instruction.rflags_modified() == 0);
    }
}

/// Instructions that have no effects but those on their operands and the flags.
fn is_plain(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Mov | Movzx
            | Movsx
            | Movsxd
            | Lea
            | Xor
            | And
            | Or
            | Add
            | Sub
            | Neg
            | Not
            | Shl
            | Shr
            | Sar
            | Mul
            | Imul
            | Test
            | Cmp
            | Bt
            | Seto
            | Sete
            | Setne
            | Cmove
            | Cmovne
            | Cmova
            | Cmovae
            | Cmovb
            | Cmovbe
    )
}

fn is_write(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

/// A set of general-purpose registers.
#[derive(Clone, Copy, Debug, Default)]
struct Registers(u16);

impl Registers {
    fn insert(&mut self, register: Register) {
        self.0 |= 1 << register.number();
    }

    fn contains(self, register: Register) -> bool {
        self.0 & (1 << register.number()) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offsets at which a detour may stand, and what is undone at the last.
    fn check(hook: Hook, code: &[u8], offsets: &[u64], lowered: &[Lowered]) {
        let boundaries = walk(hook, code, 0x1000);
        let found: Vec<u64> = boundaries.iter().map(|b| b.instruction.ip() - 0x1000).collect();
        assert_eq!(found, offsets);
        assert_eq!(boundaries.last().expect("a first instruction").lowered, lowered);
    }

    #[test]
    fn pushes_save_and_moves_into_saved_registers_go_on() {
        // push r12; push rbp; push rbx; mov rbx,rdi; sub rsp,0x10; cmp byte [rip+…],0; je …
        let malloc = [
            0x41, 0x54, 0x55, 0x53, 0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 0x10, 0x80, 0x3d, 0x46, 0x1b, 0x14,
            0, 0, 0x0f, 0x84, 0xf8, 1, 0, 0, 0x90,
        ];
        let saved = [Register::R12, Register::RBP, Register::RBX].map(Lowered::Saving);
        let lowered = [&saved[..], &[Lowered::By(16)]].concat();
        check(Hook::Malloc, &malloc, &[0, 2, 3, 4, 7, 11, 18], &lowered);
    }

    #[test]
    fn a_register_that_is_neither_saved_nor_scratch_ends_the_run() {
        check(Hook::Malloc, &[0x48, 0x89, 0xfb, 0x90], &[0], &[]); // mov rbx,rdi
        check(Hook::Malloc, &[0x31, 0xff, 0x90], &[0], &[]); // xor edi,edi: the size
        check(Hook::Malloc, &[0x31, 0xf6, 0x90], &[0, 2], &[]); // xor esi,esi: nobody's
        check(Hook::Calloc, &[0x31, 0xf6, 0x90], &[0], &[]); // … but calloc's size
        check(Hook::Calloc, &[0x48, 0xf7, 0xe6, 0x90], &[0, 3], &[]); // mul rsi: rax, rdx
        check(Hook::Malloc, &[0x57, 0x31, 0xff, 0x90], &[0, 1, 3], &[Lowered::Saving(Register::RDI)]);
    }

    #[test]
    fn a_changed_register_is_not_saved_by_a_push() {
        // xor eax,eax; push rax; push 1; push rbp; xor ebp,ebp; push rbp
        let code = [0x31, 0xc0, 0x50, 0x6a, 1, 0x55, 0x31, 0xed, 0x55, 0x90];
        let lowered = [Lowered::By(8), Lowered::By(8), Lowered::Saving(Register::RBP), Lowered::By(8)];
        check(Hook::Malloc, &code, &[0, 2, 3, 5, 6, 8, 9], &lowered);
    }

    #[test]
    fn only_the_null_test_of_a_free_is_passed() {
        let code = [0x48, 0x85, 0xff, 0x74, 0x10, 0x55, 0xc3]; // test rdi,rdi; je; push rbp; ret
        check(Hook::Free, &code, &[0, 3, 5, 6], &[Lowered::Saving(Register::RBP)]);
        check(Hook::Malloc, &code, &[0, 3], &[]);
        let jne = [0x48, 0x85, 0xff, 0x75, 0x10, 0x55, 0xc3];
        check(Hook::Free, &jne, &[0, 3], &[]);
        // test rdi,rdi; cmp rsi,rdi; je
        check(Hook::Free, &[0x48, 0x85, 0xff, 0x48, 0x39, 0xfe, 0x74, 0x10, 0x90], &[0, 3, 6], &[]);
    }

    #[test]
    fn stores_stay_in_the_room_made_for_them() {
        // sub rsp,0x58; mov [rsp+0x40],r8; mov rax,fs:[0x28]; mov [rsp+0x18],rax; nop
        let mremap = [
            0x48, 0x83, 0xec, 0x58, 0x4c, 0x89, 0x44, 0x24, 0x40, 0x64, 0x48, 0x8b, 4, 0x25, 0x28, 0, 0, 0,
            0x48, 0x89, 0x44, 0x24, 0x18, 0x90,
        ];
        check(Hook::Mremap, &mremap, &[0, 4, 9, 18, 23], &[Lowered::By(0x58)]);
        let over_the_return_address = [0x48, 0x83, 0xec, 8, 0x4c, 0x89, 0x44, 0x24, 8, 0x90];
        check(Hook::Mremap, &over_the_return_address, &[0, 4], &[Lowered::By(8)]);
        // push rbx; mov [rsp],rdi: that would lose rbx
        check(
            Hook::Malloc,
            &[0x53, 0x48, 0x89, 0x3c, 0x24, 0x90],
            &[0, 1],
            &[Lowered::Saving(Register::RBX)],
        );
        check(Hook::Malloc, &[0x48, 0x89, 0x37, 0x90], &[0], &[]); // mov [rdi],rsi
    }

    #[test]
    fn the_kernel_and_calls_end_the_run() {
        check(Hook::Munmap, &[0xb8, 11, 0, 0, 0, 0x0f, 5, 0xc3], &[0, 5], &[]);
        check(Hook::Malloc, &[0x90, 0xe8, 0, 0, 0, 0, 0x90], &[0, 1], &[]);
        check(Hook::Malloc, &[0x0f, 0x10, 0x07, 0x90], &[0], &[]); // movups xmm0,[rdi]
    }

    #[test]
    fn the_stack_settles_with_its_last_adjustment() {
        let boundaries = walk(Hook::Malloc, &[0x53, 0x90, 0x55, 0x90, 0xc3], 0x1000);
        assert_eq!(stack_settled_at(&boundaries), 0x1003);
        assert_eq!(stack_settled_at(&walk(Hook::Malloc, &[0x90, 0xc3], 0x1000)), 0x1000);
    }
}
