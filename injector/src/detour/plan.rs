//! Planning a detour: which byte of a function is changed to what, and where the
//! island lies that this leads to. First fit:
//!
//! 1. One byte ([`Way::OneByte`], [`Way::RexByte`], [`Way::JumpTop`]), at any
//!    instruction boundary that the island can undo to. Islands above come first,
//!    below lies the growth zone of `mmap`.
//! 2. [`Way::FiveBytes`], a jump to an island within 2 GiB. Several bytes written
//!    from outside tear, so all threads must be stopped. The plan sees to it that
//!    the window lies in one page (a write that is cut short cuts at pages), in
//!    the function, is entered by no branch, and holds no call and no system call
//!    (both leave their return address lying about). [`super::arm_all_stopped`]
//!    sees to it that no thread is in it.
//!
//! A byte is never changed that another detour reads as its displacement.

use super::entries::Function;
use super::holes::{Holes, pages};
use super::hook::Hook;
use super::island::{Assembled, Island};
use super::prologue::{Boundary, stack_settled_at, walk};
use super::targets::Targets;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, IcedError, Instruction, Mnemonic};
use prof_shared::region::{Entry, PAGE};
use std::ops::Range;

/// `jmp rel32`.
const JUMP: u8 = 0xe9;
/// Bytes of `jmp rel32`; also what is compared before anything is changed.
pub(super) const JUMP_BYTES: usize = 5;

/// How a function is redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// `E9` over the first byte of an instruction; the next four are the
    /// displacement.
    OneByte,
    /// `E9` over the byte behind a REX prefix, which a near jump ignores.
    RexByte,
    /// The function begins with `jmp rel32`: another top byte of its displacement.
    JumpTop,
    /// A whole `jmp rel32`, written while every thread is stopped.
    FiveBytes,
}

impl Way {
    /// The name in captures and reports.
    pub fn name(self) -> &'static str {
        match self {
            Way::OneByte => "one byte",
            Way::RexByte => "one byte behind REX",
            Way::JumpTop => "top byte of a jump",
            Way::FiveBytes => "five bytes, all threads stopped",
        }
    }

    /// Whether every thread must be stopped to arm and to disarm it.
    pub fn needs_all_stopped(self) -> bool {
        self == Way::FiveBytes
    }
}

/// Why a function is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The process's text is not the file's: a breakpoint, a uprobe, another tool.
    #[error("{name} at {addr:#x} was changed by somebody else, at {at:#x}")]
    TextDiffers {
        /// The function.
        name: &'static str,
        /// Its address.
        addr: u64,
        /// The first byte that differs.
        at: u64,
    },
    /// No boundary reaches a free page, and no window for five bytes was found.
    #[error("{name} at {addr:#x} has no place for a detour")]
    NoWay {
        /// The function.
        name: &'static str,
        /// Its address.
        addr: u64,
    },
}

/// One function's detour.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The hook that serves the function.
    pub hook: Hook,
    /// The name under which it is reported.
    pub name: &'static str,
    /// Its address.
    pub function: u64,
    /// How it is redirected.
    pub way: Way,
    /// The first changed byte.
    pub patch: u64,
    /// Eight bytes from there on as they stand.
    pub before: [u8; 8],
    /// … and while recording.
    pub after: [u8; 8],
    /// The instruction that jumps to the island.
    pub jump: u64,
    island: Island,
    len: u64,
    trampoline: u64,
}

impl Plan {
    /// How many bytes change.
    pub fn patch_len(&self) -> usize {
        if self.way == Way::FiveBytes { JUMP_BYTES } else { 1 }
    }

    /// Where the detour leads to.
    pub fn island(&self) -> Range<u64> {
        self.island.addr..self.island.addr + self.len
    }

    /// The pages to be mapped for it, which other islands may share.
    pub fn pages(&self) -> Range<u64> {
        pages(&self.island())
    }

    /// The function as it was.
    pub fn trampoline(&self) -> u64 {
        self.trampoline
    }

    /// The island's code, once the addresses of entry and hook are known.
    pub fn assemble(&self, entry_addr: u64, hook_addr: u64) -> Assembled {
        self.island.assemble(entry_addr, hook_addr).expect("assembled before with other constants")
    }

    /// The line of the register by which the detour is undone.
    pub fn entry(&self, region: u64) -> Entry {
        let pages = self.pages();
        let mut entry = Entry::default();
        entry.original = self.trampoline;
        entry.region = region;
        entry.function = self.function;
        entry.patch = self.patch;
        entry.before = self.before;
        entry.after = self.after;
        entry.island = pages.start;
        entry.island_bytes = u32::try_from(pages.end - pages.start).expect("a page or two");
        entry.patch_len = u8::try_from(self.patch_len()).expect("one or five");
        entry.kind = self.hook.kind() as u8;
        entry
    }

    /// The bytes that must stay as they are, beside the changed ones.
    fn read(&self) -> Range<u64> {
        self.jump.min(self.patch)..(self.jump.max(self.patch) + JUMP_BYTES as u64)
    }

    fn changed(&self) -> Range<u64> {
        self.patch..self.patch + self.patch_len() as u64
    }
}

/// The pages of all islands, ascending, each once.
pub fn mappings(plans: &[Plan]) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = plans.iter().map(Plan::pages).collect();
    all.sort_by_key(|pages| pages.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for pages in all {
        match merged.last_mut() {
            Some(last) if pages.start < last.end => last.end = last.end.max(pages.end),
            _ => merged.push(pages),
        }
    }
    merged
}

/// Plans one function after another, so that they do not get in each other's way.
#[derive(Clone, Debug)]
pub struct Planner {
    holes: Holes,
    changed: Vec<Range<u64>>,
    read: Vec<Range<u64>>,
}

impl Planner {
    /// Starts with nothing planned.
    pub fn new(holes: Holes) -> Planner {
        Planner { holes, changed: Vec::new(), read: Vec::new() }
    }

    /// Plans a function, given what the process has in place of `function.code`.
    pub fn plan(&mut self, function: &Function, live: &[u8]) -> Result<Plan, Refused> {
        let (name, addr) = (function.name, function.addr);
        if let Some(at) = first_difference(&function.code, live) {
            return Err(Refused::TextDiffers { name, addr, at: addr + at as u64 });
        }
        let boundaries = walk(function.hook, &function.code[..function.size], addr);
        let targets = Targets::of(function, stack_settled_at(&boundaries));
        let block = Block { function, boundaries, targets };
        let plan = self.one_byte(&block).or_else(|| self.five_bytes(&block));
        let plan = plan.ok_or(Refused::NoWay { name, addr })?;
        self.holes.take(plan.island());
        self.changed.push(plan.changed());
        self.read.push(plan.read());
        Ok(plan)
    }

    /// Takes a plan back whose pages could not be mapped; they count as taken.
    pub fn lost(&mut self, plan: &Plan) {
        self.holes.lose(&plan.island());
        self.changed.retain(|range| *range != plan.changed());
        self.read.retain(|range| *range != plan.read());
    }

    fn one_byte(&self, block: &Block) -> Option<Plan> {
        let mut candidates = block.candidates();
        candidates.sort_by_key(|candidate| candidate.target < block.function.addr);
        candidates.into_iter().find_map(|candidate| self.fit(block.plan(&candidate)?))
    }

    fn five_bytes(&self, block: &Block) -> Option<Plan> {
        block.windows().find_map(|(boundary, moved)| {
            let jump = boundary.instruction.ip();
            let len = block.plan_window(boundary, &moved, jump)?.len;
            let spots = self.holes.spots(jump, len).into_iter();
            spots.filter_map(|spot| block.plan_window(boundary, &moved, spot)).find_map(|plan| self.fit(plan))
        })
    }

    fn fit(&self, plan: Plan) -> Option<Plan> {
        let apart = |range: &Range<u64>, others: &[Range<u64>]| {
            others.iter().all(|other| other.end <= range.start || other.start >= range.end)
        };
        let fits = self.holes.fits(&plan.island())
            && apart(&plan.changed(), &self.read)
            && apart(&plan.read(), &self.changed);
        fits.then_some(plan)
    }
}

fn first_difference(file: &[u8], live: &[u8]) -> Option<usize> {
    let differs = file.iter().zip(live).position(|(file, live)| file != live);
    differs.or((live.len() < file.len()).then_some(live.len()))
}

/// A function's entry block, decoded.
struct Block<'a> {
    function: &'a Function,
    boundaries: Vec<Boundary>,
    targets: Targets,
}

/// A changed byte and where it leads to.
struct Candidate {
    way: Way,
    index: usize,
    jump: u64,
    patch: u64,
    value: u8,
    target: u64,
}

impl Block<'_> {
    /// All ways by one byte, by boundary.
    fn candidates(&self) -> Vec<Candidate> {
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

    fn plan(&self, candidate: &Candidate) -> Option<Plan> {
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
    fn windows(&self) -> impl Iterator<Item = (&Boundary, Vec<Instruction>)> {
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
            if instruction.flow_control() == FlowControl::UnconditionalBranch {
                return None;
            }
        }
        None
    }

    fn plan_window(&self, boundary: &Boundary, moved: &[Instruction], target: u64) -> Option<Plan> {
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
        FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
            !instruction.is_invalid()
        }
        FlowControl::Call => instruction.mnemonic() == Mnemonic::Syscall,
        _ => false,
    }
}
