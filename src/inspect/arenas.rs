//! The arenas of glibc's malloc: what each has from the system, and what is free.
//!
//! Nothing of this is exported. An arena (`struct malloc_state`, malloc/malloc.c) is
//! known by its structure, the same from glibc 2.23 to 2.42 at least:
//!
//! ```text
//!  … fastbins × 10  top  last_remainder │ bins × 127 │ binmap  next  next_free  threads  system_mem  max
//!    -96            -16  -8             0            2032     2048  2056       2064     2072        2080
//! ```
//!
//! A bin is the head of a list and points to itself when it is empty. The `next` of
//! all arenas make a ring. The main arena lies in libc's data, the others where their
//! heaps say, and how far an arena's first byte is before its bins must be the same for
//! all. The end of `top` is the end of the arena's newest heap, and the heaps add up to
//! `system_mem`. What does not look right in every detail is taken for unknown.

use super::bins::{self, Walk};
use super::heaps::Heap;
use crate::model::MallocArena;
use prof_injector::process::{Mapping, Maps};
use std::ops::Range;

/// Reads memory of the process, or fails as a whole.
pub(super) type Read<'a> = &'a dyn Fn(u64, &mut [u8]) -> Option<()>;

/// Bytes of an arena, from `top` to behind `max`.
const ARENA: usize = 16 + 2088;
/// Where the bins are in them.
const BINS: usize = 16;
/// So far before its bins an arena can begin.
const HEADS: Range<u64> = 16..256;
/// libc's data is smaller.
const DATA_MAX: u64 = 1 << 20;
const PAGE: u64 = 4096;
/// Free blocks looked at, in all arenas: at a microsecond each.
const BLOCKS: u32 = 1 << 16;

/// All arenas, the main one first.
pub fn malloc_arenas(maps: &Maps, heaps: &[Heap], read: Read) -> Option<Vec<MallocArena>> {
    let mut walk = Walk::new(read, BLOCKS);
    let found =
        maps.0.iter().filter(|mapping| is_data_of_libc(mapping)).find_map(|data| ring(data, heaps, read))?;
    found.iter().map(|arena| arena.figures(maps, heaps, &mut walk)).collect()
}

/// Where libc keeps variables that have a value from the start, as the main arena.
fn is_data_of_libc(mapping: &Mapping) -> bool {
    let name = mapping.name.rsplit('/').next().unwrap_or_default();
    let is_libc = name.starts_with("libc.so") || name.starts_with("libc-");
    is_libc && mapping.write && !mapping.shared && mapping.len() <= DATA_MAX
}

/// The ring of arenas whose main one is in `data`.
fn ring(data: &Mapping, heaps: &[Heap], read: Read) -> Option<Vec<Arena>> {
    let mut bytes = vec![0; data.len() as usize];
    read(data.range.start, &mut bytes)?;
    let starts = (0..bytes.len().saturating_sub(ARENA)).step_by(8);
    let arenas = starts.filter_map(|at| {
        let bins = data.range.start + (at + BINS) as u64;
        Arena::parse(bytes[at..at + ARENA].try_into().expect("of that length"), bins)
    });
    arenas.into_iter().find_map(|main| {
        let heads = HEADS.step_by(8);
        heads.into_iter().find_map(|head| ring_of(&main, head, heaps, read))
    })
}

/// The ring that begins with `main`, if bins are so far behind the first byte.
fn ring_of(main: &Arena, head: u64, heaps: &[Heap], read: Read) -> Option<Vec<Arena>> {
    let mut ring = vec![Arena { first: main.bins - head, ..main.clone() }];
    // Each arena has a heap, so the ring is no longer than that.
    for _ in 0..=heaps.len() {
        let next = ring.last()?.next;
        if next == ring[0].first {
            return Some(ring);
        }
        heaps.iter().find(|heap| heap.arena == next)?;
        let mut bytes = [0; ARENA];
        let bins = next + head;
        read(bins - BINS as u64, &mut bytes)?;
        ring.push(Arena { first: next, ..Arena::parse(&bytes, bins)? });
    }
    None
}

/// An arena as it stands in the process.
#[derive(Clone, Debug)]
struct Arena {
    /// Its first byte.
    first: u64,
    /// Its bins.
    bins: u64,
    /// The first and the last chunk in each bin.
    ends: Vec<(u64, u64)>,
    top: u64,
    next: u64,
    system_bytes: u64,
}

impl Arena {
    /// `None` if that is no arena.
    fn parse(bytes: &[u8; ARENA], bins: u64) -> Option<Arena> {
        let words: &[[u8; 8]] = bytes.as_chunks().0;
        let word = |index: usize| u64::from_le_bytes(words[index]);
        let list = |bin: usize| (word(2 + 2 * bin), word(3 + 2 * bin));
        // The cheapest test first: it is made at every word of libc's data.
        let (unsorted, top, next) = (list(0), word(0), word(258));
        if unsorted.0 == 0 || unsorted.1 == 0 || top == 0 || next == 0 {
            return None;
        }
        let ends: Vec<_> = (0..bins::COUNT).map(list).collect();
        let is_list = |(bin, &(first, last)): (usize, &(u64, u64))| {
            let head = bins::head(bins, bin);
            let is_chunk = |chunk: u64| chunk != 0 && chunk.is_multiple_of(16) && chunk < 1 << 47;
            (first == head) == (last == head) && (first == head || is_chunk(first) && is_chunk(last))
        };
        let (system_bytes, most) = (word(261), word(262));
        let looks_right = ends.iter().enumerate().all(is_list)
            && (0..bins::COUNT).any(|bin| ends[bin].0 == bins::head(bins, bin))
            && next.is_multiple_of(8)
            && system_bytes.is_multiple_of(PAGE)
            && system_bytes <= most;
        looks_right.then_some(Arena { first: 0, bins, ends, top, next, system_bytes })
    }

    /// `None` if its memory does not look right.
    fn figures(&self, maps: &Maps, heaps: &[Heap], walk: &mut Walk) -> Option<MallocArena> {
        if self.system_bytes == 0 {
            return Some(MallocArena::default());
        }
        let memory = self.memory(maps, heaps)?;
        let top_bytes = self.top_bytes(&memory, walk)?;
        let (in_bins, is_whole) = walk.bins(self.bins, &self.ends, &memory);
        let has_fast_bins = self.bins - self.first >= bins::FAST_HEAD;
        let (in_fast_bins, is_all) =
            if has_fast_bins { walk.fast_bins(self.bins, &memory) } else { (0, true) };
        let free_bytes = top_bytes.saturating_add(in_bins).saturating_add(in_fast_bins);
        let is_partial = !(is_whole && is_all) || free_bytes > self.system_bytes;
        let free_bytes = free_bytes.min(self.system_bytes);
        Some(MallocArena { system_bytes: self.system_bytes, top_bytes, free_bytes, is_partial })
    }

    /// Where its chunks are.
    fn memory(&self, maps: &Maps, heaps: &[Heap]) -> Option<Vec<Range<u64>>> {
        let own = |heap: &&Heap| heap.arena == self.first;
        let memory: Vec<_> =
            heaps.iter().filter(own).map(|heap| heap.range.start..heap.range.start + heap.bytes).collect();
        let bytes: u64 = memory.iter().map(|range| range.end - range.start).sum();
        if bytes > 0 {
            return (bytes == self.system_bytes).then_some(memory);
        }
        let brk = || maps.0.iter().filter(|mapping| mapping.name == "[heap]");
        let brk = brk().next()?.range.start..brk().next_back()?.range.end;
        (self.system_bytes <= brk.end - brk.start).then(|| vec![brk])
    }

    /// What is free behind the last chunk in use: up to the end of the newest heap, or
    /// of what `brk` gave.
    fn top_bytes(&self, memory: &[Range<u64>], walk: &Walk) -> Option<u64> {
        let range = memory.iter().find(|range| range.contains(&self.top))?;
        let (bytes, is_used_before) = walk.size(self.top)?;
        let end = self.top.checked_add(bytes)?;
        (is_used_before && bytes <= self.system_bytes && end == range.end).then_some(bytes)
    }
}

#[cfg(test)]
#[path = "arenas_tests.rs"]
mod tests;
