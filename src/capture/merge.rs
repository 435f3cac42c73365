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
use super::chunk::{ChunkDecoder, ChunkError, Item};
use super::chunk_table::{ChunkAt, ChunkTable};
use super::columns::{Records, Unread};
use super::format::BlockKind;
use super::piece::Unpacker;
use crate::model::{Event, Stacks, Tick};

/// Events in a batch: enough that handing it over costs nothing, few enough for a cache.
const BATCH: usize = 2048;

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
    heap: BinaryHeap<Reverse<Key>>,
    /// For [`Events::next`].
    batch: Vec<Event>,
    taken: usize,
    stacks: Stacks,
    body: Vec<u8>,
    unpacker: Unpacker,
    /// Buffers that cursors have left.
    spare: Vec<Records>,
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

impl Key {
    /// Behind all.
    const NEVER: Key = Key { tick: Tick(u64::MAX), turn: Turn::Other, cursor: u32::MAX };

    #[inline]
    fn of(event: &Event, cursor: u32) -> Key {
        let turn = if event.what.ends_memory() { Turn::EndsMemory } else { Turn::Other };
        Key { tick: event.at, turn, cursor }
    }

    /// Whether that event of the cursor comes before.
    #[inline]
    fn is_behind(self, event: &Event, cursor: u32) -> bool {
        event.at < self.tick || Key::of(event, cursor) < self
    }
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
    /// Of the current piece.
    records: Records,
    /// Where in the chunk it ends.
    end: u64,
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
            batch: Vec::new(),
            taken: 0,
            stacks: Stacks::new(),
            body: Vec::new(),
            unpacker: Unpacker::new(),
            spare: Vec::new(),
            read: 0,
            damaged_chunks: table.headless,
        }
    }

    /// The stacks of the events given so far.
    pub fn stacks(&self) -> &Stacks {
        &self.stacks
    }

    /// The same, once no more events are wanted.
    pub fn into_stacks(self) -> Stacks {
        self.stacks
    }

    /// The part of the capture that has been read, from 0 to 1.
    pub fn progress(&self) -> f64 {
        self.read as f64 / self.blocks.length().max(1) as f64
    }

    /// Chunks found damaged so far.
    pub fn damaged_chunks(&self) -> u64 {
        self.damaged_chunks
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.taken == self.batch.len() {
            let mut batch = std::mem::take(&mut self.batch);
            self.fill(&mut batch);
            (self.batch, self.taken) = (batch, 0);
        }
        let event = self.batch.get(self.taken).copied();
        self.taken += usize::from(event.is_some());
        event
    }
}

impl Events<'_> {
    /// Puts the next events into `batch`, instead of what it holds: none at the end.
    pub(super) fn fill(&mut self, batch: &mut Vec<Event>) {
        batch.clear();
        while batch.len() < BATCH {
            let Some(Reverse(key)) = self.heap.pop() else { return };
            let until = self.heap.peek().map_or(Key::NEVER, |Reverse(next)| *next);
            self.run(key.cursor, until, batch);
        }
    }

    /// Takes the events of a cursor up to the moment at which another is due.
    fn run(&mut self, index: u32, until: Key, batch: &mut Vec<Event>) {
        let cursor = &mut self.cursors[index as usize];
        let mut source = Source {
            blocks: self.blocks,
            table: self.table,
            stacks: &mut self.stacks,
            body: &mut self.body,
            unpacker: &mut self.unpacker,
            spare: &mut self.spare,
            read: &mut self.read,
        };
        if cursor.run(index, until, batch, &mut source).is_err() {
            self.damaged_chunks += 1;
            cursor.leave_chunk(&mut source);
        }
        self.heap.extend(cursor.key(index, self.table).map(Reverse));
    }
}

/// What a cursor needs to move.
struct Source<'a> {
    blocks: &'a Blocks,
    table: &'a ChunkTable,
    stacks: &'a mut Stacks,
    body: &'a mut Vec<u8>,
    unpacker: &'a mut Unpacker,
    spare: &'a mut Vec<Records>,
    read: &'a mut u64,
}

impl Cursor {
    fn new(chunks: Range<usize>) -> Cursor {
        Cursor {
            chunks,
            pieces_read: 0,
            records: Records::default(),
            end: 0,
            decoder: ChunkDecoder::new(None),
            head: None,
        }
    }

    /// `None` at the end of the thread.
    fn key(&self, cursor: u32, table: &ChunkTable) -> Option<Key> {
        match &self.head {
            Some(event) => Some(Key::of(event, cursor)),
            None => {
                let tick = table.chunks[self.chunks.clone()].first()?.first_tick;
                Some(Key { tick, turn: Turn::Load, cursor })
            }
        }
    }

    /// Gives what is due before `until`, as far as there is room in the batch and to the end of the
    /// chunk. What comes next is the head.
    fn run(
        &mut self,
        index: u32,
        until: Key,
        batch: &mut Vec<Event>,
        source: &mut Source<'_>,
    ) -> Result<(), Lost> {
        match self.head.take() {
            Some(head) => batch.push(head),
            None => self.load(source)?,
        }
        loop {
            let mut unread = self.records.unread();
            self.head = decode(&mut self.decoder, &mut unread, source.stacks, |event| {
                let is_due = until.is_behind(event, index) && batch.len() < BATCH;
                if is_due {
                    batch.push(*event);
                }
                is_due
            })
            .map_err(|_| Lost)?;
            if self.head.is_some() {
                let left = unread.left();
                self.records.read_until(left);
                return Ok(());
            }
            if !unread.is_empty() {
                return Err(Lost);
            }
            let chunk = &source.table.chunks[self.chunks.start];
            if self.pieces_read == source.table.pieces(chunk).len() {
                self.leave_chunk(source);
                return Ok(());
            }
            self.read_piece(chunk, source)?;
        }
    }

    /// Begins the next chunk.
    fn load(&mut self, source: &mut Source<'_>) -> Result<(), Lost> {
        let chunk = &source.table.chunks[self.chunks.start];
        self.records = source.spare.pop().unwrap_or_default();
        self.read_piece(chunk, source)?;
        let mut unread = self.records.unread();
        self.decoder.start(&mut unread).map_err(|_| Lost)?;
        let left = unread.left();
        self.records.read_until(left);
        let thread = self.decoder.thread().map(|(thread, _)| thread);
        if thread != Some(chunk.thread) || self.decoder.now() != chunk.first_tick {
            return Err(Lost);
        }
        Ok(())
    }

    /// Reads the current chunk's next piece, which must follow the one before.
    fn read_piece(&mut self, chunk: &ChunkAt, source: &mut Source<'_>) -> Result<(), Lost> {
        let piece = source.table.pieces(chunk)[self.pieces_read];
        if u64::from(piece.offset) != self.end || *source.read > source.blocks.length() {
            return Err(Lost);
        }
        source.body.clear();
        let whole = source.blocks.body(piece.position, BlockKind::Piece, source.body).unwrap_or(false);
        *source.read += source.body.len() as u64;
        let head = if whole { source.unpacker.unpack(source.body, &mut self.records) } else { None };
        let head = head.filter(|head| head.chunk == chunk.serial && head.offset == piece.offset);
        self.end += u64::from(head.ok_or(Lost)?.raw_length);
        self.pieces_read += 1;
        Ok(())
    }

    fn leave_chunk(&mut self, source: &mut Source<'_>) {
        source.spare.push(std::mem::take(&mut self.records));
        self.chunks.next();
        self.pieces_read = 0;
        self.end = 0;
        self.decoder = ChunkDecoder::new(self.decoder.previous());
        self.head = None;
    }
}

/// Decodes a piece until `take` does not take an event, which is returned; `None` at its end.
fn decode(
    decoder: &mut ChunkDecoder,
    unread: &mut Unread<'_>,
    stacks: &mut Stacks,
    mut take: impl FnMut(&Event) -> bool,
) -> Result<Option<Event>, ChunkError> {
    while let Some(item) = decoder.next(unread, stacks)? {
        // Descriptions of code are kept in blocks of their own.
        if let Item::Event(event) = item
            && !take(&event)
        {
            return Ok(Some(event));
        }
    }
    Ok(None)
}
