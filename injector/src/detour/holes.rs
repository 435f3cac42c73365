//! Where an island may lie: what is neither mapped nor needed for growth.
//!
//! ```text
//!  0 ── lowest ── program ── brk ▓▓▓▓► … ◄── mmap ── libraries ──   ◄▓▓▓ stack ── USER_END
//! ```
//!
//! `mmap` finds its way round an island anywhere. Two regions cannot, they grow
//! in place (▓):
//!
//! - *The main stack* down to its limit, plus the guard gap that the kernel
//!   keeps below it. With a limit of 8 GiB the kernel puts the libraries that
//!   much lower (`mmap_base()`, arch/x86/mm/mmap.c, Linux 6.18), and the limit is
//!   still the exact answer. *Without a limit* it keeps 5/6 of the address space
//!   free below the stack, which is everything above the libraries. No stack
//!   gets that large: every page of it is memory. An unlimited stack is left
//!   [`ROOM_BYTES`], and what the kernel keeps beyond that is used.
//!   The soft limit counts, as for the kernel when it faults; the room behind a
//!   limit that is raised later is not kept.
//! - *The heap* of `brk`, upwards from its start, by the same [`ROOM_BYTES`].
//!
//! Other mappings that grow (`MAP_GROWSDOWN`) are not told apart in `maps` and
//! keep only the distance that chance gives them.

use crate::Pid;
use crate::process::Maps;
use procfs::process::LimitValue;
use prof_shared::region::PAGE;
use std::io;
use std::ops::Range;

/// The end of the user half with four-level page tables (`TASK_SIZE_MAX`).
const USER_END: u64 = 0x7fff_ffff_f000;
/// Room for what may grow without a limit: more than any machine has memory.
const ROOM_BYTES: u64 = 1 << 40;
/// What the kernel keeps free below a stack (`stack_guard_gap`, 256 pages).
pub const STACK_GUARD_BYTES: u64 = 256 * PAGE;
/// How far from its function an island may lie: a jump's reach less what the
/// displacements in the moved instructions need.
const REACH_BYTES: u64 = (2 << 30) - (64 << 20);

/// The limits of a process that `maps` does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `RLIMIT_STACK` in bytes; `None`: unlimited.
    pub stack_bytes: Option<u64>,
    /// Where the heap of `brk` starts.
    pub brk_start: u64,
    /// The lowest address that may be mapped.
    pub lowest: u64,
}

impl Limits {
    /// Reads them from `/proc`.
    pub fn read(pid: Pid) -> io::Result<Limits> {
        let process = procfs::process::Process::new(pid.as_raw()).map_err(io::Error::other)?;
        let stack = process.limits().map_err(io::Error::other)?.max_stack_size.soft_limit;
        let stat = process.stat().map_err(io::Error::other)?;
        let lowest = std::fs::read_to_string("/proc/sys/vm/mmap_min_addr")?;
        Ok(Limits {
            stack_bytes: match stack {
                LimitValue::Unlimited => None,
                LimitValue::Value(bytes) => Some(bytes),
            },
            brk_start: stat.start_brk.unwrap_or(0),
            lowest: lowest.trim().parse().map_err(io::Error::other)?,
        })
    }
}

/// The free address space of a process, and the islands planned in it.
#[derive(Clone, Debug)]
pub struct Holes {
    /// Ascending and disjoint.
    taken: Vec<Range<u64>>,
    /// Bytes of planned islands, in the order of planning.
    islands: Vec<Range<u64>>,
}

impl Holes {
    /// The holes between mappings, less the room for growth.
    pub fn new(maps: &Maps, limits: &Limits) -> Holes {
        let mut holes = Holes { taken: Vec::new(), islands: Vec::new() };
        let mapped = maps.0.iter().map(|mapping| mapping.range.clone());
        let mut taken: Vec<Range<u64>> = mapped.collect();
        taken.extend([0..limits.lowest.max(PAGE), USER_END..u64::MAX]);
        if let Some(stack) = maps.0.iter().find(|mapping| mapping.name == "[stack]") {
            let room = limits.stack_bytes.unwrap_or(ROOM_BYTES).saturating_add(STACK_GUARD_BYTES);
            taken.push(stack.range.end.saturating_sub(room) & !(PAGE - 1)..stack.range.end);
        }
        let heap =
            maps.0.iter().filter(|mapping| mapping.name == "[heap]").map(|mapping| mapping.range.clone());
        for start in heap.map(|range| range.start).chain((limits.brk_start != 0).then_some(limits.brk_start))
        {
            taken.push(start..start.saturating_add(ROOM_BYTES));
        }
        taken.sort_by_key(|range| range.start);
        for range in taken {
            match holes.taken.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => holes.taken.push(range),
            }
        }
        holes
    }

    /// Whether an island may fill `bytes`: its pages are free or other islands'.
    pub fn fits(&self, bytes: &Range<u64>) -> bool {
        let pages = pages(bytes);
        let index = self.taken.partition_point(|taken| taken.end <= pages.start);
        let is_free = self.taken.get(index).is_none_or(|taken| taken.start >= pages.end);
        is_free && self.islands.iter().all(|island| island.end <= bytes.start || island.start >= bytes.end)
    }

    /// Plans an island.
    pub(super) fn take(&mut self, bytes: Range<u64>) {
        self.islands.push(bytes);
    }

    /// Drops a planned island whose pages turned out to be taken.
    pub(super) fn lose(&mut self, bytes: &Range<u64>) {
        self.islands.retain(|island| island != bytes);
        let pages = pages(bytes);
        let index = self.taken.partition_point(|taken| taken.start < pages.start);
        self.taken.insert(index, pages);
    }

    /// Places for an island of `len` bytes that a jump at `addr` reaches: pages
    /// with other islands first, then above before below, large holes first.
    pub(super) fn spots(&self, addr: u64, len: u64) -> Vec<u64> {
        let reach = addr.saturating_sub(REACH_BYTES)..addr.saturating_add(REACH_BYTES);
        let shared = self.islands.iter().map(|island| island.end.next_multiple_of(16));
        let mut gaps = self.gaps(&reach);
        gaps.sort_by_key(|gap| (gap.start < addr, std::cmp::Reverse(gap.end - gap.start)));
        let middles = gaps.iter().map(|gap| (gap.start + (gap.end - gap.start) / 2) & !(PAGE - 1));
        let one_page = |spot: &u64| spot % PAGE + len <= PAGE && reach.contains(spot);
        shared.filter(one_page).chain(middles).filter(|spot| self.fits(&(*spot..spot + len))).collect()
    }

    fn gaps(&self, reach: &Range<u64>) -> Vec<Range<u64>> {
        let between = self.taken.windows(2).map(|pair| pair[0].end..pair[1].start);
        let reachable = between.map(|gap| gap.start.max(reach.start)..gap.end.min(reach.end));
        reachable.filter(|gap| !gap.is_empty()).collect()
    }
}

/// The pages that hold `bytes`.
pub(super) fn pages(bytes: &Range<u64>) -> Range<u64> {
    bytes.start & !(PAGE - 1)..bytes.end.next_multiple_of(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Mapping;

    const MAPS: &str = "\
00400000-00500000 r-xp 00000000 08:01 7 /usr/bin/app
00500000-00600000 rw-p 00000000 00:00 0 [heap]
7ffff7d00000-7ffff7fff000 r-xp 00000000 08:01 9 /lib/libc.so.6
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]";

    fn holes(stack_bytes: Option<u64>) -> Holes {
        let maps = Maps(MAPS.lines().filter_map(Mapping::parse).collect());
        Holes::new(&maps, &Limits { stack_bytes, brk_start: 0x500000, lowest: 0x10000 })
    }

    fn page_fits(holes: &Holes, addr: u64) -> bool {
        holes.fits(&(addr..addr + 64))
    }

    #[test]
    fn mapped_low_and_high_addresses_are_taken() {
        let holes = holes(Some(8 << 20));
        for taken in [0, 0xf000, 0x400000, 0x4ff000, 0x7ffff7ffe000, 0x7ffffffff000] {
            assert!(!page_fits(&holes, taken), "{taken:#x}");
        }
        for free in [0x10000, 0x3ff000, 0x7ffff7cff000, 0x7ffff7fff000] {
            assert!(page_fits(&holes, free), "{free:#x}");
        }
        assert!(!holes.fits(&(0x3ffff0..0x400010)), "the second page is taken");
    }

    #[test]
    fn the_stack_keeps_its_limit_and_the_guard_gap() {
        let top = 0x7ffffffff000;
        for limit in [8 << 20, 64 << 20] {
            let holes = holes(Some(limit));
            assert!(!page_fits(&holes, top - limit - (1 << 20)));
            assert!(page_fits(&holes, top - limit - (1 << 20) - PAGE));
        }
        let above_libc = 0x7ffff7fff000;
        assert!(!page_fits(&holes(Some(8 << 30)), above_libc));
        assert!(!page_fits(&holes(None), above_libc));
        assert!(page_fits(&holes(None), top - (2 << 40)));
    }

    #[test]
    fn the_heap_grows_upwards() {
        let holes = holes(Some(8 << 20));
        assert!(!page_fits(&holes, 0x600000));
        assert!(!page_fits(&holes, 0x500000 + (1 << 40) - PAGE));
        assert!(page_fits(&holes, 0x500000 + (1 << 40)));
    }

    #[test]
    fn islands_share_pages_but_not_bytes() {
        let mut holes = holes(Some(8 << 20));
        holes.take(0x20010..0x20050);
        assert!(!holes.fits(&(0x20040..0x20080)));
        assert!(holes.fits(&(0x20050..0x20080)));
        assert_eq!(holes.spots(0x400000, 64)[0], 0x20050);
        holes.lose(&(0x20010..0x20050));
        assert!(!holes.fits(&(0x20050..0x20080)));
    }

    #[test]
    fn spots_above_come_first() {
        let holes = holes(Some(8 << 20));
        let libc = 0x7ffff7d00000;
        let spots = holes.spots(libc, 64);
        assert_eq!(spots.len(), 2);
        assert!(spots[0] > libc && spots[1] < libc, "{spots:x?}");
        assert_eq!(holes.spots(0x400000, 64), [0x208000]);
    }
}
