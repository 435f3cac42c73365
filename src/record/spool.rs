//! The thread that decodes, compresses and writes, so that a slow disk never holds
//! up the one that empties the ring.
//!
//! ```text
//!  ring ─► drain ─► [queue, bounded] ─► spool thread: sieve ─► figures, code objects ─► Sink
//! ```
//!
//! While the queue is full nothing is drained, then the ring fills, then the target
//! drops and counts: a slow disk costs events, never time of the target.

use super::figures::Figures;
use super::ring::Piece;
use super::sieve::Sieve;
use super::sink::Sink;
use super::turning::Turning;
use crate::capture::{self, CodeAssembler};
use crate::model::{
    ChunkSerial, CodeObject, Metadata, NativeModule, Note, ProcessId, ProcessLife, RssSample, ThreadName,
    Tick,
};
use hashbrown::{HashMap, HashSet};
use prof_injector::tracee::take_precedence;
use prof_shared::record::{Process, Record};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, atomic::AtomicBool};
use std::thread::JoinHandle;

/// With so many bytes waiting, the queue is full; one more drain may still come.
const FULL_BYTES: u64 = 16 << 20;
/// With so many waiting, the figures are thinned out,
const BUSY_BYTES: u64 = FULL_BYTES / 4;
/// but only once in so many pieces.
const THINNED_EVERY: usize = 512;

/// Something to put into the capture.
pub enum Item {
    /// Records.
    Piece(Piece),
    /// All records up to now were handed over.
    Round,
    /// A thread's name.
    Thread(ThreadName),
    /// A process of this number was seen to have ended.
    Ended(ProcessId, Tick),
    /// A sample of the resident set.
    Rss(RssSample),
    /// A native module that came, or went.
    Module(NativeModule),
    /// Something a reader should know.
    Note(Note),
    /// What is known of the target, anew.
    Metadata(Box<Metadata>),
}

impl Item {
    fn bytes(&self) -> u64 {
        match self {
            Item::Piece(piece) => piece.bytes.len() as u64,
            _ => 0,
        }
    }
}

/// What others may look at while the thread works.
#[derive(Default)]
pub struct Shown {
    /// Allocations and frees written.
    pub events: AtomicU64,
    /// Bytes of the capture.
    pub written_bytes: AtomicU64,
    /// Bytes live in blocks allocated while recording.
    pub live_bytes: AtomicU64,
    /// Whether that is an estimate.
    pub is_estimate: AtomicBool,
    waiting_bytes: AtomicU64,
    failed: AtomicBool,
}

/// What the thread leaves behind.
pub struct Finished {
    /// To be given its ending.
    pub sink: Box<dyn Sink>,
    /// The first error of writing; nothing was written after it.
    pub error: Option<capture::Error>,
    /// Forked processes that records came from and that were not seen to end.
    pub processes: Vec<ProcessLife>,
    /// Events written.
    pub events: u64,
    /// Events that could not be written.
    pub unwritten: u64,
    /// Code objects whose description was malformed.
    pub refused_codes: u64,
    /// Chunks that held something else than records.
    pub damaged_chunks: u64,
    /// Where native frames were: module and address in it.
    pub places: BTreeSet<(u32, u32)>,
}

/// The running thread.
pub struct Spool {
    queue: Sender<Item>,
    shown: Arc<Shown>,
    births: Receiver<Process>,
    thread: JoinHandle<Finished>,
}

impl Spool {
    /// Starts the thread.
    pub fn start(sink: Box<dyn Sink>, turning: Option<Turning>) -> std::io::Result<Spool> {
        let (queue, items) = channel();
        let shown = Arc::new(Shown::default());
        let (figures, codes, shown_to) = (Figures::default(), CodeAssembler::new(), shown.clone());
        let (sieve, since_thinned) = (Sieve::default(), THINNED_EVERY);
        let (born, births) = channel();
        let processes = Processes { known: HashMap::new(), born };
        let work = Work {
            sink,
            turning,
            shown: shown_to,
            sieve,
            figures,
            codes,
            processes,
            since_thinned,
            unwritten: 0,
            places: HashSet::new(),
        };
        let thread = std::thread::Builder::new().name("prof-spool".into()).spawn(move || {
            // With more busy threads than processors an even share is too little, and events
            // would be lost.
            take_precedence();
            work.run(&items)
        })?;
        Ok(Spool { queue, shown, births, thread })
    }

    /// Hands something over.
    pub fn put(&self, item: Item) {
        self.shown.waiting_bytes.fetch_add(item.bytes(), Relaxed);
        // The thread ends only after the queue was closed, which consumes `self`.
        self.queue.send(item).expect("the spool thread runs");
    }

    /// Whether the ring should not be drained for now.
    pub fn is_full(&self) -> bool {
        self.shown.waiting_bytes.load(Relaxed) >= FULL_BYTES
    }

    /// The figures so far.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Forked processes whose first records came since the last call.
    pub fn births(&self) -> impl Iterator<Item = Process> + '_ {
        self.births.try_iter()
    }

    /// Whether writing has failed; recording is then pointless.
    pub fn has_failed(&self) -> bool {
        self.shown.failed.load(Relaxed)
    }

    /// Waits until everything is written.
    pub fn finish(self) -> Finished {
        drop(self.queue);
        self.thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
}

struct Work {
    sink: Box<dyn Sink>,
    turning: Option<Turning>,
    shown: Arc<Shown>,
    sieve: Sieve,
    figures: Figures,
    codes: CodeAssembler,
    processes: Processes,
    /// Pieces since the figures were thinned out last.
    since_thinned: usize,
    /// Events that could not be written.
    unwritten: u64,
    places: HashSet<(u32, u32)>,
}

/// More places are not named.
const MAX_PLACES: usize = 1 << 20;

impl Work {
    fn run(mut self, items: &Receiver<Item>) -> Finished {
        let mut error = None;
        for item in items {
            let bytes = item.bytes();
            let is_busy = self.shown.waiting_bytes.fetch_sub(bytes, Relaxed) > BUSY_BYTES;
            match error {
                None => error = self.write(item, is_busy).err(),
                Some(_) => self.give_up(&item),
            }
            self.shown.failed.store(error.is_some(), Relaxed);
            self.shown.written_bytes.store(self.sink.length(), Relaxed);
        }
        Finished {
            sink: self.sink,
            error,
            processes: self.processes.known.into_values().filter(|life| life.ended_tick == 0).collect(),
            events: self.figures.events,
            unwritten: self.unwritten,
            refused_codes: self.codes.refused(),
            damaged_chunks: self.sieve.damaged(),
            places: self.places.into_iter().collect(),
        }
    }

    /// Counts what cannot be written.
    fn give_up(&mut self, item: &Item) {
        if let Item::Piece(piece) = item {
            let before = self.figures.events;
            self.sieve.add(piece, |process, record| self.figures.count(ProcessId(process.number), record));
            self.unwritten += self.figures.events - before;
        }
    }

    fn write(&mut self, item: Item, is_busy: bool) -> capture::Result<()> {
        match item {
            Item::Piece(piece) => self.piece(piece, is_busy),
            Item::Round => self.round(),
            Item::Thread(name) => self.sink.thread(&name),
            Item::Ended(process, at) => {
                self.figures.end_process(process);
                let ended = self.processes.end(process, at);
                ended.map_or(Ok(()), |life| self.sink.process(&life))
            }
            Item::Rss(sample) => self.sink.rss(&sample),
            Item::Module(module) => self.sink.module(&module),
            Item::Note(note) => self.sink.note(&note),
            Item::Metadata(about) => self.sink.metadata(&about),
        }
    }

    fn round(&mut self) -> capture::Result<()> {
        if let Some(turning) = &mut self.turning
            && let Some(sink) = turning.turn(&*self.sink)?
        {
            self.sink = sink;
        }
        self.sink.round()
    }

    fn piece(&mut self, piece: Piece, is_busy: bool) -> capture::Result<()> {
        self.since_thinned += 1;
        if is_busy && self.since_thinned >= THINNED_EVERY {
            self.figures.thin_out();
            self.since_thinned = 0;
        }
        let before = self.figures.events;
        let (mut described, mut born) = (Vec::new(), None);
        let kept = self.sieve.add(&piece, |process, record| {
            self.figures.count(ProcessId(process.number), record);
            described.extend(self.codes.add(record));
            match *record {
                Record::Origin { ticks, .. } => born = self.processes.see(process, ticks),
                Record::Native { pushes, .. } if self.places.len() < MAX_PLACES => {
                    self.places.extend(pushes.map(|(module, offset)| (module, offset as u32)));
                }
                _ => {}
            }
        });
        let noted = born.map_or(Ok(()), |life| self.sink.process(&life));
        if let Err(error) = noted.and_then(|()| self.put_down(piece, kept, &described)) {
            self.unwritten += self.figures.events - before;
            return Err(error);
        }
        self.shown.events.store(self.figures.events, Relaxed);
        self.shown.live_bytes.store(self.figures.live_bytes(), Relaxed);
        self.shown.is_estimate.store(self.figures.is_estimate(), Relaxed);
        Ok(())
    }

    /// Writes what of a piece is records.
    fn put_down(&mut self, piece: Piece, kept: usize, described: &[CodeObject]) -> capture::Result<()> {
        described.iter().try_for_each(|code| self.sink.code(code))?;
        let Piece { chunk, offset, mut bytes, .. } = piece;
        bytes.truncate(kept);
        match kept {
            0 => Ok(()),
            _ => self.sink.piece(ChunkSerial(chunk), offset, bytes),
        }
    }
}

/// The forked processes that records came from.
struct Processes {
    known: HashMap<u32, ProcessLife>,
    /// Is told of each.
    born: Sender<Process>,
}

/// Numbers can be invented.
const MAX_PROCESSES: usize = 1 << 20;

impl Processes {
    /// What is to be noted of a process with an event at `began_tick`: itself, at its first.
    fn see(&mut self, process: Process, began_tick: u64) -> Option<ProcessLife> {
        let Process { number, parent, pid } = process;
        let is_new = number != 0 && !self.known.contains_key(&number) && self.known.len() < MAX_PROCESSES;
        is_new.then(|| {
            let life = ProcessLife { number, parent, pid, began_tick, ended_tick: 0 };
            self.known.insert(number, life.clone());
            // Nobody listens any more once the recording has ended.
            let _heard = self.born.send(process);
            life
        })
    }

    fn end(&mut self, process: ProcessId, at: Tick) -> Option<ProcessLife> {
        let life = self.known.get_mut(&process.0)?;
        life.ended_tick = at.0;
        Some(life.clone())
    }
}
