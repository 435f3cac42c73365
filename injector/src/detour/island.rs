//! The code of an island: the way from a detour to its hook, and the function as
//! it was.
//!
//! ```text
//!  island:      pop …, lea rsp,[rsp+n]     as at the call again
//!               mov reg, imm64             the entry's address
//!               jmp [rip]                  the hook
//!               .quad hook
//!  trampoline:  the instructions up to the changed byte's, moved here
//!               jmp function + n
//! ```

use super::holes::pages;
use super::prologue::Lowered;
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, IcedError, Instruction, InstructionBlock, MemoryOperand,
    Register,
};

/// `jmp [rip+0]`; the address follows.
const JUMP_TO_LITERAL: [u8; 6] = [0xff, 0x25, 0, 0, 0, 0];
/// Between island and trampoline.
const TRAP: u8 = 0xcc;

/// An island, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// Its first page.
    pub page_addr: u64,
    /// Bytes of its pages.
    pub page_bytes: u64,
    /// Where `bytes` go.
    pub addr: u64,
    /// The code.
    pub bytes: Vec<u8>,
    /// Where the function goes on as it was.
    pub trampoline_addr: u64,
}

/// What an island is made from.
#[derive(Clone, Debug)]
pub(super) struct Island {
    /// Where the detour lands.
    pub addr: u64,
    /// What to undo, in the order in which it was done.
    pub lowered: Vec<Lowered>,
    /// Where the hook expects the entry's address.
    pub entry_register: Register,
    /// The instructions that are moved.
    pub moved: Vec<Instruction>,
}

impl Island {
    /// The code. Its length does not depend on the arguments. Fails if a moved
    /// instruction refers to something that is out of reach from here.
    pub(super) fn assemble(&self, entry_addr: u64, hook_addr: u64) -> Result<Assembled, IcedError> {
        let mut way = undo(&self.lowered)?;
        way.push(Instruction::with2(Code::Mov_r64_imm64, self.entry_register, entry_addr)?);
        let mut bytes = encode(&way, self.addr)?;
        bytes.extend(JUMP_TO_LITERAL);
        bytes.extend(hook_addr.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), TRAP);
        let trampoline_addr = self.addr + bytes.len() as u64;
        bytes.extend(encode(&self.trampoline()?, trampoline_addr)?);
        let pages = pages(&(self.addr..self.addr + bytes.len() as u64));
        let page_bytes = pages.end - pages.start;
        Ok(Assembled { page_addr: pages.start, page_bytes, addr: self.addr, bytes, trampoline_addr })
    }

    /// The moved instructions and the jump back. That jump has no address of its
    /// own, or the encoder would take it for its target.
    fn trampoline(&self) -> Result<Vec<Instruction>, IcedError> {
        let mut code = self.moved.clone();
        if let Some(last) = code.last() {
            code.push(Instruction::with_branch(Code::Jmp_rel32_64, last.next_ip())?);
        }
        Ok(code)
    }
}

/// Bytes of a [`thunk`].
pub const THUNK_BYTES: usize = 28;

/// A way into `hook` for a pointer to a function of `arguments` integers, one to four:
/// the entry's address comes behind them.
pub fn thunk(arguments: usize, entry_addr: u64, hook_addr: u64) -> [u8; THUNK_BYTES] {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    // mov rsi, rdx, rcx, r8 ← imm64
    const MOV: [[u8; 2]; 4] = [[0x48, 0xbe], [0x48, 0xba], [0x48, 0xb9], [0x49, 0xb8]];
    let mov = &MOV[arguments - 1];
    let parts: [&[u8]; 5] =
        [&ENDBR64, mov, &entry_addr.to_le_bytes(), &JUMP_TO_LITERAL, &hook_addr.to_le_bytes()];
    parts.concat().try_into().expect("the sum of its parts")
}

fn undo(lowered: &[Lowered]) -> Result<Vec<Instruction>, IcedError> {
    let mut code = Vec::new();
    let mut dropped = 0;
    for step in lowered.iter().rev() {
        match step {
            Lowered::By(bytes) => dropped += i64::from(*bytes),
            Lowered::Saving(register) => {
                code.extend(raise(dropped)?);
                dropped = 0;
                code.push(Instruction::with1(Code::Pop_r64, *register)?);
            }
        }
    }
    code.extend(raise(dropped)?);
    Ok(code)
}

fn raise(bytes: i64) -> Result<Option<Instruction>, IcedError> {
    let operand = MemoryOperand::with_base_displ(Register::RSP, bytes);
    (bytes != 0).then(|| Instruction::with2(Code::Lea_r64_m, Register::RSP, operand)).transpose()
}

fn encode(code: &[Instruction], addr: u64) -> Result<Vec<u8>, IcedError> {
    let block = InstructionBlock::new(code, addr);
    Ok(BlockEncoder::encode(64, block, BlockEncoderOptions::NONE)?.code_buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn decode(code: &[u8], addr: u64) -> Vec<Instruction> {
        Decoder::with_ip(64, code, addr, DecoderOptions::NONE).iter().collect()
    }

    fn island(lowered: Vec<Lowered>, moved: &[u8], function: u64, addr: u64) -> Island {
        Island { addr, lowered, entry_register: Register::RSI, moved: decode(moved, function) }
    }

    #[test]
    fn an_island_undoes_in_reverse_and_goes_to_the_hook() {
        let lowered = vec![Lowered::Saving(Register::RBX), Lowered::By(8), Lowered::By(16)];
        let island = island(lowered, &[0x53], 0x1000_0000, 0x2000_0ff0);
        let made = island.assemble(0x1122_3344_5566_7788, 0x99aa_bbcc_ddee_ff00).expect("reachable");
        let expected: &[u8] = &[
            0x48, 0x8d, 0x64, 0x24, 24, 0x5b, 0x48, 0xbe, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
            0xff, 0x25, 0, 0, 0, 0, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
        ];
        assert_eq!(&made.bytes[..30], expected);
        assert_eq!(&made.bytes[30..33], [TRAP, TRAP, 0x53]);
        assert_eq!(made.trampoline_addr, 0x2000_0ff0 + 32);
        let back = decode(&made.bytes[33..], made.trampoline_addr + 1);
        assert_eq!(back[0].near_branch_target(), 0x1000_0001);
        assert_eq!((made.page_addr, made.page_bytes), (0x2000_0000, 0x2000));
    }

    #[test]
    fn addresses_do_not_change_the_length() {
        let island = island(vec![], &[0x53], 0x1000_0000, 0x2000_0000);
        let lengths =
            [0, 1, u64::MAX].map(|addr| island.assemble(addr, addr).expect("reachable").bytes.len());
        assert_eq!(lengths, [lengths[0]; 3]);
    }

    #[test]
    fn moved_instructions_refer_to_what_they_did() {
        // cmp byte [rip+0x100],0; je +0x10
        let code = [0x80, 0x3d, 0, 1, 0, 0, 0, 0x74, 0x10];
        for distance in [0x1000_i64, 0x7f00_0000, -0x7f00_0000] {
            let function = 0x5000_0000_0000_u64;
            let island = island(vec![], &code, function, function.wrapping_add_signed(distance));
            let made = island.assemble(0, 0).expect("reachable");
            let offset = usize::try_from(made.trampoline_addr - made.addr).expect("small");
            let moved = decode(&made.bytes[offset..], made.trampoline_addr);
            assert_eq!(moved[0].ip_rel_memory_address(), function + 0x107);
            assert_eq!(moved[1].near_branch_target(), function + 0x19);
            assert_eq!(moved[2].near_branch_target(), function + 9);
        }
        assert!(island(vec![], &code, 0x5000_0000_0000, 0x5001_0000_0000).assemble(0, 0).is_err());
    }

    #[test]
    fn a_thunk_passes_the_entry_behind_the_arguments() {
        let registers = [Register::RSI, Register::RDX, Register::RCX, Register::R8];
        for (arguments, register) in (1..).zip(registers) {
            let thunk = thunk(arguments, 0x1122_3344_5566_7788, 0x99aa_bbcc_ddee_ff00);
            let code = decode(&thunk[..20], 0);
            assert_eq!((code[1].op0_register(), code[1].immediate64()), (register, 0x1122_3344_5566_7788));
            assert_eq!(code[2].ip_rel_memory_address(), 20);
            assert_eq!(thunk[20..], 0x99aa_bbcc_ddee_ff00_u64.to_le_bytes());
        }
    }
}
