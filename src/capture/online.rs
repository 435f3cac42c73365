//! Merges pieces by time while they are being written.
//!
//! ```text
//!  round      0          1          2          a piece belongs to the round in which it came
//!  thread 1   [piece]    [piece]    [piece]
//!  thread 2              [piece]               due: all events that are not younger than
//!             └── due ─────────┘               the youngest of a piece three rounds old
//! ```
//!
//! What comes later than that is still taken, but after younger events. Memory is that of
//! the records of so many rounds.

use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::vec_deque::Drain;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::chunk::ChunkDecoder;
use super::piece::PieceHead;
use super::waiting::{Left, Waiting};
use crate::model::{ChunkSerial, Event, Stacks, ThreadSerial, Tick};

/// So many rounds a piece waits for others that are older.
const PATIENCE: u64 = 3;
/// More bytes of records than this do not wait.
const MAX_HELD: usize = 256 << 20;

/// The pieces whose events are not due yet.
#[derive(Debug, Default)]
pub(super) struct Online {
    threads: Vec<Thread>,
    by_serial: HashMap<ThreadSerial, usize>,
    /// Chunks that are not left yet: the thread's index and the chunk's number.
    chunks: HashMap<ChunkSerial, (usize, u32)>,
    heads: BinaryHeap<Reverse<Key>>,
    pub stacks: Stacks,
    /// Pieces that are not used up, by round.
    waiting: BTreeMap<u64, usize>,
    round: u64,
    is_finished: bool,
    held: usize,
    /// Chunks that ended early.
    pub damaged: u64,
}

/// At one tick what ends memory comes first, then threads by number; last, the index.
type Key = (Tick, bool, ThreadSerial, usize);

fn key(event: &Event, index: usize) -> Key {
    (event.at, !event.what.ends_memory(), event.thread, index)
}

#[derive(Debug, Default)]
struct Thread {
    /// By number.
    chunks: BTreeMap<u32, Chunk>,
    head: Option<Event>,
    previous: Option<Tick>,
}

#[derive(Debug)]
struct Chunk {
    serial: ChunkSerial,
    decoder: Option<ChunkDecoder>,
    pieces: VecDeque<Piece>,
    /// Where the next piece begins.
    end: u64,
    first_round: u64,
    is_lost: bool,
}

#[derive(Debug)]
struct Piece {
    round: u64,
    records: Waiting,
    bytes: u32,
}

impl Online {
    /// What comes from now on is of another round.
    pub fn next_round(&mut self) {
        self.round += 1;
    }

    /// Nothing comes any more: all is due.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Takes a piece.
    pub fn add(&mut self, head: PieceHead, records: Waiting) {
        if head.offset == 0 && !self.chunks.contains_key(&head.chunk) {
            self.begin(head);
        }
        let Some(&(thread, number)) = self.chunks.get(&head.chunk) else {
            self.damaged += 1;
            return;
        };
        let Some(chunk) = self.threads[thread].chunks.get_mut(&number) else { return };
        if chunk.is_lost || chunk.end != u64::from(head.offset) {
            self.damaged += u64::from(!chunk.is_lost);
            chunk.is_lost = true;
            return;
        }
        chunk.end += u64::from(head.raw_length);
        self.held += head.raw_length as usize;
        *self.waiting.entry(self.round).or_default() += 1;
        chunk.pieces.push_back(Piece { round: self.round, records, bytes: head.raw_length });
    }

    fn begin(&mut self, head: PieceHead) {
        let thread = *self.by_serial.entry(head.thread).or_insert_with(|| {
            self.threads.push(Thread::default());
            self.threads.len() - 1
        });
        let chunks = &mut self.threads[thread].chunks;
        if chunks.contains_key(&head.sequence) {
            return;
        }
        let chunk = Chunk {
            serial: head.chunk,
            decoder: None,
            pieces: VecDeque::new(),
            end: 0,
            first_round: self.round,
            is_lost: false,
        };
        chunks.insert(head.sequence, chunk);
        self.chunks.insert(head.chunk, (thread, head.sequence));
    }

    /// Gives the events that are due, oldest first.
    pub fn for_each_due(&mut self, mut take: impl FnMut(&Event)) {
        for thread in 0..self.threads.len() {
            if self.threads[thread].head.is_none() {
                self.advance(thread, |_| false);
            }
        }
        while self.is_due() {
            let Some(Reverse((.., index))) = self.heads.pop() else { return };
            if let Some(event) = self.threads[index].head.take() {
                take(&event);
            }
            // As long as the next one is of the same thread there is nothing to sort.
            let other = self.heads.peek().map(|&Reverse(other)| other);
            self.advance(index, |event| {
                let is_next = other.is_none_or(|other| key(event, index) < other);
                if is_next {
                    take(event);
                }
                is_next
            });
        }
    }

    fn is_due(&self) -> bool {
        let is_old = |(&round, _): (&u64, _)| round + PATIENCE <= self.round;
        self.is_finished || self.held > MAX_HELD || self.waiting.first_key_value().is_some_and(is_old)
    }

    /// Offers the thread's next events, of one piece at most, until one is not taken, which
    /// then is its head; leaves chunks that are used up.
    fn advance(&mut self, index: usize, mut offer: impl FnMut(&Event) -> bool) {
        let thread = &mut self.threads[index];
        let mut is_same_piece = true;
        while let Some((_, chunk)) = thread.chunks.first_key_value() {
            let number_of_chunks = thread.chunks.len();
            let is_first_known = chunk.decoder.is_none() && chunk.first_round >= self.round;
            // The rest of the chunk before may be on its way.
            if is_first_known && thread.previous.is_some() && !self.is_finished && self.held <= MAX_HELD {
                return;
            }
            let Some(mut entry) = thread.chunks.first_entry() else { return };
            let chunk = entry.get_mut();
            while let Some(left) =
                chunk.read(&mut thread.previous, &mut self.stacks, |event| is_same_piece && offer(event))
            {
                if let Left::Event(event) = left {
                    self.heads.push(Reverse(key(&event, index)));
                    thread.head = Some(event);
                    return;
                }
                // What is due may be another thread's now.
                is_same_piece = false;
                for piece in chunk.leave(left) {
                    self.held -= piece.bytes as usize;
                    if let Some(left) = self.waiting.get_mut(&piece.round) {
                        *left -= 1;
                        if *left == 0 {
                            self.waiting.remove(&piece.round);
                        }
                    }
                }
            }
            if number_of_chunks == 1 {
                return;
            }
            self.chunks.remove(&chunk.serial);
            self.damaged += u64::from(chunk.is_lost && chunk.end == u64::MAX);
            entry.remove();
        }
    }
}

impl Chunk {
    /// Offers the events of the first piece, until one is not taken; `None` if there is no
    /// piece.
    fn read(
        &mut self,
        previous: &mut Option<Tick>,
        stacks: &mut Stacks,
        mut offer: impl FnMut(&Event) -> bool,
    ) -> Option<Left> {
        let decoder = self.decoder.get_or_insert_with(|| ChunkDecoder::new(*previous));
        let piece = self.pieces.front_mut()?;
        Some(piece.records.read(decoder, stacks, |event| {
            *previous = Some(event.at);
            offer(event)
        }))
    }

    /// The pieces that are used up: the first one, or all where it is damaged.
    fn leave(&mut self, left: Left) -> Drain<'_, Piece> {
        let used = match left {
            Left::Damage => {
                (self.end, self.is_lost) = (u64::MAX, true);
                self.pieces.len()
            }
            _ => 1,
        };
        self.pieces.drain(..used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::columns;
    use crate::capture::testing::{Records, Scratch, put_chunk};
    use crate::capture::{Follower, Reader};
    use std::path::Path;

    fn followed(path: &Path) -> Vec<Event> {
        let (mut follower, mut events) = (Follower::open(path).expect("a capture"), Vec::new());
        follower.read_on(u64::MAX).expect("it can be read");
        follower.for_each_due(|event| events.push(*event));
        events
    }

    /// Threads, chunks in pieces, equal ticks: the order is that of the exact merge.
    #[test]
    fn in_order() {
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        let whole = Records::of(1, 0, 10).malloc(20, 0x10, 8).free(30, 0x10).malloc(30, 0x10, 9);
        let cut = Records::of(1, 0, 10).malloc(20, 0x10, 8).len();
        put_chunk(&mut writer, 2, &Records::of(2, 0, 5).malloc(25, 0x20, 7).free(30, 0x20));
        writer.piece(ChunkSerial(1), 0, &whole.bytes()[..cut]).expect("there is room");
        put_chunk(&mut writer, 4, &Records::of(2, 1, 35).malloc(50, 0x40, 5));
        writer.piece(ChunkSerial(1), cut as u32, &whole.bytes()[cut..]).expect("there is room");
        put_chunk(&mut writer, 3, &Records::of(1, 1, 31).malloc(40, 0x30, 6));
        writer.finish(&Default::default()).expect("there is room");
        let exact: Vec<_> = Reader::open(&scratch.path()).expect("a capture").events().collect();
        assert_eq!(exact.len(), 7);
        assert_eq!(followed(&scratch.path()), exact);
    }

    /// Pieces that are taken as they come, too, however they are mixed.
    #[test]
    fn raw_and_sorted() {
        let all = [
            (1, Records::of(1, 0, 10).malloc(20, 0x10, 8).free(30, 0x10).malloc(30, 0x10, 9)),
            (2, Records::of(2, 0, 5).malloc(25, 0x20, 7).free(30, 0x20).malloc(31, 0x20, 1)),
            (3, Records::of(1, 1, 31).malloc(40, 0x30, 6)),
        ];
        let given = |is_raw: fn(u64) -> bool| {
            let (mut online, mut moments) = (Online::default(), Vec::new());
            for (chunk, records) in &all {
                let raw = records.bytes().to_vec();
                let head = PieceHead::of(ChunkSerial(*chunk), 0, &raw);
                let waiting = match is_raw(*chunk) {
                    true => Waiting::Raw { bytes: raw, read: 0 },
                    false => Waiting::Sorted(sorted(&raw)),
                };
                online.add(head, waiting);
            }
            online.finish();
            online.for_each_due(|event| moments.push((event.at.0, event.thread.0)));
            assert_eq!((online.held, online.waiting.len(), online.damaged), (0, 0, 0));
            moments
        };
        let exact = [(20, 1), (25, 2), (30, 1), (30, 2), (30, 1), (31, 2), (40, 1)];
        for is_raw in [|_| true, |_| false, |chunk| chunk == 2, |chunk| chunk == 1] {
            assert_eq!(given(is_raw), exact);
        }
    }

    #[test]
    fn damage_ends_a_chunk() {
        for cut in [&[0xff, 0xff][..], &[0]] {
            let (mut online, mut moments) = (Online::default(), Vec::new());
            let whole = Records::of(1, 0, 10).malloc(20, 0x10, 8);
            let raw = [whole.bytes(), cut].concat();
            let length = raw.len() as u32;
            let head = PieceHead::of(ChunkSerial(1), 0, &raw);
            online.add(head, Waiting::Raw { bytes: raw, read: 0 });
            let more = PieceHead { offset: length, raw_length: 0, ..head };
            online.add(more, Waiting::Raw { bytes: Vec::new(), read: 0 });
            let next = Records::of(1, 1, 31).malloc(40, 0x30, 6).bytes().to_vec();
            online.add(PieceHead::of(ChunkSerial(2), 0, &next), Waiting::Raw { bytes: next, read: 0 });
            online.finish();
            online.for_each_due(|event| moments.push(event.at.0));
            assert_eq!((moments, online.held, online.damaged), (vec![20, 40], 0, 1));
        }
    }

    fn sorted(raw: &[u8]) -> columns::Records {
        let mut records = columns::Records::default();
        records.refill(|fresh| {
            columns::split(raw, fresh);
            Some(())
        });
        records
    }

    /// However much of the file is there, nothing is damaged, and what comes later is read on.
    #[test]
    fn a_growing_file() {
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        put_chunk(&mut writer, 1, &Records::of(1, 0, 1).malloc(2, 0x10, 8));
        writer.finish(&Default::default()).expect("there is room");
        let bytes = scratch.bytes();
        let begun = Scratch::holding(&bytes);
        let first = (1..bytes.len()).find(|&length| {
            std::fs::write(begun.path(), &bytes[..length]).expect("there is room");
            Follower::open(&begun.path()).is_ok()
        });
        let first = first.expect("the whole file is a capture");
        std::fs::write(begun.path(), &bytes[..first]).expect("there is room");
        let (mut follower, mut events) = (Follower::open(&begun.path()).expect("a capture"), 0);
        for length in first..=bytes.len() {
            std::fs::write(begun.path(), &bytes[..length]).expect("there is room");
            follower.read_on(u64::MAX).expect("it can be read");
            follower.for_each_due(|_| events += 1);
        }
        assert_eq!((events, follower.damaged(), follower.end().is_some()), (1, 0, true));
    }
}
