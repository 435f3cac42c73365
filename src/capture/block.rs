//! Finds the blocks of a capture and reads their bodies.
//!
//! Reading is positional (`pread`), not through a mapping: a capture that another
//! process cuts short while we read must end in an error, not in SIGBUS.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::format::{BLOCK_HEAD, BlockHead, BlockKind, FILE_HEAD, MAX_BODY, SYNC};
use super::index::{self, BlockEntry};
use super::piece::{PIECE_HEAD, PieceHead};

/// Bytes of the trailer block: a head and the index's position.
const TRAILER: u64 = BLOCK_HEAD as u64 + 8;

/// The blocks of an open file.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    length: u64,
}

/// What a walk over the file found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub entries: Vec<BlockEntry>,
    /// Stretches of bytes that are no blocks.
    pub damaged: u64,
    /// Where a block begins that the file does not hold whole.
    pub cut_at: Option<u64>,
}

impl Blocks {
    pub fn new(file: File) -> io::Result<Blocks> {
        let length = file.metadata()?.len();
        Ok(Blocks { file, length })
    }

    /// Whether another file has the name `path` by now.
    pub fn is_replaced(&self, path: &Path) -> bool {
        let identity = |found: Metadata| (found.dev(), found.ino());
        let (own, found) = (self.file.metadata().map(identity), fs::metadata(path).map(identity));
        own.is_ok_and(|own| found.is_ok_and(|found| found != own))
    }

    /// Looks how long the file is by now.
    pub fn grow(&mut self) -> io::Result<()> {
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `out` from `position` on; false if the file ends before.
    pub fn read(&self, position: u64, out: &mut [u8]) -> io::Result<bool> {
        match self.file.read_exact_at(out, position) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts the body of the block at `position` into `out`; false if there is no
    /// undamaged block of that kind.
    pub fn body(&self, position: u64, kind: BlockKind, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(head) = self.head(position)? else { return Ok(false) };
        let length = head.length as usize;
        if head.kind != kind as u32 || length > MAX_BODY || position + head.total() > self.length {
            return Ok(false);
        }
        out.clear();
        out.resize(length, 0);
        Ok(self.read(position + BLOCK_HEAD as u64, out)? && crc32fast::hash(out) == head.body_crc)
    }

    /// Where the blocks are: by the index if there is one, else by walking.
    pub fn find(&self) -> io::Result<Found> {
        match self.indexed()? {
            Some(entries) => Ok(Found { entries, ..Found::default() }),
            None => self.walk(),
        }
    }

    /// The head of the block at `position`; `None` if there is none.
    pub fn head(&self, position: u64) -> io::Result<Option<BlockHead>> {
        let mut bytes = [0; BLOCK_HEAD];
        if position > self.length || !self.read(position, &mut bytes)? {
            return Ok(None);
        }
        Ok(BlockHead::from_bytes(&bytes))
    }

    fn indexed(&self) -> io::Result<Option<Vec<BlockEntry>>> {
        let mut body = Vec::new();
        let Some(trailer) = self.length.checked_sub(TRAILER) else { return Ok(None) };
        if !self.body(trailer, BlockKind::Trailer, &mut body)? {
            return Ok(None);
        }
        let Ok(position) = <[u8; 8]>::try_from(&body[..]) else { return Ok(None) };
        if !self.body(u64::from_le_bytes(position), BlockKind::Index, &mut body)? {
            return Ok(None);
        }
        Ok(index::decode(&body))
    }

    fn walk(&self) -> io::Result<Found> {
        let mut found = Found::default();
        let mut position = FILE_HEAD;
        while position < self.length {
            match self.head(position)? {
                Some(head) if position + head.total() > self.length => {
                    found.cut_at = Some(position);
                    break;
                }
                Some(head) => {
                    found.entries.push(self.entry(position, head)?);
                    position += head.total();
                }
                None => match self.next_sync(position + 1)? {
                    Some(next) => {
                        found.damaged += 1;
                        position = next;
                    }
                    None => {
                        found.cut_at = Some(position);
                        break;
                    }
                },
            }
        }
        Ok(found)
    }

    /// What an index would say of a block.
    pub fn entry(&self, position: u64, head: BlockHead) -> io::Result<BlockEntry> {
        let mut piece = None;
        if head.kind == BlockKind::Piece as u32 && head.length as usize >= PIECE_HEAD {
            let mut bytes = [0; PIECE_HEAD];
            if self.read(position + BLOCK_HEAD as u64, &mut bytes)? {
                piece = PieceHead::from_bytes(&bytes).map(Into::into);
            }
        }
        Ok(BlockEntry { kind: head.kind, position, piece })
    }

    /// The next undamaged head at or after `from`.
    pub fn next_sync(&self, from: u64) -> io::Result<Option<u64>> {
        const WINDOW: usize = 64 << 10;
        let mut window = vec![0; WINDOW];
        let mut at = from;
        while at + (BLOCK_HEAD as u64) <= self.length {
            let size = WINDOW.min((self.length - at) as usize);
            if !self.read(at, &mut window[..size])? {
                return Ok(None);
            }
            for (index, head) in window[..size].windows(BLOCK_HEAD).enumerate() {
                if head[..SYNC.len()] == SYNC
                    && head.try_into().ok().and_then(BlockHead::from_bytes).is_some()
                {
                    return Ok(Some(at + index as u64));
                }
            }
            at += (size - BLOCK_HEAD + 1) as u64;
        }
        Ok(None)
    }
}
