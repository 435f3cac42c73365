//! Heaps of glibc's arenas, recognised by their layout.
//!
//! ```text
//!  64 MiB aligned ─► heap_info { ar_ptr, prev, size, mprotect_size }   malloc/arena.c
//!                    chunks …                        up to mprotect_size
//!                    ---p                            up to 64 MiB
//! ```
//!
//! `ar_ptr` points to the arena, which lies in its first heap; `prev` to the heap
//! before. The main arena has no such heap, but `brk`.

use prof_injector::process::{Mapping, Maps};
use std::ops::Range;

/// `HEAP_MAX_SIZE` where pages have 4 KiB (malloc/arena.c, glibc 2.17 to 2.43).
const HEAP_MAX: u64 = 64 << 20;
const PAGE: u64 = 4096;
/// An arena begins so near to the start of its first heap.
const ARENA_OFFSET_MAX: u64 = 256;

/// A heap of an arena that is not the main one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heap {
    /// From its first byte to the end of what can be written to.
    pub range: Range<u64>,
    /// Where its arena is.
    pub arena: u64,
    /// Bytes in use by the arena, from the first on.
    pub bytes: u64,
}

/// The heaps in `maps`, ascending. `read` reads a word of the process.
pub fn malloc_heaps(maps: &Maps, read: impl Fn(u64) -> Option<u64>) -> Vec<Heap> {
    let could_hold = |mapping: &&Mapping| mapping.is_anonymous() && mapping.write && !mapping.shared;
    let candidates = maps.0.iter().filter(could_hold).flat_map(aligned);
    candidates.filter_map(|base| heap(base, &read)).collect()
}

/// The addresses in a mapping at which a heap could begin.
fn aligned(mapping: &Mapping) -> impl Iterator<Item = u64> + use<> {
    let first = mapping.range.start.next_multiple_of(HEAP_MAX);
    (first..mapping.range.end).step_by(HEAP_MAX as usize)
}

/// The heap at `base`, if there is one.
fn heap(base: u64, read: &impl Fn(u64) -> Option<u64>) -> Option<Heap> {
    let word = |index: u64| read(base + 8 * index);
    let (arena, before, size, open) = (word(0)?, word(1)?, word(2)?, word(3)?);
    let is_first = before == 0;
    let first = arena & !(HEAP_MAX - 1);
    let looks_right = arena.is_multiple_of(16)
        && (1..=ARENA_OFFSET_MAX).contains(&(arena - first))
        && before.is_multiple_of(HEAP_MAX)
        && is_first == (first == base)
        && size.is_multiple_of(PAGE)
        && open.is_multiple_of(PAGE)
        && 0 < size
        && size <= open
        && open <= HEAP_MAX;
    looks_right.then(|| Heap { range: base..base + open, arena, bytes: size })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x7f00_0000_0000;

    fn found(start: u64, end: u64, words: &[(u64, [u64; 4])]) -> Vec<(u64, u64)> {
        let line = format!("{start:x}-{end:x} rw-p 00000000 00:00 0 ");
        let maps = Maps(vec![Mapping::parse(&line).expect("a line of maps")]);
        let heaps = malloc_heaps(&maps, |at| {
            let heap = words.iter().find(|(base, _)| (*base..*base + 32).contains(&at));
            Some(heap.map_or(0, |(base, words)| words[(at - base) as usize / 8]))
        });
        heaps.into_iter().map(|Heap { range, .. }| (range.start, range.end - range.start)).collect()
    }

    #[test]
    fn heaps_are_recognised() {
        let first = (BASE, [BASE + 0x30, 0, 0x21000, 0x21000]);
        let second = (BASE + HEAP_MAX, [BASE + 0x30, BASE, 0x3000, 0x4000]);
        assert_eq!(found(BASE, BASE + 0x21000, &[first]), [(BASE, 0x21000)]);
        let both = [(BASE, 0x21000), (BASE + HEAP_MAX, 0x4000)];
        assert_eq!(found(BASE - 0x5000, BASE + 2 * HEAP_MAX, &[first, second]), both, "within one mapping");
        assert_eq!(found(BASE + PAGE, BASE + 0x21000, &[first]), []);
    }

    #[test]
    fn other_memory_is_not() {
        for words in [
            [0, 0, 0, 0],
            [BASE + 0x30, 0, 0x21000, 0x20000],
            [BASE + 0x30, 0, 0x21001, 0x22000],
            [BASE + 0x30, 64, 0x21000, 0x21000],
            [BASE + 0x38, 0, 0x21000, 0x21000],
            [BASE, 0, 0x21000, 0x21000],
            [BASE + 0x30, HEAP_MAX, 0x21000, 0x21000],
            [BASE + 0x30, 0, 0, 0],
            [u64::MAX; 4],
        ] {
            assert_eq!(found(BASE, BASE + HEAP_MAX, &[(BASE, words)]), [], "{words:x?}");
        }
    }
}
