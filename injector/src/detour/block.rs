//! What a function's entry block offers: bytes that could be changed, and where
//! each change would lead. Whether an island has room there is not asked here.

use super::entries::Function;
use super::island::Island;
use super::plan::{Plan, Way};
use super::prologue::{Boundary, stack_settled_at, walk};
use super::targets::Targets;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, IcedError, Instruction, Mnemonic};
use prof_shared::region::PAGE;

/// `jmp rel32`.
const JUMP: u8 = 0xe9;
/// Bytes of `jmp rel32`; also what is compared before anything is changed.
pub(super) const JUMP_BYTES: usize = 5;

/// A function's entry block, decoded.
pub(super) struct Block<'a> {
    function: &'a Function,
    boundaries: Vec<Boundary>,
    targets: Targets,
}

/// A changed byte and where it leads to.
pub(super) struct Candidate {
    way: Way,
    /// The boundary's.
    index: usize,
    /// The instruction that jumps.
    pub jump: u64,
    patch: u64,
    value: u8,
    /// Where it jumps to.
    pub target: u64,
}

impl<'a> Block<'a> {
    /// Decodes the entry block, and the whole function for its branches.
    pub(super) fn decode(function: &'a Function) -> Block<'a> {
        let boundaries = walk(function.hook, &function.code[..function.size], function.addr);
        let targets = Targets::of(function, stack_settled_at(&boundaries));
        Block { function, boundaries, targets }
    }

    /// All ways by one byte, by boundary.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (index, boundary) in self.boundaries.iter().enumerate() {
            let instruction = &boundary.instruction;
            let addr = instruction.ip();
            if instruction.mnemonic() == Mnemonic::Endbr64
                || !is_movable(instruction)
                || self.targets.may_enter(addr)
            {
                continue;
            }
            candidates.extend(self.jump(Way::OneByte, index, addr, addr));
            if self.byte(addr).is_some_and(|byte| byte & 0xf0 == 0x40) && !self.targets.may_enter(addr + 1) {
                candidates.extend(self.jump(Way::RexByte, index, addr, addr + 1));
            }
            if instruction.code() == Code::Jmp_rel32_64 && instruction.len() == JUMP_BYTES {
                candidates.extend(self.jump_tops(index, addr));
            }
        }
        candidates
    }

    fn jump(&self, way: Way, index: usize, jump: u64, patch: u64) -> Option<Candidate> {
        let changes = self.byte(patch)? != JUMP;
        let target = self.lands(patch, self.displacement(patch + 1)?);
        changes.then_some(Candidate { way, index, jump, patch, value: JUMP, target })
    }

    fn jump_tops(&self, index: usize, jump: u64) -> impl Iterator<Item = Candidate> {
        let patch = jump + 4;
        let standing = self.displacement(jump + 1);
        standing.into_iter().flat_map(move |[a, b, c, d]| {
            let others = (0..=u8::MAX).filter(move |value| *value != d);
            others.map(move |value| {
                let target = self.lands(jump, [a, b, c, value]);
                Candidate { way: Way::JumpTop, index, jump, patch, value, target }
            })
        })
    }

    /// Where a jump leads to whose opcode stands at `opcode`.
    fn lands(&self, opcode: u64, displacement: [u8; 4]) -> u64 {
        let next = opcode.wrapping_add(JUMP_BYTES as u64);
        next.wrapping_add_signed(i64::from(i32::from_le_bytes(displacement)))
    }

    fn byte(&self, addr: u64) -> Option<u8> {
        self.bytes(addr).first().copied()
    }

    fn displacement(&self, addr: u64) -> Option<[u8; 4]> {
        self.bytes(addr).first_chunk().copied()
    }

    /// The code from `addr` on.
    fn bytes(&self, addr: u64) -> &[u8] {
        let offset = usize::try_from(addr - self.function.addr).unwrap_or(usize::MAX);
        self.function.code.get(offset..).unwrap_or_default()
    }

    /// The detour that a candidate makes; `None` if what it moves cannot refer from
    /// there to what it does here.
    pub(super) fn plan(&self, candidate: &Candidate) -> Option<Plan> {
        let moved = self.boundaries[..=candidate.index].iter().map(|boundary| boundary.instruction);
        let mut after = self.before(candidate.patch)?;
        after[0] = candidate.value;
        let jump = Jump {
            way: candidate.way,
            jump: candidate.jump,
            patch: candidate.patch,
            after,
            boundary: &self.boundaries[candidate.index],
        };
        self.finish(jump, moved.collect(), candidate.target).ok()
    }

    /// Boundaries at which five bytes may be written, and the instructions that
    /// have to move.
    pub(super) fn windows(&self) -> impl Iterator<Item = (&Boundary, Vec<Instruction>)> {
        let addr = |boundary: &Boundary| boundary.instruction.ip();
        let entered = move |boundary: &Boundary| {
            addr(boundary) != self.function.addr && self.targets.may_enter(addr(boundary))
        };
        let usable = self.boundaries.iter().enumerate().filter(move |(_, boundary)| {
            boundary.instruction.mnemonic() != Mnemonic::Endbr64 && !entered(boundary)
        });
        usable.filter_map(move |(index, boundary)| {
            let jump = addr(boundary);
            let moved = self.covering(index)?;
            let end = jump + JUMP_BYTES as u64;
            let in_one_page = jump / PAGE == (end - 1) / PAGE;
            let in_function = end <= self.function.addr + self.function.size as u64;
            (in_one_page && in_function && !self.targets.enter_within(jump, end)).then_some((boundary, moved))
        })
    }

    /// The instructions from the start to behind a window at a boundary. Only the
    /// last may be a jump, and none leaves a return address.
    fn covering(&self, index: usize) -> Option<Vec<Instruction>> {
        let jump = self.boundaries[index].instruction.ip();
        let mut moved: Vec<Instruction> = self.boundaries[..index].iter().map(|b| b.instruction).collect();
        for instruction in Decoder::with_ip(64, self.bytes(jump), jump, DecoderOptions::NONE).iter() {
            if !is_movable(&instruction) || instruction.mnemonic() == Mnemonic::Syscall {
                return None;
            }
            moved.push(instruction);
            if instruction.next_ip() >= jump + JUMP_BYTES as u64 {
                return Some(moved);
            }
            if matches!(
                instruction.flow_control(),
                FlowControl::UnconditionalBranch | FlowControl::IndirectBranch
            ) {
                return None;
            }
        }
        None
    }

    /// The detour by five bytes that leads from a window to `target`.
    pub(super) fn plan_window(
        &self,
        boundary: &Boundary,
        moved: &[Instruction],
        target: u64,
    ) -> Option<Plan> {
        let patch = boundary.instruction.ip();
        let next = patch + JUMP_BYTES as u64;
        let displacement = i32::try_from(target.wrapping_sub(next).cast_signed()).ok()?;
        let mut after = self.before(patch)?;
        after[0] = JUMP;
        after[1..JUMP_BYTES].copy_from_slice(&displacement.to_le_bytes());
        let jump = Jump { way: Way::FiveBytes, jump: patch, patch, after, boundary };
        self.finish(jump, moved.to_vec(), target).ok()
    }

    /// The bytes at a patch; as many as are compared must be known.
    fn before(&self, patch: u64) -> Option<[u8; 8]> {
        let bytes = self.bytes(patch);
        let mut before = [0; 8];
        let count = bytes.len().min(8);
        before[..count].copy_from_slice(&bytes[..count]);
        (count >= JUMP_BYTES).then_some(before)
    }

    fn finish(&self, jump: Jump, moved: Vec<Instruction>, target: u64) -> Result<Plan, IcedError> {
        let function = self.function;
        let island = Island {
            addr: target,
            lowered: jump.boundary.lowered.clone(),
            entry_register: function.hook.entry_register(),
            moved,
        };
        let assembled = island.assemble(0, 0)?;
        Ok(Plan {
            hook: function.hook,
            name: function.name,
            function: function.addr,
            way: jump.way,
            patch: jump.patch,
            before: self.before(jump.patch).expect("looked up for `after`"),
            after: jump.after,
            jump: jump.jump,
            len: assembled.bytes.len() as u64,
            trampoline: assembled.trampoline_addr,
            island,
        })
    }
}

/// How a block is entered by its island.
struct Jump<'a> {
    way: Way,
    jump: u64,
    patch: u64,
    after: [u8; 8],
    boundary: &'a Boundary,
}

/// Whether a trampoline may hold the instruction. Calls would leave return
/// addresses into it, and what returns or traps is no beginning of a function.
/// A system call stays only as long as the kernel takes.
fn is_movable(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::Next
        | FlowControl::ConditionalBranch
        | FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch => !instruction.is_invalid(),
        FlowControl::Call => instruction.mnemonic() == Mnemonic::Syscall,
        _ => false,
    }
}
