//! The constants of the capture format and the head of a block.
//!
//! ```text
//!  file   magic[8] version:u32 0:u32 block*
//!  block  "PRFB" kind:u32 length:u32 body-crc:u32 head-crc:u32 body[length]
//! ```
//!
//! All numbers are little-endian; checksums are CRC-32 (IEEE). The head's covers
//! the 16 bytes before it. So a damaged body is skipped by a length that can be
//! trusted, and after a damaged head the next block is found by its sync word.

/// The first bytes of a capture: not text, and broken by newline translation.
pub const MAGIC: [u8; 8] = *b"\x89prof\r\n\x1a";
/// What this version writes, and the newest it reads.
pub const VERSION: u32 = 2;
/// Bytes before the first block.
pub const FILE_HEAD: u64 = 16;
/// Bytes of a block's head.
pub const BLOCK_HEAD: usize = 20;
/// The first bytes of a block.
pub const SYNC: [u8; 4] = *b"PRFB";
/// The longest body that is read into memory.
pub const MAX_BODY: usize = 64 << 20;
/// The longest piece of a chunk, uncompressed.
pub const MAX_PIECE: usize = 1 << 20;
/// The longest text of a code object, in bytes as sent.
pub const MAX_TEXT: usize = 1 << 20;
/// The most code objects: a description can be smaller than what it costs a reader.
pub const MAX_CODES: usize = 1 << 22;

/// The most places of native modules that are believed.
pub const MAX_PLACES: usize = 1 << 21;

/// What a block holds. Readers skip kinds that they do not know.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// JSON, [`Metadata`](crate::model::Metadata); the last one counts.
    Metadata = 1,
    /// Records of one chunk, compressed.
    Piece = 2,
    /// Code objects.
    Codes = 3,
    /// JSON, [`ThreadName`](crate::model::ThreadName).
    Thread = 4,
    /// JSON, [`RssSample`](crate::model::RssSample).
    Rss = 5,
    /// JSON, [`Note`](crate::model::Note).
    Note = 6,
    /// JSON, [`End`](crate::model::End).
    End = 7,
    /// Where all the blocks are.
    Index = 8,
    /// Where the index is; the last block.
    Trailer = 9,
    /// JSON, [`ProcessLife`](crate::model::ProcessLife).
    Process = 10,
    /// JSON, compressed, in parts: what became of events that were not kept.
    Aggregate = 11,
    /// JSON, [`NativeModule`](crate::model::NativeModule); the last one of an id counts.
    Module = 12,
    /// JSON, compressed: [`NativePlace`](crate::model::NativePlace), many.
    NativePlaces = 13,
}

impl BlockKind {
    /// Every kind.
    pub const ALL: [BlockKind; 13] = [
        BlockKind::Metadata,
        BlockKind::Piece,
        BlockKind::Codes,
        BlockKind::Thread,
        BlockKind::Rss,
        BlockKind::Note,
        BlockKind::End,
        BlockKind::Index,
        BlockKind::Trailer,
        BlockKind::Process,
        BlockKind::Aggregate,
        BlockKind::Module,
        BlockKind::NativePlaces,
    ];

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<BlockKind> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == number)
    }
}

/// The head of a block, its checksum already verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    /// A [`BlockKind`], or one of a later version.
    pub kind: u32,
    /// Bytes of the body.
    pub length: u32,
    /// Checksum of the body.
    pub body_crc: u32,
}

impl BlockHead {
    /// For this body.
    pub fn new(kind: BlockKind, body: &[u8]) -> BlockHead {
        let length = u32::try_from(body.len()).expect("bodies are bounded by MAX_BODY");
        BlockHead { kind: kind as u32, length, body_crc: crc32fast::hash(body) }
    }

    /// As it stands in the file.
    pub fn to_bytes(self) -> [u8; BLOCK_HEAD] {
        let mut out = [0; BLOCK_HEAD];
        out[..4].copy_from_slice(&SYNC);
        out[4..8].copy_from_slice(&self.kind.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..16]);
        out[16..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if these bytes are not an undamaged head.
    pub fn from_bytes(bytes: &[u8; BLOCK_HEAD]) -> Option<BlockHead> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != SYNC || word(16) != crc32fast::hash(&bytes[..16]) {
            return None;
        }
        Some(BlockHead { kind: word(4), length: word(8), body_crc: word(12) })
    }

    /// Bytes of head and body.
    pub fn total(&self) -> u64 {
        BLOCK_HEAD as u64 + u64::from(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_discriminants() {
        for kind in BlockKind::ALL {
            assert_eq!(BlockKind::from_number(kind as u32), Some(kind));
        }
        assert_eq!(BlockKind::from_number(0), None);
    }

    #[test]
    fn every_flipped_bit_of_a_head_is_noticed() {
        let head = BlockHead::new(BlockKind::Note, b"text");
        let bytes = head.to_bytes();
        assert_eq!(BlockHead::from_bytes(&bytes), Some(head));
        for bit in 0..BLOCK_HEAD * 8 {
            let mut hurt = bytes;
            hurt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHead::from_bytes(&hurt), None, "bit {bit}");
        }
    }
}
