//! Follows a capture that somebody is still writing: takes the blocks that are whole by now,
//! and gives their events by time, a moment later.
//!
//! A block whose end is not there yet is not there yet. It only reads.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::block::Blocks;
use super::columns::Records;
use super::error::{Error, Result};
use super::format::{BLOCK_HEAD, BlockKind, FILE_HEAD};
use super::gather::Gathering;
use super::piece::Unpacker;
use super::reader::{Reader, open_blocks, replacement};
use crate::model::{CodeId, CodeObject, End, Event, Metadata, ProcessLife, RssSample, Stacks, ThreadName};

/// While nothing else is waited for, pieces that come within this time are of one round.
const ROUND: Duration = Duration::from_millis(300);

/// A capture that may grow.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    blocks: Blocks,
    /// Where the next block begins.
    at: u64,
    gathering: Gathering,
    unpacker: Unpacker,
    body: Vec<u8>,
    round_began: Instant,
    damaged_blocks: u64,
}

impl Follower {
    /// Opens the capture at `path`.
    pub fn open(path: &Path) -> Result<Follower> {
        let mut follower = Follower {
            path: path.to_owned(),
            blocks: open_blocks(path)?,
            at: FILE_HEAD,
            gathering: Gathering::default(),
            unpacker: Unpacker::new(),
            body: Vec::new(),
            round_began: Instant::now(),
            damaged_blocks: 0,
        };
        follower.read_on(1).map_err(|error| Error::Read(path.to_owned(), error))?;
        match follower.gathering.rest.metadata {
            Some(_) => Ok(follower),
            None => Err(Error::NoMetadata(path.to_owned())),
        }
    }

    /// Who is recorded, how and where.
    pub fn metadata(&self) -> &Metadata {
        self.gathering.rest.metadata.as_ref().expect("open() refuses a capture without")
    }

    /// A code object.
    pub fn code(&self, id: CodeId) -> Option<&CodeObject> {
        self.gathering.rest.codes.get(&id)
    }

    /// The names of threads.
    pub fn threads(&self) -> &[ThreadName] {
        &self.gathering.rest.threads
    }

    /// The processes that were forked while recording, by number.
    pub fn processes(&self) -> impl Iterator<Item = &ProcessLife> {
        self.gathering.rest.processes.values()
    }

    /// Samples of the resident set.
    pub fn rss(&self) -> &[RssSample] {
        &self.gathering.rest.rss
    }

    /// How the recording ended; `None` as long as it has not.
    pub fn end(&self) -> Option<&End> {
        self.gathering.rest.end.as_ref()
    }

    /// The stacks of the events given so far.
    pub fn stacks(&self) -> &Stacks {
        self.gathering.stacks()
    }

    /// Blocks and chunks that are damaged.
    pub fn damaged(&self) -> u64 {
        self.damaged_blocks + self.gathering.damaged_chunks()
    }

    /// What is to be read instead: a capture without events has taken this one's place, or it
    /// is one.
    pub fn replacement(&self) -> Option<Reader> {
        match self.gathering.rest.aggregate[..] {
            [] => replacement(&self.blocks, &self.path),
            _ => Reader::open(&self.path).ok(),
        }
    }

    /// What was read so far.
    pub fn gathering(&mut self) -> &mut Gathering {
        &mut self.gathering
    }

    /// The same, to go on without the file.
    pub fn into_gathering(self) -> Gathering {
        self.gathering
    }

    /// Bytes that are read.
    pub fn read_bytes(&self) -> u64 {
        self.at
    }

    /// Bytes that are there and not read.
    pub fn behind_bytes(&self) -> u64 {
        self.blocks.length().saturating_sub(self.at)
    }

    /// Reads blocks that are there by now until they are so many bytes or there are no more.
    pub fn read_on(&mut self, limit_bytes: u64) -> io::Result<()> {
        self.blocks.grow()?;
        let until = self.at.saturating_add(limit_bytes);
        while self.at < until && self.gathering.rest.end.is_none() && self.read_block()? {}
        let is_at_end = self.at < until;
        if is_at_end && self.round_began.elapsed() >= ROUND {
            self.round_began = Instant::now();
            self.gathering.next_round();
        }
        if self.gathering.rest.end.is_some() {
            self.at = self.blocks.length();
            self.gathering.finish();
        }
        Ok(())
    }

    /// Gives the events that are due, oldest first.
    pub fn for_each_due(&mut self, take: impl FnMut(&Event)) {
        self.gathering.for_each_due(take);
    }

    /// False if the next block is not there yet.
    fn read_block(&mut self) -> io::Result<bool> {
        if self.behind_bytes() < BLOCK_HEAD as u64 {
            return Ok(false);
        }
        let Some(head) = self.blocks.head(self.at)? else {
            let Some(next) = self.blocks.next_sync(self.at + 1)? else { return Ok(false) };
            self.damaged_blocks += 1;
            self.at = next;
            return Ok(true);
        };
        if head.total() > self.behind_bytes() {
            return Ok(false);
        }
        let is_sound = match BlockKind::from_number(head.kind) {
            Some(BlockKind::Piece) => self.take_piece()?,
            kind => {
                // Their moments are a second apart, however late they are read.
                if kind == Some(BlockKind::Rss) {
                    self.gathering.next_round();
                }
                let entry = self.blocks.entry(self.at, head)?;
                self.gathering.block(&self.blocks, &entry, &mut self.body)?
            }
        };
        self.damaged_blocks += u64::from(!is_sound);
        self.at += head.total();
        Ok(true)
    }

    fn take_piece(&mut self) -> io::Result<bool> {
        let mut records = Records::default();
        self.body.clear();
        let is_whole = self.blocks.body(self.at, BlockKind::Piece, &mut self.body)?;
        let head = if is_whole { self.unpacker.unpack(&self.body, &mut records) } else { None };
        if let Some(head) = head {
            self.gathering.take(head, records);
        }
        Ok(head.is_some())
    }
}
