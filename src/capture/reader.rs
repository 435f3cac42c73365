//! Opens a capture: its metadata, code objects, samples and notes, and the way
//! to its events.

use hashbrown::HashMap;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::aggregate;
use super::block::{Blocks, Found};
use super::chunk_table::ChunkTable;
use super::code_block;
use super::error::{Error, Result};
use super::format::{BlockKind, FILE_HEAD, MAGIC, MAX_CODES, MAX_PLACES, VERSION};
use super::index::BlockEntry;
use super::merge::{Damage, Events};
use crate::model::{
    CodeId, CodeObject, End, Metadata, NativeFunction, NativeModule, NativePlace, Note, NoteKind,
    ProcessLife, RssSample, ThreadName, Tick,
};

/// An open capture. All but the events is in memory.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    blocks: Blocks,
    table: ChunkTable,
    rest: Rest,
    damage: Damage,
}

/// The blocks that are not pieces, decoded.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub metadata: Option<Metadata>,
    pub codes: HashMap<CodeId, CodeObject>,
    pub threads: Vec<ThreadName>,
    pub processes: BTreeMap<u32, ProcessLife>,
    pub modules: BTreeMap<u32, NativeModule>,
    pub native_places: HashMap<(u32, u32), Vec<NativeFunction>>,
    pub rss: Vec<RssSample>,
    pub notes: Vec<Note>,
    pub end: Option<End>,
    /// Its parts, one after the other.
    pub aggregate: Vec<u8>,
}

impl Reader {
    /// Opens the capture at `path`.
    pub fn open(path: &Path) -> Result<Reader> {
        let fail = |error| Error::Read(path.to_owned(), error);
        let blocks = open_blocks(path)?;
        let found = blocks.find().map_err(fail)?;
        let mut rest = Rest::default();
        let mut damage = Damage { chunks: 0, blocks: found.damaged };
        let (mut body, mut read) = (Vec::new(), 0);
        for entry in &found.entries {
            body.clear();
            // An index can say that blocks lie on top of each other, as often as it likes.
            let is_sound = read <= blocks.length() && rest.read(&blocks, entry, &mut body).map_err(fail)?;
            read += body.len() as u64;
            damage.blocks += u64::from(!is_sound);
        }
        if rest.metadata.is_none() {
            return Err(Error::NoMetadata(path.to_owned()));
        }
        rest.note_damage(&found, damage);
        Ok(Reader { path: path.to_owned(), table: ChunkTable::new(&found.entries), blocks, rest, damage })
    }

    /// Who was recorded, how and where.
    pub fn metadata(&self) -> &Metadata {
        self.rest.metadata.as_ref().expect("open() refuses a capture without")
    }

    /// A code object; `None` if its description is not in the capture.
    pub fn code(&self, id: CodeId) -> Option<&CodeObject> {
        self.rest.codes.get(&id)
    }

    /// All code objects by id.
    pub fn codes(&self) -> Vec<&CodeObject> {
        let mut codes: Vec<_> = self.rest.codes.values().collect();
        codes.sort_by_key(|code| code.id);
        codes
    }

    /// The names of threads, in the order in which they were read.
    pub fn threads(&self) -> &[ThreadName] {
        &self.rest.threads
    }

    /// The processes that were forked while recording, by number.
    pub fn processes(&self) -> impl Iterator<Item = &ProcessLife> {
        self.rest.processes.values()
    }

    /// The native modules, by id.
    pub fn modules(&self) -> &BTreeMap<u32, NativeModule> {
        &self.rest.modules
    }

    /// The functions at an address of a native module, innermost first; none if that is not
    /// known.
    pub fn native_functions(&self, module: u32, offset: u32) -> &[NativeFunction] {
        self.rest.native_places.get(&(module, offset)).map_or(&[], |functions| functions)
    }

    /// Samples of the resident set.
    pub fn rss(&self) -> &[RssSample] {
        &self.rest.rss
    }

    /// What was noted while recording, and what opening the file found.
    pub fn notes(&self) -> &[Note] {
        &self.rest.notes
    }

    /// How the recording ended; `None` if the capture was never finished.
    pub fn end(&self) -> Option<&End> {
        self.rest.end.as_ref()
    }

    /// Whether it holds what became of events instead of the events.
    pub fn is_aggregated(&self) -> bool {
        !self.rest.aggregate.is_empty()
    }

    /// What became of events that were not kept; `None` if that is not readable.
    pub fn aggregate<T: DeserializeOwned>(&self) -> Option<T> {
        aggregate::unpack(&self.rest.aggregate)
    }

    /// The capture that has taken this one's place: one without events is written anew every
    /// few seconds.
    pub fn replacement(&self) -> Option<Reader> {
        replacement(&self.blocks, &self.path)
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.blocks.length()
    }

    /// What was found damaged when opening. [`Events::damaged_chunks`] counts the
    /// chunks, which only reading them can tell.
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// When the latest chunk began.
    pub fn last_chunk_at(&self) -> Tick {
        self.table.chunks.iter().map(|chunk| chunk.first_tick).max().unwrap_or_default()
    }

    /// The events, oldest first. Memory is bounded by the threads that are alive at one time.
    pub fn events(&self) -> Events<'_> {
        Events::new(&self.blocks, &self.table)
    }
}

/// The capture without events that has taken the place of this one.
pub(super) fn replacement(blocks: &Blocks, path: &Path) -> Option<Reader> {
    let is_replaced = blocks.is_replaced(path);
    is_replaced.then(|| Reader::open(path).ok()).flatten().filter(Reader::is_aggregated)
}

/// Opens a file that begins as a capture does.
pub(super) fn open_blocks(path: &Path) -> Result<Blocks> {
    let fail = |error| Error::Read(path.to_owned(), error);
    // Without waiting for somebody to write, if it is a FIFO.
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(Error::NotACapture(path.to_owned()));
    }
    let blocks = Blocks::new(file).map_err(fail)?;
    check_head(&blocks, path)?;
    Ok(blocks)
}

fn check_head(blocks: &Blocks, path: &Path) -> Result<()> {
    let mut head = [0; FILE_HEAD as usize];
    let whole = blocks.read(0, &mut head).map_err(|error| Error::Read(path.to_owned(), error))?;
    if !whole || head[..8] != MAGIC {
        return Err(Error::NotACapture(path.to_owned()));
    }
    let found = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if found > VERSION { Err(Error::Version { path: path.to_owned(), found }) } else { Ok(()) }
}

impl Rest {
    /// Decodes a block; false if it is damaged.
    pub fn read(&mut self, blocks: &Blocks, entry: &BlockEntry, body: &mut Vec<u8>) -> io::Result<bool> {
        let Some(kind) = BlockKind::from_number(entry.kind) else { return Ok(true) };
        if matches!(kind, BlockKind::Piece | BlockKind::Index | BlockKind::Trailer) {
            return Ok(true);
        }
        Ok(blocks.body(entry.position, kind, body)? && self.decode(kind, body).is_some())
    }

    fn decode(&mut self, kind: BlockKind, body: &[u8]) -> Option<()> {
        match kind {
            BlockKind::Metadata => self.metadata = Some(json(body)?),
            BlockKind::Codes => self.decode_codes(body)?,
            BlockKind::Thread => self.threads.push(json(body)?),
            BlockKind::Process => {
                let process: ProcessLife = json(body)?;
                self.processes.insert(process.number, process);
            }
            BlockKind::Module => {
                let module: NativeModule = json(body)?;
                self.modules.insert(module.id, module);
            }
            BlockKind::NativePlaces => {
                let places: Vec<NativePlace> = aggregate::unpack(body)?;
                places.into_iter().for_each(|place| self.native_place(place));
            }
            BlockKind::Rss => self.rss.push(json(body)?),
            BlockKind::Note => self.notes.push(json(body)?),
            BlockKind::End => self.end = Some(json(body)?),
            BlockKind::Aggregate => self.aggregate.extend_from_slice(body),
            BlockKind::Piece | BlockKind::Index | BlockKind::Trailer => {}
        }
        Some(())
    }

    /// Takes what is at a place of a native module.
    pub fn native_place(&mut self, place: NativePlace) {
        if self.native_places.len() < MAX_PLACES {
            self.native_places.insert((place.module, place.offset), place.functions);
        }
    }

    fn decode_codes(&mut self, mut body: &[u8]) -> Option<()> {
        while !body.is_empty() {
            let code = code_block::take(&mut body).filter(|_| self.codes.len() < MAX_CODES)?;
            self.codes.entry(code.id).or_insert(code);
        }
        Some(())
    }

    fn note_damage(&mut self, found: &Found, damage: Damage) {
        let mut note =
            |text: String| self.notes.push(Note { kind: NoteKind::Damage, text, ..Note::default() });
        if let Some(position) = found.cut_at {
            note(format!("the capture is cut off at byte {position}"));
        }
        if damage.blocks > 0 {
            note(format!("{} damaged blocks were skipped", damage.blocks));
        }
        if self.end.is_none() {
            note("the capture was never finished: its writer was killed, or its tail is missing".to_owned());
        }
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}
