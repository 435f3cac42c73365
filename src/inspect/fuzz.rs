//! Doors for fuzzers to malloc's structures.

use super::arenas::malloc_arenas;
use super::heaps::malloc_heaps;
use prof_injector::process::{Mapping, Maps};
use std::cell::Cell;

/// libc's data, `brk`, and a heap of another arena; each is a third of the bytes.
const PLACES: [(u64, &str); 3] =
    [(0x7f00_0020_0000, "/lib/libc.so.6"), (0x5500_0000_0000, "[heap]"), (0x7e00_0000_0000, "")];
/// Reads of hostile lists end: each block costs a few.
const READS: u64 = 1 << 20;

/// Takes the bytes for the memory of a process.
pub fn arenas(data: &[u8]) {
    let third = data.len() / 3 / 4096 * 4096;
    let line = |(at, name): (u64, &str)| {
        let (end, inode) = (at + third.max(4096) as u64, u32::from(name.starts_with('/')));
        Mapping::parse(&format!("{at:x}-{end:x} rw-p 00000000 00:01 {inode} {name}")).expect("a line of maps")
    };
    let mut mappings: Vec<Mapping> = PLACES.map(line).into();
    mappings.sort_by_key(|mapping| mapping.range.start);
    let maps = Maps(mappings);
    let reads = Cell::new(0);
    let read = |at: u64, out: &mut [u8]| {
        reads.set(reads.get() + 1);
        assert!(reads.get() < READS, "it ends");
        let (index, offset) = PLACES.iter().enumerate().find_map(|(index, &(start, _))| {
            let offset = usize::try_from(at.checked_sub(start)?).ok()?;
            (offset < third).then_some((index, offset))
        })?;
        let part = &data[index * third..(index + 1) * third];
        out.copy_from_slice(part.get(offset..)?.get(..out.len())?);
        Some(())
    };
    let word = |at| {
        let mut word = [0; 8];
        read(at, &mut word).map(|()| u64::from_le_bytes(word))
    };
    let heaps = malloc_heaps(&maps, word);
    for arena in malloc_arenas(&maps, &heaps, &read).into_iter().flatten() {
        assert!(arena.free_bytes <= arena.system_bytes);
    }
}
