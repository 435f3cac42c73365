//! Where a function may be entered other than by a call: what its own branches,
//! and others of the module, lead to. A detour must not stand there, for its
//! island takes the state of a straight run from the start for granted.

use super::entries::Function;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};

/// The branch targets inside of a function.
#[derive(Debug)]
pub(super) struct Targets {
    direct: Vec<u64>,
    start: u64,
    /// Where computed jumps may lead to, if there are any: nothing that lies
    /// before an adjustment of the stack pointer, or each round would adjust it
    /// once more.
    computed_from: Option<u64>,
}

impl Targets {
    /// Decodes the whole function. The walk's last stack adjustment is
    /// `stack_settled_at`.
    pub(super) fn of(function: &Function, stack_settled_at: u64) -> Targets {
        let code = &function.code[..function.size];
        let mut direct = function.inward.clone();
        let mut computed = false;
        for instruction in Decoder::with_ip(64, code, function.addr, DecoderOptions::NONE).iter() {
            match instruction.flow_control() {
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::Call
                    if instruction.mnemonic() != Mnemonic::Syscall =>
                {
                    direct.push(instruction.near_branch_target());
                }
                FlowControl::IndirectBranch => computed |= !is_import(&instruction),
                _ => {}
            }
        }
        Targets { direct, start: function.addr, computed_from: computed.then_some(stack_settled_at) }
    }

    /// Whether a branch may lead to `addr`.
    pub(super) fn may_enter(&self, addr: u64) -> bool {
        let computed = self.computed_from.is_some_and(|from| addr >= from && addr != self.start);
        computed || self.direct.contains(&addr)
    }

    /// Whether a branch leads to an address behind `window_start`, before `end`.
    pub(super) fn enter_within(&self, window_start: u64, end: u64) -> bool {
        self.direct.iter().any(|addr| (window_start + 1..end).contains(addr))
    }
}

/// A jump through a fixed slot leaves the function: a tail call of an import.
fn is_import(instruction: &Instruction) -> bool {
    instruction.is_ip_rel_memory_operand() && instruction.memory_index() == Register::None
}

#[cfg(test)]
mod tests {
    use super::super::hook::Hook;
    use super::*;

    fn function(code: &[u8]) -> Function {
        Function {
            hook: Hook::Malloc,
            name: "malloc",
            module: "test".into(),
            addr: 0x1000,
            size: code.len(),
            code: code.to_vec(),
            inward: vec![0x1003],
        }
    }

    #[test]
    fn own_and_foreign_branches_count() {
        // 1000: push rbx; 1001: nop; 1002: jne 1001; 1004: ret
        let targets = Targets::of(&function(&[0x53, 0x90, 0x75, 0xfd, 0xc3]), 0x1001);
        let entered: Vec<u64> = (0x1000..0x1005).filter(|addr| targets.may_enter(*addr)).collect();
        assert_eq!(entered, [0x1001, 0x1003]);
        assert!(targets.enter_within(0x1000, 0x1002));
        assert!(!targets.enter_within(0x1001, 0x1003));
    }

    #[test]
    fn a_computed_jump_may_lead_behind_the_last_push() {
        // push rbx; mov rbx, rdi; jmp rax
        let targets = Targets::of(&function(&[0x53, 0x48, 0x89, 0xfb, 0xff, 0xe0]), 0x1001);
        assert!(!targets.may_enter(0x1000));
        assert!(targets.may_enter(0x1001));
        // Without a push the start is still only entered by calls.
        let targets = Targets::of(&function(&[0x48, 0x89, 0xf8, 0xff, 0xe0]), 0x1000);
        assert!(!targets.may_enter(0x1000) && targets.may_enter(0x1003));
        // … and a tail call through the import table does not.
        let targets = Targets::of(&function(&[0x53, 0x5b, 0xff, 0x25, 0, 0, 0, 0]), 0x1001);
        assert!(!targets.may_enter(0x1001));
    }
}
