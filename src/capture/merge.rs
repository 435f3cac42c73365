//! One stream of events, ordered by time, from the chunks of all threads.
//!
//! ```text
//!  thread 1   [chunk 1 ······][chunk 4 ···]            a cursor holds one piece
//!  thread 2            [chunk 2 ··] …… [chunk 7 ····]  ◄ not loaded before its first tick
//!  heap       (tick, ends memory first, thread)        ► the smallest goes next
//! ```
//!
//! Within a thread the order is the program's; between threads it is that of the
//! ticks, and at equal ticks what ends memory comes before what begins it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::block::Blocks;
use super::chunk::{ChunkDecoder, Item};
use super::chunk_table::{ChunkAt, ChunkTable};
use super::format::BlockKind;
use super::piece::Unpacker;
use crate::model::{Event, Stacks, Tick};

/// What could not be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Chunks that ended early: a piece is missing, damaged or malformed.
    pub chunks: u64,
    /// Other blocks, or stretches between blocks, that are damaged.
    pub blocks: u64,
}

impl Damage {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Damage::default()
    }
}

/// The events of a capture, oldest first.
#[derive(Debug)]
pub struct Events<'a> {
    blocks: &'a Blocks,
    table: &'a ChunkTable,
    cursors: Vec<Cursor>,
    /// All cursors but the current one.
    heap: BinaryHeap<Reverse<Key>>,
    /// Whose turn it is for as long as nobody else is due.
    current: Option<u32>,
    stacks: Stacks,
    body: Vec<u8>,
    unpacker: Unpacker,
    /// Bytes of pieces; more than the file has are not read.
    read: u64,
    damaged_chunks: u64,
}

/// When a cursor is due. Loading comes first, so that nothing is overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tick: Tick,
    turn: Turn,
    cursor: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Load,
    EndsMemory,
    Other,
}

/// Where the stream is within one thread.
#[derive(Debug)]
struct Cursor {
    /// Chunks to come; the first is the current one while `head` is there.
    chunks: Range<usize>,
    /// Pieces of the current chunk read so far.
    pieces_read: usize,
    /// Records of the current piece, and how far they are decoded.
    raw: Vec<u8>,
    at: usize,
    /// Bytes of the current chunk before `raw`.
    before: u64,
    decoder: ChunkDecoder,
    head: Option<Event>,
}

/// The current chunk is lost from here on.
struct Lost;

impl<'a> Events<'a> {
    pub(super) fn new(blocks: &'a Blocks, table: &'a ChunkTable) -> Events<'a> {
        let cursors: Vec<Cursor> = table.threads().into_iter().map(Cursor::new).collect();
        let due = |(index, cursor): (usize, &Cursor)| Some(Reverse(cursor.key(index as u32, table)?));
        let heap = cursors.iter().enumerate().filter_map(due).collect();
        Events {
            blocks,
            table,
            cursors,
            heap,
            current: None,
            stacks: Stacks::new(),
            body: Vec::new(),
            unpacker: Unpacker::new(),
            read: 0,
            damaged_chunks: table.headless,
        }
    }

    /// The stacks of the events given so far.
    pub fn stacks(&self) -> &Stacks {
        &self.stacks
    }

    /// Chunks found damaged so far.
    pub fn damaged_chunks(&self) -> u64 {
        self.damaged_chunks
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    #[inline]
    fn next(&mut self) -> Option<Event> {
        loop {
            let index = match self.current {
                Some(index) => index,
                None => self.pick()?,
            };
            let event = self.cursors[index as usize].head.take();
            self.step(index, event.is_some());
            if event.is_some() {
                return event;
            }
        }
    }
}

impl Events<'_> {
    /// Makes the cursor that is due the current one.
    fn pick(&mut self) -> Option<u32> {
        let Reverse(key) = self.heap.pop()?;
        self.current = Some(key.cursor);
        Some(key.cursor)
    }

    /// Moves the current cursor, and puts it back once another is due.
    #[inline]
    fn step(&mut self, index: u32, loaded: bool) {
        let cursor = &mut self.cursors[index as usize];
        let mut source = Source {
            blocks: self.blocks,
            table: self.table,
            stacks: &mut self.stacks,
            body: &mut self.body,
            unpacker: &mut self.unpacker,
            read: &mut self.read,
        };
        let result = if loaded { cursor.advance(&mut source) } else { cursor.load(&mut source) };
        if let Err(Lost) = result {
            self.damaged_chunks += 1;
            cursor.leave_chunk();
        }
        let Some(key) = cursor.key(index, self.table) else {
            self.current = None;
            return;
        };
        if self.heap.peek().is_some_and(|Reverse(next)| *next < key) {
            self.heap.push(Reverse(key));
            self.current = None;
        }
    }
}

/// What a cursor needs to move.
struct Source<'a> {
    blocks: &'a Blocks,
    table: &'a ChunkTable,
    stacks: &'a mut Stacks,
    body: &'a mut Vec<u8>,
    unpacker: &'a mut Unpacker,
    read: &'a mut u64,
}

impl Cursor {
    fn new(chunks: Range<usize>) -> Cursor {
        Cursor {
            chunks,
            pieces_read: 0,
            raw: Vec::new(),
            at: 0,
            before: 0,
            decoder: ChunkDecoder::new(None),
            head: None,
        }
    }

    /// `None` at the end of the thread.
    #[inline]
    fn key(&self, cursor: u32, table: &ChunkTable) -> Option<Key> {
        match &self.head {
            Some(event) => {
                let turn = if event.what.ends_memory() { Turn::EndsMemory } else { Turn::Other };
                Some(Key { tick: event.at, turn, cursor })
            }
            None => {
                let tick = table.chunks[self.chunks.clone()].first()?.first_tick;
                Some(Key { tick, turn: Turn::Load, cursor })
            }
        }
    }

    /// Begins the next chunk.
    fn load(&mut self, source: &mut Source<'_>) -> Result<(), Lost> {
        let chunk = &source.table.chunks[self.chunks.start];
        self.read_piece(chunk, source)?;
        let mut bytes = &self.raw[..];
        self.decoder.start(&mut bytes).map_err(|_| Lost)?;
        self.at = self.raw.len() - bytes.len();
        let thread = self.decoder.thread().map(|(thread, _)| thread);
        if thread != Some(chunk.thread) || self.decoder.now() != chunk.first_tick {
            return Err(Lost);
        }
        self.advance(source)
    }

    /// Moves `head` to the next event of the chunk; leaves the chunk at its end.
    #[inline]
    fn advance(&mut self, source: &mut Source<'_>) -> Result<(), Lost> {
        loop {
            let mut bytes = &self.raw[self.at..];
            let item = self.decoder.next(&mut bytes, source.stacks).map_err(|_| Lost)?;
            self.at = self.raw.len() - bytes.len();
            match item {
                Some(Item::Event(event)) => {
                    self.head = Some(event);
                    return Ok(());
                }
                Some(Item::Code(_)) => {} // kept in blocks of their own
                None => {
                    let chunk = &source.table.chunks[self.chunks.start];
                    if self.pieces_read == source.table.pieces(chunk).len() {
                        self.leave_chunk();
                        return Ok(());
                    }
                    self.read_piece(chunk, source)?;
                }
            }
        }
    }

    /// Reads the current chunk's next piece, which must follow the one before.
    fn read_piece(&mut self, chunk: &ChunkAt, source: &mut Source<'_>) -> Result<(), Lost> {
        let piece = source.table.pieces(chunk)[self.pieces_read];
        self.before += self.raw.len() as u64;
        if u64::from(piece.offset) != self.before || *source.read > source.blocks.length() {
            return Err(Lost);
        }
        source.body.clear();
        let whole = source.blocks.body(piece.position, BlockKind::Piece, source.body).unwrap_or(false);
        *source.read += source.body.len() as u64;
        let head = if whole { source.unpacker.unpack(source.body, &mut self.raw) } else { None };
        if head.is_none_or(|head| head.chunk != chunk.serial || head.offset != piece.offset) {
            return Err(Lost);
        }
        self.pieces_read += 1;
        self.at = 0;
        Ok(())
    }

    fn leave_chunk(&mut self) {
        let previous = self.decoder.previous();
        self.chunks.next();
        self.pieces_read = 0;
        self.raw = Vec::new();
        self.at = 0;
        self.before = 0;
        self.decoder = ChunkDecoder::new(previous);
        self.head = None;
    }
}
