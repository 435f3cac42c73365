//! Writes a capture, block by block, each with one `write`.
//!
//! Killed at any instruction, it leaves a file that opens. On a full disk it takes
//! back the block that did not fit, says so, and can still be finished: the last
//! blocks then make room for the ending.

use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::aggregate;
use super::code_block;
use super::error::{Error, Result, is_full};
use super::format::{BLOCK_HEAD, BlockHead, BlockKind, FILE_HEAD, MAGIC, MAX_BODY, MAX_PIECE, VERSION};
use super::growing::GrowingIndex;
use super::index::{BlockEntry, PieceEntry};
use super::piece::{Packer, PieceHead};
use crate::model::{
    ChunkSerial, CodeObject, End, Metadata, NativeModule, NativePlace, Note, NoteKind, ProcessLife,
    RssSample, ThreadName,
};

/// Code objects are written when so many bytes wait, or with the next piece.
const CODES_BATCH: usize = 64 << 10;
/// So many places of native modules are in a block.
const PLACES_BATCH: usize = 4096;
/// The most bytes that make room for the ending on a full disk. If they do not
/// suffice, somebody else takes the room as soon as it is free.
const MAX_GIVEN_UP: u64 = 256 << 10;

/// A capture being written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    /// Bytes of whole blocks.
    length: u64,
    index: GrowingIndex,
    codes: Vec<u8>,
    packer: Packer,
    /// Fail point: the disk is full at this length.
    #[cfg(test)]
    pub(super) full_at: Option<u64>,
}

impl Writer {
    /// Creates the file, readable by its owner only. It never follows a symbolic
    /// link; with `force`, a file or link of that name is replaced.
    pub fn create(path: &Path, force: bool, metadata: &Metadata) -> Result<Writer> {
        let file = create(path, force)?;
        let mut writer = Writer {
            path: path.to_owned(),
            file,
            length: 0,
            index: GrowingIndex::default(),
            codes: Vec::new(),
            packer: Packer::new(),
            #[cfg(test)]
            full_at: None,
        };
        let mut head = [0; FILE_HEAD as usize];
        head[..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        writer.append(&head)?;
        writer.metadata(metadata)?;
        Ok(writer)
    }

    /// Replaces the metadata given before, as more becomes known.
    pub fn metadata(&mut self, metadata: &Metadata) -> Result<()> {
        self.json(BlockKind::Metadata, metadata)
    }

    /// Whole records of a chunk, from byte `offset` of it on.
    pub fn piece(&mut self, chunk: ChunkSerial, offset: u32, raw: &[u8]) -> Result<()> {
        if raw.len() > MAX_PIECE {
            return Err(Error::TooLong(raw.len()));
        }
        self.flush_codes()?;
        let head = PieceHead::of(chunk, offset, raw);
        let body = self.packer.pack(head, raw).map_err(Error::Pack)?;
        self.block(BlockKind::Piece, &body, Some(head.into()))
    }

    /// A code object. It is in the file before the next piece is.
    pub fn code(&mut self, code: &CodeObject) -> Result<()> {
        code_block::put(code, &mut self.codes);
        if self.codes.len() >= CODES_BATCH { self.flush_codes() } else { Ok(()) }
    }

    /// A thread's name.
    pub fn thread(&mut self, thread: &ThreadName) -> Result<()> {
        self.json(BlockKind::Thread, thread)
    }

    /// A process that was forked, or how it ended.
    pub fn process(&mut self, process: &ProcessLife) -> Result<()> {
        self.json(BlockKind::Process, process)
    }

    /// A sample of the resident set.
    pub fn rss(&mut self, sample: &RssSample) -> Result<()> {
        self.json(BlockKind::Rss, sample)
    }

    /// A native module that came, or went.
    pub fn module(&mut self, module: &NativeModule) -> Result<()> {
        self.json(BlockKind::Module, module)
    }

    /// What is at places of native modules.
    pub fn native_places(&mut self, places: &[NativePlace]) -> Result<()> {
        places.chunks(PLACES_BATCH).try_for_each(|places| {
            let packed = aggregate::pack(&places).map_err(Error::Pack)?;
            self.block(BlockKind::NativePlaces, &packed, None)
        })
    }

    /// A loss, a refusal, a soft error.
    pub fn note(&mut self, note: &Note) -> Result<()> {
        self.json(BlockKind::Note, note)
    }

    /// What became of events that are not in the capture.
    pub(super) fn aggregate(&mut self, aggregate: &impl Serialize) -> Result<()> {
        let packed = aggregate::pack(aggregate).map_err(Error::Pack)?;
        packed.chunks(aggregate::MAX_PART).try_for_each(|part| self.block(BlockKind::Aggregate, part, None))
    }

    /// Writes the ending, if there is one, and the index; nothing gives way. Returns the length.
    pub(super) fn close(mut self, end: Option<&End>) -> Result<u64> {
        self.flush_codes()?;
        end.map_or(Ok(()), |end| self.json(BlockKind::End, end))?;
        self.write_index()?;
        Ok(self.length)
    }

    /// Writes the ending and the index. On a full disk the last blocks give way,
    /// which a note in the capture counts.
    pub fn finish(mut self, end: &End) -> Result<()> {
        let (length, mut given_up) = (self.length, 0);
        loop {
            let try_more = |writer: &Writer| length - writer.length < MAX_GIVEN_UP;
            match self.ending(end, given_up) {
                Err(Error::Full(_)) if try_more(&self) && self.give_up_last()? => given_up += 1,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        match self.write_index() {
            Err(Error::Full(_)) => Ok(()), // readers walk the file instead
            result => result,
        }
    }

    /// The file, to be removed if nothing comes of the recording.
    pub fn begun(&self) -> io::Result<Begun> {
        Ok(Begun { path: self.path.clone(), identity: identity(&self.file.metadata()?) })
    }

    /// Bytes written so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn ending(&mut self, end: &End, given_up: u32) -> Result<()> {
        let (length, count) = (self.length, self.index.count());
        let result = self.try_ending(end, given_up);
        if result.is_err() {
            while self.index.count() > count && self.index.pop().is_some() {}
            self.truncate(length)?;
        }
        result
    }

    fn try_ending(&mut self, end: &End, given_up: u32) -> Result<()> {
        self.write_codes()?; // kept: this may be tried again
        if given_up > 0 {
            let text = format!("the last {given_up} blocks gave way to the ending on a full disk");
            self.note(&Note { kind: NoteKind::Loss, text, ..Note::default() })?;
        }
        self.json(BlockKind::End, end)
    }

    fn write_index(&mut self) -> Result<()> {
        let position = self.length;
        let Some(body) = self.index.body().map(<[u8]>::to_vec) else { return Ok(()) };
        self.block(BlockKind::Index, &body, None)?;
        self.block(BlockKind::Trailer, &position.to_le_bytes(), None)
    }

    fn give_up_last(&mut self) -> Result<bool> {
        // The first block is the metadata, without which there is no capture.
        if self.index.count() <= 1 {
            return Ok(false);
        }
        let Some(last) = self.index.pop() else { return Ok(false) };
        self.truncate(last)?;
        Ok(true)
    }

    fn json(&mut self, kind: BlockKind, value: &impl Serialize) -> Result<()> {
        let body = serde_json::to_vec(value).expect("the model has only string keys");
        self.block(kind, &body, None)
    }

    fn flush_codes(&mut self) -> Result<()> {
        self.write_codes()?;
        self.codes.clear();
        Ok(())
    }

    fn write_codes(&mut self) -> Result<()> {
        if self.codes.is_empty() {
            return Ok(());
        }
        let codes = std::mem::take(&mut self.codes);
        let result = self.block(BlockKind::Codes, &codes, None);
        self.codes = codes;
        result
    }

    fn block(&mut self, kind: BlockKind, body: &[u8], piece: Option<PieceEntry>) -> Result<()> {
        if body.len() > MAX_BODY {
            return Err(Error::TooLong(body.len()));
        }
        let mut bytes = Vec::with_capacity(BLOCK_HEAD + body.len());
        bytes.extend_from_slice(&BlockHead::new(kind, body).to_bytes());
        bytes.extend_from_slice(body);
        let position = self.length;
        self.append(&bytes)?;
        self.index.push(&BlockEntry { kind: kind as u32, position, piece });
        Ok(())
    }

    /// All of `bytes` or nothing.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match self.write(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.truncate(self.length)?;
                Err(match is_full(&error) {
                    true => Error::Full(self.path.clone()),
                    false => Error::Write(self.path.clone(), error),
                })
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if let Some(room) = self.full_at.map(|full| full.saturating_sub(self.length) as usize)
            && room < bytes.len()
        {
            self.file.write_all(&bytes[..room])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all(bytes)
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        use io::{Seek, SeekFrom};
        self.file
            .set_len(length)
            .and_then(|()| self.file.seek(SeekFrom::Start(length)))
            .map_err(|error| Error::Write(self.path.clone(), error))?;
        self.length = length;
        Ok(())
    }
}

/// The file of a capture, to be removed or replaced later.
#[derive(Debug)]
pub struct Begun {
    path: PathBuf,
    identity: (u64, u64),
}

impl Begun {
    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where what is to replace it is written.
    pub(super) fn next_path(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".next");
        self.path.with_file_name(name)
    }

    /// Gives another file its name, which nobody else's file may have by now. If that cannot
    /// be done the other one does not stay.
    pub(super) fn replace_by(&mut self, next: Begun) -> Result<()> {
        let is_ours = match fs::symlink_metadata(&self.path) {
            Ok(found) => identity(&found) == self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let renamed = match is_ours {
            true => {
                fs::rename(&next.path, &self.path).map_err(|error| Error::Write(self.path.clone(), error))
            }
            false => Err(Error::Exists(self.path.clone())),
        };
        match renamed {
            Ok(()) => self.identity = next.identity,
            Err(_) => next.remove(),
        }
        renamed
    }

    /// Removes the file, if it is still what has its name.
    pub fn remove(self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| identity(&found) == self.identity) {
            let _stays_empty = fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Creates a file that only its owner can read. It never follows a symbolic link; with
/// `force`, a file or link of that name is replaced.
pub fn create(path: &Path, force: bool) -> Result<File> {
    if force {
        remove(path)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
        _ if is_full(&error) => Error::Full(path.to_owned()),
        _ => Error::Create(path.to_owned(), error),
    })
}

/// Removes a file, or a link: the link, not what it leads to. One that leads to a device,
/// as `/dev/stdout` may, stays: whoever may remove it would take it from the whole machine.
fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() || found.is_symlink() && !leads_to_no_regular_file(path) => {
            fs::remove_file(path).map_err(|error| Error::Create(path.to_owned(), error))
        }
        Ok(_) => Err(Error::NotRegular(path.to_owned())),
        Err(_) => Ok(()),
    }
}

fn leads_to_no_regular_file(link: &Path) -> bool {
    fs::metadata(link).is_ok_and(|found| !found.is_file())
}
