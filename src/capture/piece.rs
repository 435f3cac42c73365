//! The body of a piece block: records of one chunk from some offset on.
//!
//! ```text
//!  chunk:u64 offset:u32 raw-length:u32 thread:u32 sequence:u32 first-tick:u64 column × 6
//!  column = length:u32 packed-length:u32 zstd-frame[…]     of one length: as it is
//! ```
//!
//! Thread, sequence and first tick repeat the `Origin` with which the piece at
//! offset 0 begins, so that a merge can put off decompressing it; elsewhere they
//! are 0.

use prof_shared::record::{Decoder, Record};
use std::{fmt, io};
use zstd::bulk::{Compressor, Decompressor};

use super::columns::{self, Columns, Records};
use super::format::MAX_PIECE;
use crate::model::{ChunkSerial, ThreadSerial, Tick};

/// Bytes before the compressed records.
pub(super) const PIECE_HEAD: usize = 32;

/// Where a piece belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PieceHead {
    pub chunk: ChunkSerial,
    pub offset: u32,
    pub raw_length: u32,
    pub thread: ThreadSerial,
    /// Number of the chunk among the thread's.
    pub sequence: u32,
    pub first_tick: Tick,
}

impl PieceHead {
    /// Takes thread and tick from the records where they begin a chunk.
    pub fn of(chunk: ChunkSerial, offset: u32, raw: &[u8]) -> PieceHead {
        let (thread, sequence, first_tick) = if offset == 0 { origin(raw) } else { Default::default() };
        PieceHead { chunk, offset, raw_length: raw.len() as u32, thread, sequence, first_tick }
    }

    /// `None` if there are too few bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<PieceHead> {
        let mut rest = bytes;
        Some(PieceHead {
            chunk: ChunkSerial(u64::from_le_bytes(take(&mut rest)?)),
            offset: u32::from_le_bytes(take(&mut rest)?),
            raw_length: u32::from_le_bytes(take(&mut rest)?),
            thread: ThreadSerial(u32::from_le_bytes(take(&mut rest)?)),
            sequence: u32::from_le_bytes(take(&mut rest)?),
            first_tick: Tick(u64::from_le_bytes(take(&mut rest)?)),
        })
    }

    fn to_bytes(self) -> [u8; PIECE_HEAD] {
        let mut out = [0; PIECE_HEAD];
        out[..8].copy_from_slice(&self.chunk.0.to_le_bytes());
        out[8..12].copy_from_slice(&self.offset.to_le_bytes());
        out[12..16].copy_from_slice(&self.raw_length.to_le_bytes());
        out[16..20].copy_from_slice(&self.thread.0.to_le_bytes());
        out[20..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..].copy_from_slice(&self.first_tick.0.to_le_bytes());
        out
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn origin(raw: &[u8]) -> (ThreadSerial, u32, Tick) {
    match Decoder::new().next(&mut &raw[..]) {
        Ok(Some(Record::Origin { thread, sequence, ticks, .. })) => {
            (ThreadSerial(thread), sequence, Tick(ticks))
        }
        _ => Default::default(),
    }
}

/// Level 1: the next ones cost twice the time for two parts in a thousand.
const LEVEL: i32 = 1;
const COLUMN_HEAD: usize = 8;

/// Makes bodies.
pub(super) struct Packer {
    zstd: Compressor<'static>,
    columns: Columns,
}

impl Packer {
    pub fn new() -> Packer {
        let zstd = Compressor::new(LEVEL).expect("it is a level, and there is no dictionary");
        Packer { zstd, columns: Columns::default() }
    }

    /// Makes a body from records of at most [`MAX_PIECE`] bytes.
    pub fn pack(&mut self, head: PieceHead, raw: &[u8]) -> io::Result<Vec<u8>> {
        columns::split(raw, &mut self.columns);
        let mut body = head.to_bytes().to_vec();
        for column in &self.columns {
            let packed = self.zstd.compress(column)?;
            let kept = if packed.len() < column.len() { &packed } else { column };
            body.extend((column.len() as u32).to_le_bytes());
            body.extend((kept.len() as u32).to_le_bytes());
            body.extend_from_slice(kept);
        }
        Ok(body)
    }
}

/// Reads bodies.
pub(super) struct Unpacker(Decompressor<'static>);

impl Unpacker {
    pub fn new() -> Unpacker {
        Unpacker(Decompressor::new().expect("there is no dictionary that could be bad"))
    }

    /// Puts the records of a body into `records`; `None` if it is malformed.
    pub fn unpack(&mut self, body: &[u8], records: &mut Records) -> Option<PieceHead> {
        records.refill(|columns| self.columns(body, columns))
    }

    fn columns(&mut self, body: &[u8], columns: &mut Columns) -> Option<PieceHead> {
        let head = PieceHead::from_bytes(body)?;
        let mut left = usize::try_from(head.raw_length).ok().filter(|&length| length <= MAX_PIECE)?;
        let mut rest = &body[PIECE_HEAD..];
        for column in columns {
            let (sizes, after) = rest.split_first_chunk::<COLUMN_HEAD>()?;
            let sizes = sizes.as_chunks::<4>().0;
            let (length, packed) =
                (u32::from_le_bytes(sizes[0]) as usize, u32::from_le_bytes(sizes[1]) as usize);
            let bytes;
            (bytes, rest) = after.split_at_checked(packed)?;
            left = left.checked_sub(length)?;
            column.clear();
            match packed == length {
                true => column.extend_from_slice(bytes),
                false => {
                    column.reserve_exact(length);
                    self.0.decompress_to_buffer(bytes, column).ok().filter(|&got| got == length)?;
                }
            }
        }
        (left == 0 && rest.is_empty()).then_some(head)
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(head: PieceHead, raw: &[u8]) -> Vec<u8> {
        Packer::new().pack(head, raw).expect("it has a buffer of its own")
    }

    #[test]
    fn records_survive() {
        let raw = [1, 0, 5, 6, 7].repeat(99);
        let head = PieceHead::of(ChunkSerial(7), 64, &raw);
        let body = pack(head, &raw);
        assert!(body.len() < raw.len());
        let mut back = Records::default();
        assert_eq!(Unpacker::new().unpack(&body, &mut back), Some(head));
        assert_eq!(back.unread().left(), [99, 99, 99, 99, 99, 0]);
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        let raw = [3; 100];
        for lie in [99, 101, u32::MAX] {
            let head = PieceHead { raw_length: lie, ..PieceHead::of(ChunkSerial(1), 8, &raw) };
            let mut back = Records::default();
            assert_eq!(Unpacker::new().unpack(&pack(head, &raw), &mut back), None, "{lie}");
            assert!(back.capacity() < 4096, "nothing was allocated for {lie}");
        }
    }
}
