//! The index: where every block is, so that opening a capture does not walk it.
//!
//! ```text
//!  entry*   entry = kind distance [chunk offset thread sequence first-tick]   all LEB128
//!                   distance from the entry before, in bytes; brackets: pieces only
//! ```

use prof_shared::varint::{unzigzag, zigzag};

use super::code_block::{number, take_number};
use super::format::BlockKind;
use super::piece::PieceHead;
use crate::model::{ChunkSerial, ThreadSerial, Tick};

/// Where one block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockEntry {
    pub kind: u32,
    pub position: u64,
    /// For a piece block.
    pub piece: Option<PieceEntry>,
}

/// What the index keeps of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PieceEntry {
    pub chunk: ChunkSerial,
    pub offset: u32,
    pub thread: ThreadSerial,
    pub sequence: u32,
    pub first_tick: Tick,
}

impl From<PieceHead> for PieceEntry {
    fn from(head: PieceHead) -> Self {
        PieceEntry {
            chunk: head.chunk,
            offset: head.offset,
            thread: head.thread,
            sequence: head.sequence,
            first_tick: head.first_tick,
        }
    }
}

/// What the differences of an entry are to: the entry before, and the piece before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Previous {
    position: u64,
    chunk: u64,
    tick: u64,
}

/// Adds an entry to the body of an index block. Entries come in the order of the file.
pub(super) fn put(entry: &BlockEntry, previous: &mut Previous, out: &mut Vec<u8>) {
    number(u64::from(entry.kind), out);
    number(entry.position.wrapping_sub(previous.position), out);
    previous.position = entry.position;
    if let Some(piece) = &entry.piece {
        number(zigzag(piece.chunk.0.wrapping_sub(previous.chunk) as i64), out);
        number(u64::from(piece.offset), out);
        number(u64::from(piece.thread.0), out);
        number(u64::from(piece.sequence), out);
        number(zigzag(piece.first_tick.0.wrapping_sub(previous.tick) as i64), out);
        (previous.chunk, previous.tick) = (piece.chunk.0, piece.first_tick.0);
    }
}

/// The entries of an index block; `None` if it is malformed.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<BlockEntry>> {
    let mut entries = Vec::new();
    let (mut position, mut chunk, mut tick) = (0u64, 0u64, 0u64);
    while !bytes.is_empty() {
        let kind = u32::try_from(take_number(&mut bytes)?).ok()?;
        position = position.checked_add(take_number(&mut bytes)?)?;
        let piece = if kind == BlockKind::Piece as u32 {
            chunk = chunk.wrapping_add(unzigzag(take_number(&mut bytes)?) as u64);
            let offset = u32::try_from(take_number(&mut bytes)?).ok()?;
            let thread = ThreadSerial(u32::try_from(take_number(&mut bytes)?).ok()?);
            let sequence = u32::try_from(take_number(&mut bytes)?).ok()?;
            tick = tick.wrapping_add(unzigzag(take_number(&mut bytes)?) as u64);
            Some(PieceEntry { chunk: ChunkSerial(chunk), offset, thread, sequence, first_tick: Tick(tick) })
        } else {
            None
        };
        entries.push(BlockEntry { kind, position, piece });
    }
    Some(entries)
}

#[cfg(test)]
pub(super) fn encode(entries: &[BlockEntry]) -> Vec<u8> {
    let (mut body, mut previous) = (Vec::new(), Previous::default());
    entries.iter().for_each(|entry| put(entry, &mut previous, &mut body));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive() {
        let piece = |chunk, offset, tick| {
            let (chunk, first_tick) = (ChunkSerial(chunk), Tick(tick));
            Some(PieceEntry { chunk, offset, thread: ThreadSerial(3), sequence: 5, first_tick })
        };
        let entries = [
            BlockEntry { kind: 1, position: 16, piece: None },
            BlockEntry { kind: 2, position: 400, piece: piece(9, 0, u64::MAX) },
            BlockEntry { kind: 2, position: 500, piece: piece(u64::MAX, 64, 0) },
            BlockEntry { kind: 77, position: 600, piece: None },
        ];
        let body = encode(&entries);
        assert_eq!(decode(&body).as_deref(), Some(&entries[..]));
        assert_eq!(decode(&body[..body.len() - 1]), None);
    }
}
