//! The lists of free chunks in an arena of glibc's malloc.
//!
//! ```text
//!  bin   fd ─► chunk ─► chunk ─┐           chunk   prev_size  size|flags  fd  bk  …
//!   ▲    bk ─► last            │                   0          8           16  24
//!   └──────────────────────────┘
//! ```
//!
//! The process runs on and its memory may hold anything: every chunk is checked to
//! lie in the arena and to point back, and the chunks looked at are counted. What is
//! not as it should be ends that list, and the figure is a lower bound.

use super::arenas::Read;
use std::ops::Range;

/// `NBINS - 1`.
pub const COUNT: usize = 127;
/// An arena with fast bins begins at least so far before its bins: a head of 8 bytes,
/// ten fast bins, `top` and `last_remainder`.
pub const FAST_HEAD: u64 = 8 + 8 * FAST_BINS as u64 + 16;
/// `NFASTBINS`.
const FAST_BINS: usize = 10;
/// `MINSIZE`.
const SMALLEST: u64 = 32;
const PREV_INUSE: u64 = 1;
const FLAGS: u64 = 7;

/// The address that a chunk would have whose `fd` and `bk` are this bin's.
pub fn head(bins: u64, bin: usize) -> u64 {
    (bins + 16 * bin as u64).wrapping_sub(16)
}

/// Walks over lists of free chunks.
pub struct Walk<'a> {
    read: Read<'a>,
    /// Chunks that may still be looked at.
    left: u32,
}

/// Bytes of a list, and whether it was seen to its end.
type Seen = (u64, bool);

impl<'a> Walk<'a> {
    /// Looks at no more than `chunks`.
    pub fn new(read: Read<'a>, chunks: u32) -> Walk<'a> {
        Walk { read, left: chunks }
    }

    /// What is in the bins at `bins`, whose first and last chunks are `ends`.
    pub fn bins(&mut self, bins: u64, ends: &[(u64, u64)], memory: &[Range<u64>]) -> Seen {
        let lists = ends.iter().enumerate();
        add(lists.map(|(bin, &(first, last))| self.list(head(bins, bin), first, last, memory)))
    }

    /// What is in the fast bins of the arena whose bins are at `bins`.
    pub fn fast_bins(&mut self, bins: u64, memory: &[Range<u64>]) -> Seen {
        let mut firsts = [0; 8 * FAST_BINS];
        if (self.read)(bins - 16 - firsts.len() as u64, &mut firsts).is_none() {
            return (0, false);
        }
        let mut lists = |is_hidden| {
            let firsts = firsts.as_chunks().0.iter().map(|&first| u64::from_le_bytes(first));
            let sizes = (2..).map(|units| 16 * units);
            add(sizes.zip(firsts).map(|(size, first)| self.fast_list(size, first, is_hidden, memory)))
        };
        let (hidden, plain) = (lists(true), lists(false));
        if hidden.1 || hidden.0 >= plain.0 && !plain.1 { hidden } else { plain }
    }

    /// Bytes of the chunk at `chunk`, and whether the one before it is in use.
    pub fn size(&self, chunk: u64) -> Option<(u64, bool)> {
        let [_, size, ..] = self.chunk(chunk)?;
        (size & !FLAGS >= SMALLEST).then_some((size & !FLAGS, size & PREV_INUSE != 0))
    }

    fn list(&mut self, head: u64, first: u64, last: u64, memory: &[Range<u64>]) -> Seen {
        let (mut chunk, mut before, mut bytes) = (first, head, 0u64);
        while chunk != head {
            let Some([_, size, fd, bk]) = self.next(chunk, memory) else { return (bytes, false) };
            if bk != before || !fits(chunk, size, memory) {
                return (bytes, false);
            }
            bytes = bytes.saturating_add(size & !FLAGS);
            (before, chunk) = (chunk, fd);
        }
        (bytes, before == last)
    }

    /// Chunks of `size` bytes. Since 2.32 a link is hidden by where it stands
    /// (`PROTECT_PTR`); only one of the readings leads to the end.
    fn fast_list(&mut self, size: u64, first: u64, is_hidden: bool, memory: &[Range<u64>]) -> Seen {
        let (mut chunk, mut bytes) = (first, 0u64);
        while chunk != 0 {
            let Some([_, found, fd, _]) = self.next(chunk, memory) else { return (bytes, false) };
            if found & !FLAGS != size || !fits(chunk, found, memory) {
                return (bytes, false);
            }
            bytes = bytes.saturating_add(size);
            chunk = if is_hidden { fd ^ ((chunk + 16) >> 12) } else { fd };
        }
        (bytes, true)
    }

    /// The words of one more chunk.
    fn next(&mut self, chunk: u64, memory: &[Range<u64>]) -> Option<[u64; 4]> {
        self.left = self.left.checked_sub(1)?;
        if !chunk.is_multiple_of(16) || !holds(memory, chunk) {
            return None;
        }
        self.chunk(chunk)
    }

    fn chunk(&self, chunk: u64) -> Option<[u64; 4]> {
        let mut bytes = [0; 32];
        (self.read)(chunk, &mut bytes)?;
        let words: &[[u8; 8]] = bytes.as_chunks().0;
        Some([0, 1, 2, 3].map(|index| u64::from_le_bytes(words[index])))
    }
}

fn add(lists: impl Iterator<Item = Seen>) -> Seen {
    lists.fold((0, true), |(bytes, all), (more, whole)| (bytes.saturating_add(more), all && whole))
}

fn holds(memory: &[Range<u64>], chunk: u64) -> bool {
    memory.iter().any(|range| range.contains(&chunk))
}

/// Whether a chunk with that size word ends where the memory does, or before.
fn fits(chunk: u64, size: u64, memory: &[Range<u64>]) -> bool {
    let bytes = size & !FLAGS;
    let range = memory.iter().find(|range| range.contains(&chunk));
    bytes >= SMALLEST && range.is_some_and(|range| bytes <= range.end - chunk)
}
