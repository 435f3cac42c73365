//! Processes made of a few words, as glibc 2.36 lays its arenas out.

use super::*;
use crate::inspect::heaps::malloc_heaps;
use proptest::prelude::*;
use std::collections::BTreeMap;

const DATA: u64 = 0x7f00_0020_0000;
const BRK: u64 = 0x5500_0000_0000;
const HEAP: u64 = 0x7e00_0000_0000;
/// From an arena's first byte to its bins.
const HEAD: u64 = 112;
const MAIN: u64 = DATA + 0x320;

/// Memory by word; what is not there is 0 where something is mapped.
#[derive(Clone, Default)]
struct Fake(BTreeMap<u64, u64>);

impl Fake {
    /// A main arena with 1 MiB, of which 64 KiB are free at the end.
    fn new() -> Fake {
        let mut fake = Fake::default();
        fake.arena(MAIN, MAIN, 1 << 20, BRK + 0xf_0000);
        fake.chunk(BRK + 0xf_0000, 0x1_0000, 0, 0);
        fake
    }

    /// Another arena with 128 KiB in one heap, of which 4 KiB are free at the end.
    fn with_second() -> Fake {
        let mut fake = Fake::new();
        let second = HEAP + 0x30;
        fake.set(HEAP, [second, 0, 0x2_0000, 0x2_1000]);
        fake.arena(second, MAIN, 0x2_0000, HEAP + 0x1_f000);
        fake.chunk(HEAP + 0x1_f000, 0x1000, 0, 0);
        fake.set(MAIN + HEAD + 2048, [second]);
        fake
    }

    fn arena(&mut self, first: u64, next: u64, system_bytes: u64, top: u64) {
        let bins = first + HEAD;
        self.set(bins - 16, [top]);
        for bin in 0..bins::COUNT {
            let head = bins::head(bins, bin);
            self.set(head + 16, [head, head]);
        }
        self.set(bins + 2048, [next, 0, 1, system_bytes, system_bytes]);
    }

    fn chunk(&mut self, at: u64, bytes: u64, fd: u64, bk: u64) {
        self.set(at + 8, [bytes | 1, fd, bk]);
    }

    /// Puts chunks of so many bytes into a bin of the main arena, 64 KiB apart.
    fn fill(&mut self, bin: usize, sizes: &[u64]) {
        let head = bins::head(MAIN + HEAD, bin);
        let at = |index: usize| BRK + 0x1_0000 * (index as u64 + 1);
        for (index, &bytes) in sizes.iter().enumerate() {
            let fd = if index + 1 < sizes.len() { at(index + 1) } else { head };
            let bk = if index > 0 { at(index - 1) } else { head };
            self.chunk(at(index), bytes, fd, bk);
        }
        self.set(head + 16, [at(0), at(sizes.len() - 1)]);
    }

    fn set<const N: usize>(&mut self, at: u64, words: [u64; N]) {
        self.0.extend((at..).step_by(8).zip(words));
    }

    fn word(&self, at: u64) -> u64 {
        self.0.get(&at).copied().unwrap_or(0)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Option<()> {
        let words = out.chunks_exact_mut(8).zip((at..).step_by(8));
        words.for_each(|(bytes, at)| bytes.copy_from_slice(&self.word(at).to_le_bytes()));
        Some(())
    }

    fn look(&self) -> Option<Vec<MallocArena>> {
        let lines = [
            format!("{BRK:x}-{:x} rw-p 0 00:00 0 [heap]", BRK + (1 << 20)),
            format!("{HEAP:x}-{:x} rw-p 0 00:00 0 ", HEAP + 0x2_1000),
            format!("{DATA:x}-{:x} rw-p 0 08:01 7 /lib/libc.so.6", DATA + 0x2000),
        ];
        let maps = Maps(lines.iter().map(|line| Mapping::parse(line).expect("a line of maps")).collect());
        let heaps = malloc_heaps(&maps, |at| Some(self.word(at)));
        let read = |at: u64, out: &mut [u8]| {
            let is_there = maps.at(at).is_some_and(|mapping| at + out.len() as u64 <= mapping.range.end);
            is_there.then(|| self.read(at, out))?
        };
        malloc_arenas(&maps, &heaps, &read)
    }

    /// Free bytes of the main arena besides its end, and whether that is all.
    fn free(&self) -> (u64, bool) {
        let main = self.look().expect("an arena")[0];
        (main.free_bytes - main.top_bytes, !main.is_partial)
    }
}

fn arena(system_bytes: u64, top_bytes: u64) -> MallocArena {
    MallocArena { system_bytes, top_bytes, free_bytes: top_bytes, is_partial: false }
}

#[test]
fn arenas_are_found() {
    assert_eq!(Fake::new().look(), Some(vec![arena(1 << 20, 0x1_0000)]));
    let both = vec![arena(1 << 20, 0x1_0000), arena(0x2_0000, 0x1000)];
    assert_eq!(Fake::with_second().look(), Some(both));
}

#[test]
fn free_chunks_are_added_up() {
    let mut fake = Fake::new();
    fake.fill(0, &[0x500]);
    assert_eq!(fake.free(), (0x500, true));
    let mut fake = Fake::new();
    fake.fill(100, &[0x4000, 0x5000, 0x4010]);
    assert_eq!(fake.free(), (0xd010, true));
}

#[test]
fn fast_bins_are_read_hidden_and_plain() {
    let (one, other) = (BRK + 0x100, BRK + 0x200);
    for (link, end) in [(other, 0), (other ^ ((one + 16) >> 12), (other + 16) >> 12)] {
        let mut fake = Fake::new();
        fake.chunk(one, 48, link, 0);
        fake.chunk(other, 48, end, 0);
        fake.set(MAIN + 16 + 8, [one]);
        assert_eq!(fake.free(), (96, true), "{link:x}");
    }
}

#[test]
fn what_is_no_arena_is_unknown() {
    let top = BRK + 0xf_0000;
    for (what, at, word) in [
        ("the ring does not close", MAIN + HEAD + 2048, MAIN + 0x1000),
        ("an arena without a heap", MAIN + HEAD + 2048, HEAP + 0x30),
        ("more than brk gave", MAIN + HEAD + 2072, 2 << 20),
        ("more than ever", MAIN + HEAD + 2080, 1 << 19),
        ("not whole pages", MAIN + HEAD + 2072, (1 << 20) - 16),
        ("no end", MAIN + HEAD - 16, BRK + (2 << 20)),
        ("an end elsewhere", MAIN + HEAD - 16, HEAP),
        ("an end that goes beyond", top + 8, 0x2_0001),
        ("an end that stops before", top + 8, 0x8001),
        ("no end at all", top + 8, 1),
        ("half a bin", MAIN + HEAD + 80, 0),
    ] {
        let mut fake = Fake::new();
        fake.set(at, [word]);
        assert_eq!(fake.look(), None, "{what}");
    }
    let mut fake = Fake::with_second();
    fake.set(HEAP + 16, [0x1_0000]);
    assert_eq!(fake.look(), None, "its heaps are smaller than it says");
}

#[test]
fn hostile_lists_end() {
    let (first, second) = (BRK + 0x1_0000, BRK + 0x2_0000);
    for (what, at, words, free) in [
        ("a circle", second, [0, 0x31, second, second], 0x30),
        ("back to the first", second, [0, 0x31, first, first], 0x60),
        ("elsewhere", second, [0, 0x31, DATA, first], 0x60),
        ("not aligned", second, [0, 0x31, first + 8, first], 0x60),
        ("larger than the heap", second, [0, u64::MAX, 0, first], 0x30),
        ("empty", second, [0, 1, 0, first], 0x30),
        ("nowhere", second, [0, 0x31, u64::MAX, first], 0x60),
    ] {
        let mut fake = Fake::new();
        fake.fill(7, &[0x30, 0x30, 0x30]);
        fake.set(at, words);
        assert_eq!(fake.free(), (free, false), "{what}");
    }
}

#[test]
fn a_long_list_is_seen_in_part() {
    let mut fake = Fake::new();
    fake.fill(7, &[0x30, 0x30, 0x30]);
    let (bins, at) = (MAIN + HEAD, |index: u64| BRK + 0x1_0000 * index);
    for (limit, expected) in [(0, (0, false)), (2, (0x60, false)), (3, (0x90, true))] {
        let read = |at, out: &mut [u8]| fake.read(at, out);
        let mut ends = vec![(0, 0); bins::COUNT];
        for (bin, end) in ends.iter_mut().enumerate() {
            *end = if bin == 7 { (at(1), at(3)) } else { (bins::head(bins, bin), bins::head(bins, bin)) };
        }
        assert_eq!(
            Walk::new(&read, limit).bins(bins, &ends, std::slice::from_ref(&(BRK..BRK + (1 << 20)))),
            expected
        );
    }
}

proptest! {
    /// Whatever a few of the words are, there is an end and no more free than there is.
    #[test]
    fn nothing_is_too_strange(
        changes in prop::collection::vec((0u64..2500, prop_oneof![
            any::<u64>(),
            (0u64..0x2_0000).prop_map(|n| BRK + 8 * n),
            (0u64..0x400).prop_map(|n| DATA + 8 * n),
        ]), 1..8),
        in_heap in any::<bool>(),
    ) {
        let mut fake = Fake::with_second();
        fake.fill(5, &[0x40, 0x50]);
        let base = if in_heap { HEAP } else { MAIN };
        changes.into_iter().for_each(|(at, word)| fake.set(base + at / 8 * 8, [word]));
        for arena in fake.look().unwrap_or_default() {
            prop_assert!(arena.free_bytes <= arena.system_bytes);
            prop_assert!(arena.top_bytes <= arena.system_bytes);
        }
    }
}
