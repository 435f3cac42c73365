//! The index of a capture that is being written.
//!
//! A long recording has millions of blocks, so their entries are kept as they will stand
//! in the file: about 12 bytes each. The latest can be taken back, for the last blocks
//! give way to the ending on a full disk.

use std::collections::VecDeque;

use super::format::MAX_BODY;
use super::index::{self, BlockEntry, Previous};

/// Entries of the last so many bytes of the file can be taken back,
const RECENT_BYTES: u64 = 512 << 10;
/// and in any case so many.
const RECENT_COUNT: usize = 1024;

/// The entries so far.
#[derive(Debug, Default)]
pub(super) struct GrowingIndex {
    body: Vec<u8>,
    previous: Previous,
    count: usize,
    recent: VecDeque<Mark>,
}

/// Where an entry begins, to take it back.
#[derive(Debug)]
struct Mark {
    position: u64,
    length: usize,
    before: Previous,
}

impl GrowingIndex {
    /// Adds the entry of a block behind all others. An index that is too long for a block
    /// grows no further.
    pub fn push(&mut self, entry: &BlockEntry) {
        let (position, length, before) = (entry.position, self.body.len(), self.previous);
        self.recent.push_back(Mark { position, length, before });
        while self.recent.len() > RECENT_COUNT && self.recent[1].position + RECENT_BYTES < position {
            self.recent.pop_front();
        }
        self.count += 1;
        if length <= MAX_BODY {
            index::put(entry, &mut self.previous, &mut self.body);
        }
    }

    /// Takes the last entry back; where its block begins. `None` if there is none, or if it
    /// is too long ago.
    pub fn pop(&mut self) -> Option<u64> {
        let Mark { position, length, before } = self.recent.pop_back()?;
        self.body.truncate(length);
        self.previous = before;
        self.count -= 1;
        Some(position)
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The body of the index block; `None` if it would be too long for one.
    pub fn body(&self) -> Option<&[u8]> {
        (self.body.len() <= MAX_BODY).then_some(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::index::PieceEntry;
    use crate::model::{ChunkSerial, ThreadSerial, Tick};

    fn entry(number: u64) -> BlockEntry {
        let piece = PieceEntry {
            chunk: ChunkSerial(number / 4),
            offset: (number % 4) as u32 * (16 << 10),
            thread: ThreadSerial(number as u32 % 8),
            sequence: (number / 32) as u32,
            first_tick: Tick(number * 70_000),
        };
        BlockEntry { kind: 2, position: number * 9_000, piece: Some(piece) }
    }

    #[test]
    fn entries_take_little_memory() {
        let mut growing = GrowingIndex::default();
        let count = 100_000;
        (0..count).for_each(|number| growing.push(&entry(number)));
        assert!(growing.body.len() < count as usize * 16, "{} bytes", growing.body.len());
        assert_eq!(growing.recent.len(), RECENT_COUNT);
        let entries: Vec<_> = (0..count).map(entry).collect();
        assert_eq!(index::decode(growing.body().unwrap()), Some(entries));
    }

    #[test]
    fn the_latest_can_be_taken_back() {
        let mut growing = GrowingIndex::default();
        (0..2000).for_each(|number| growing.push(&entry(number)));
        for number in (1500..2000).rev() {
            assert_eq!(growing.pop(), Some(entry(number).position));
        }
        growing.push(&entry(1700));
        assert_eq!(growing.count(), 1501);
        let expected: Vec<_> = (0..1500).chain([1700]).map(entry).collect();
        assert_eq!(index::decode(growing.body().unwrap()), Some(expected));
        assert_eq!(std::iter::from_fn(|| growing.pop()).count(), RECENT_COUNT - 500 + 1);
    }

    #[test]
    fn what_is_too_long_for_a_block_grows_no_further() {
        let mut growing = GrowingIndex { body: vec![0; MAX_BODY], ..GrowingIndex::default() };
        assert!(growing.body().is_some());
        (0..3).for_each(|number| growing.push(&entry(number)));
        assert!(growing.body().is_none() && growing.body.len() < MAX_BODY + 64);
        (0..3).for_each(|_| assert!(growing.pop().is_some()));
        assert!(growing.body().is_some());
    }
}
