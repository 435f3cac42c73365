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

use super::block::{Block, JUMP_BYTES};
use super::entries::Function;
use super::holes::{Holes, pages};
use super::hook::Hook;
use super::island::{Assembled, Island};
use prof_shared::region::Entry;
use std::ops::Range;

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
    pub(super) island: Island,
    pub(super) len: u64,
    pub(super) trampoline: u64,
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

/// The mappings that hold the pages of several islands, ascending, each page in
/// one of them.
pub fn mappings(islands: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = islands.into_iter().collect();
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
        let block = Block::decode(function);
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
        candidates.sort_by_key(|candidate| candidate.target < candidate.jump);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detour::Limits;
    use crate::process::{Mapping, Maps};

    const BASE: u64 = 0x2000_0000_0000;
    /// push r12; push rbp; push rbx; mov rbx,rdi; ret; nop …
    const MALLOC: [u8; 16] =
        [0x41, 0x54, 0x55, 0x53, 0x48, 0x89, 0xfb, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];

    fn function(addr: u64, size: usize, code: &[u8]) -> Function {
        Function {
            hook: Hook::Malloc,
            name: "malloc",
            module: "test".into(),
            addr,
            size,
            code: code.to_vec(),
            inward: Vec::new(),
        }
    }

    /// A planner for which nothing is free but these pages.
    fn planner(free: &[u64]) -> Planner {
        let mut free = free.to_vec();
        free.sort();
        let mut taken = Vec::new();
        let mut start = 0x1000;
        for page in free.into_iter().chain([0x7fff_ffff_f000]) {
            let line = format!("{start:x}-{page:x} r-xp 00000000 00:00 0 ");
            taken.extend(Mapping::parse(&line).filter(|mapping| !mapping.is_empty()));
            start = page + 0x1000;
        }
        let limits = Limits { stack_bytes: Some(8 << 20), brk_start: 0, lowest: 0x1000 };
        Planner::new(Holes::new(&Maps(taken), &limits))
    }

    fn page(addr: u64) -> u64 {
        addr & !0xfff
    }

    /// Where the jump leads to whose opcode stands at `offset` of `code`.
    fn lands(code: &[u8], offset: usize) -> u64 {
        let displacement = code[offset + 1..].first_chunk().expect("four more");
        let next = BASE + offset as u64 + 5;
        next.wrapping_add_signed(i64::from(i32::from_le_bytes(*displacement)))
    }

    fn target(offset: usize) -> u64 {
        lands(&MALLOC, offset)
    }

    fn check(code: &[u8], free: &[u64], expected: (Way, u64)) {
        let function = function(BASE, 8, code);
        let plan = planner(free).plan(&function, &function.code).expect("a way");
        assert_eq!((plan.way, plan.patch - BASE), expected);
    }

    #[test]
    fn the_first_boundary_that_reaches_a_free_page_is_taken() {
        check(&MALLOC, &[page(target(0))], (Way::OneByte, 0));
        check(&MALLOC, &[page(target(1))], (Way::RexByte, 1));
        check(&MALLOC, &[page(target(2))], (Way::OneByte, 2));
        check(&MALLOC, &[page(target(3)), page(target(2))], (Way::OneByte, 2));
    }

    #[test]
    fn above_comes_before_below() {
        // xor eax,eax; xor esi,esi; nop; nop; push rbx; ret
        let code = [0x31, 0xc0, 0x31, 0xf6, 0x90, 0x90, 0x53, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90];
        let (below, above) = (lands(&code, 0), lands(&code, 2));
        assert!(below < BASE && above > BASE);
        check(&code, &[page(below), page(above)], (Way::OneByte, 2));
        check(&code, &[page(below)], (Way::OneByte, 0));
    }

    #[test]
    fn one_byte_is_changed_and_the_rest_is_known() {
        let function = function(BASE, 8, &MALLOC);
        let plan = planner(&[page(target(0))]).plan(&function, &function.code).expect("a way");
        let entry = plan.entry(0x1234);
        assert_eq!(entry.before, MALLOC[..8]);
        assert_eq!(entry.after, [0xe9, 0x54, 0x55, 0x53, 0x48, 0x89, 0xfb, 0xc3]);
        assert_eq!((entry.patch, entry.patch_len, entry.function), (BASE, 1, BASE));
        assert_eq!((entry.island, entry.island_bytes, entry.region), (page(target(0)), 4096, 0x1234));
        let island = plan.assemble(5, 6);
        assert_eq!((island.addr, island.trampoline_addr), (target(0), entry.original));
    }

    #[test]
    fn five_bytes_are_the_last_way() {
        let near = BASE + 0x100_0000;
        check(&MALLOC, &[near], (Way::FiveBytes, 0));
        let function = function(BASE, 8, &MALLOC);
        let plan = planner(&[near]).plan(&function, &function.code).expect("a way");
        assert_eq!(plan.island().start, near);
        assert_eq!(plan.after[..5], [0xe9, 0xfb, 0xff, 0xff, 0x00]);
        assert_eq!(plan.entry(0).patch_len, 5);
    }

    #[test]
    fn a_window_lies_in_one_page_and_is_entered_at_its_start_only() {
        let near = BASE + 0x100_0000;
        let refused = |function: &Function| planner(&[near]).plan(function, &function.code).is_err();
        assert!(refused(&function(BASE + 0xffd, 7, &MALLOC)));
        // mov eax,11 is followed by syscall, which a window may not hold.
        let munmap = [0xb8, 11, 0, 0, 0, 0x0f, 5, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
        assert!(!refused(&function(BASE, 8, &munmap)));
        let short = [0xb0, 11, 0x0f, 5, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
        assert!(refused(&function(BASE, 6, &short)));
        let mut entered = function(BASE, 8, &MALLOC);
        entered.inward = vec![BASE];
        assert!(!refused(&entered), "its start is a start");
        entered.inward = vec![BASE + 3];
        assert!(refused(&entered));
    }

    #[test]
    fn an_endbr64_stays_in_front() {
        // endbr64; push rbx; mov rbx,rdi; pop rbx; ret
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0x53, 0x48, 0x89, 0xfb, 0x5b, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90];
        let function = function(BASE, 10, &code);
        for free in [page(lands(&code, 0)), BASE + 0x100_0000] {
            let plan = planner(&[free]).plan(&function, &code).expect("a way");
            assert_eq!((plan.way, plan.patch), (Way::FiveBytes, BASE + 4));
        }
    }

    #[test]
    fn a_branch_target_carries_no_detour() {
        let mut entered = function(BASE, 8, &MALLOC);
        entered.inward = vec![BASE];
        let free = [page(target(2)), page(target(0)), page(target(1))];
        let plan = planner(&free).plan(&entered, &MALLOC).expect("a way");
        assert_eq!((plan.way, plan.patch), (Way::OneByte, BASE + 2));
    }

    #[test]
    fn a_bare_jump_gets_another_top_byte() {
        // endbr64; jmp +0x123456; padding
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0xe9, 0x56, 0x34, 0x12, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
        let function = function(BASE, 9, &code);
        let reached = |top: u64| BASE + 9 + 0x123456 + (top << 24);
        let free = [page(reached(0x20)), page(reached(0x30))];
        let plan = planner(&free).plan(&function, &code).expect("a way");
        assert_eq!((plan.way, plan.patch, plan.jump), (Way::JumpTop, BASE + 8, BASE + 4));
        assert_eq!((plan.after[0], plan.island().start), (0x20, reached(0x20)));
    }

    #[test]
    fn two_detours_do_not_change_what_the_other_reads() {
        // A function of one byte's length: its jump reads the next function.
        let code = [&[0x90][..], &MALLOC].concat();
        let first = function(BASE - 1, 1, &code);
        let second = function(BASE, 8, &MALLOC);
        let read_by_first = u64::from(u32::from_le_bytes([0x41, 0x54, 0x55, 0x53])) + BASE + 4;
        let free = [page(target(0)), page(read_by_first)];
        for order in [[&first, &second], [&second, &first]] {
            let mut planner = planner(&free);
            planner.plan(order[0], &order[0].code).expect("a way");
            let refused = planner.plan(order[1], &order[1].code);
            assert!(matches!(refused, Err(Refused::NoWay { .. })), "{refused:?}");
        }
    }

    #[test]
    fn changed_text_is_refused_with_its_place() {
        let function = function(BASE, 8, &MALLOC);
        let mut live = MALLOC;
        live[6] = 0xcc;
        let refused = planner(&[page(target(0))]).plan(&function, &live).expect_err("changed");
        assert_eq!(refused, Refused::TextDiffers { name: "malloc", addr: BASE, at: BASE + 6 });
        let refused = planner(&[page(target(0))]).plan(&function, &live[..3]).expect_err("unreadable");
        assert_eq!(refused, Refused::TextDiffers { name: "malloc", addr: BASE, at: BASE + 3 });
    }

    #[test]
    fn a_lost_island_is_planned_elsewhere() {
        let function = function(BASE, 8, &MALLOC);
        let mut planner = planner(&[page(target(0)), page(target(1))]);
        let first = planner.plan(&function, &MALLOC).expect("a way");
        planner.lost(&first);
        let second = planner.plan(&function, &MALLOC).expect("another way");
        assert_eq!((first.way, second.way), (Way::OneByte, Way::RexByte));
        planner.lost(&second);
        planner.plan(&function, &MALLOC).expect_err("nothing left");
    }

    #[test]
    fn shared_pages_are_mapped_once() {
        assert_eq!(
            mappings([0x3000..0x4000, 0x1000..0x3000, 0x1000..0x2000]),
            [0x1000..0x3000, 0x3000..0x4000]
        );
        let overlapping = mappings([0x1000..0x3000, 0x2000..0x4000, 0x5000..0x6000]);
        assert_eq!(overlapping, [0x1000..0x4000, 0x5000..0x6000]);
    }
}
