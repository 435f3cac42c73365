//! A recording that keeps no events but what became of them, and writes that into the capture
//! anew every few seconds.
//!
//! ```text
//!  pieces ─► Gathering ─► events by time ─► Fold ─► Aggregate ─► capture, whole
//!               └ names, samples, notes ────────────────────────┘
//! ```
//!
//! What it holds and what it writes grows with distinct stacks, not with events or with time:
//! the first threads have figures of their own, later ones have them together with others of
//! their process; samples get rarer.

use super::clock::Clock;
use super::sink::Sink;
use crate::analysis::{Aggregate, Fold, History, Looks, Question};
use crate::capture::{Begun, Gathering, Result};
use crate::model::{
    ChunkSerial, CodeObject, End, Event, Metadata, NativeModule, NativePlace, Note, NoteKind, ProcessLife,
    RssSample, ThreadName, ThreadSerial, Tick, Tid,
};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// So often the capture is written,
const CHECKPOINT: Duration = Duration::from_secs(2);
/// but that takes at most one part in so many of the time.
const COST: u32 = 20;
/// Events that old have been folded.
const LAG: Duration = Duration::from_secs(2);
/// So many threads have figures of their own.
const MAX_THREADS: usize = 1000;
/// So many names of threads, and notes, are kept.
const MAX_TEXTS: usize = 2000;
/// With more samples each second one goes.
const MAX_SAMPLES: usize = 1024;
/// The history has at most so many intervals, and entries: about 10 MB.
const MAX_INTERVALS: u16 = 256;
const HISTORY_ROOM: usize = 1 << 18;

/// A sink that keeps figures.
pub struct Aggregator {
    capture: Begun,
    gathering: Gathering,
    folding: Option<Folding>,
    interval: Duration,
    clock: Clock,
    next_checkpoint: Instant,
    length: u64,
    has_failed: bool,
}

impl Aggregator {
    /// Of a capture in which there is nothing yet but the metadata.
    pub fn new(capture: Begun, metadata: &Metadata, interval: Duration, clock: Clock) -> Aggregator {
        Aggregator::of(capture, Gathering::new(metadata), None, interval, clock)
    }

    /// Of a capture whose events were folded so far.
    pub fn of(
        capture: Begun,
        gathering: Gathering,
        folding: Option<Folding>,
        interval: Duration,
        clock: Clock,
    ) -> Aggregator {
        let next_checkpoint = Instant::now();
        Aggregator {
            capture,
            gathering,
            folding,
            interval,
            clock,
            next_checkpoint,
            length: 0,
            has_failed: false,
        }
    }

    fn fold(&mut self) -> &mut Folding {
        let folding = self.folding.get_or_insert_with(|| Folding::new(&self.gathering, self.interval));
        folding.take(&mut self.gathering);
        folding
    }

    fn write(&mut self, now: Tick, end: Option<&End>) -> Result<()> {
        let began = Instant::now();
        self.fold();
        let folding = self.folding.as_mut().expect("it was made for that");
        let aggregate = folding.aggregate(&mut self.gathering, now);
        self.length = self.gathering.write(&mut self.capture, &aggregate, end)?;
        self.next_checkpoint = Instant::now() + CHECKPOINT.max(began.elapsed() * COST);
        Ok(())
    }

    /// If it cannot be written now it can perhaps be later; until then the last one stays.
    fn checkpoint(&mut self) {
        let reading = self.clock.read();
        let lag = u128::from(self.gathering.about().clock.ticks_per_second) * LAG.as_millis() / 1000;
        let result = self.write(Tick(reading.ticks.saturating_sub(lag as u64)), None);
        if let Err(error) = result {
            self.next_checkpoint = Instant::now() + CHECKPOINT;
            if !self.has_failed {
                self.has_failed = true;
                let text = format!("the figures could not be written for a time: {error}");
                self.gathering.notes().push(Note { kind: NoteKind::SoftError, text, ..Note::default() });
            }
        }
    }
}

impl Sink for Aggregator {
    fn metadata(&mut self, metadata: &Metadata) -> Result<()> {
        self.gathering.metadata(metadata);
        Ok(())
    }

    fn piece(&mut self, chunk: ChunkSerial, offset: u32, raw: Vec<u8>) -> Result<()> {
        self.gathering.piece(chunk, offset, raw);
        Ok(())
    }

    fn round(&mut self) -> Result<()> {
        self.gathering.next_round();
        self.fold();
        if Instant::now() >= self.next_checkpoint {
            self.checkpoint();
        }
        Ok(())
    }

    fn code(&mut self, code: &CodeObject) -> Result<()> {
        self.gathering.code(code);
        Ok(())
    }

    fn thread(&mut self, thread: &ThreadName) -> Result<()> {
        let known = self.gathering.threads();
        known.retain(|other| (other.serial, other.tid) != (thread.serial, thread.tid));
        if known.len() < MAX_TEXTS {
            known.push(thread.clone());
        }
        Ok(())
    }

    fn process(&mut self, process: &ProcessLife) -> Result<()> {
        self.gathering.process(process);
        Ok(())
    }

    fn rss(&mut self, sample: &RssSample) -> Result<()> {
        self.gathering.rss().push(sample.clone());
        Ok(())
    }

    fn module(&mut self, module: &NativeModule) -> Result<()> {
        self.gathering.module(module);
        Ok(())
    }

    fn native_places(&mut self, places: &[NativePlace]) -> Result<()> {
        self.gathering.native_places(places);
        Ok(())
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        let notes = self.gathering.notes();
        if notes.len() < MAX_TEXTS {
            notes.push(note.clone());
        }
        Ok(())
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn finish(mut self: Box<Self>, end: &End) -> Result<()> {
        self.gathering.finish();
        self.fold().finish();
        let now = Tick(self.clock.read().ticks);
        self.write(now, Some(end))
    }
}

/// What is made of the events that are due.
pub struct Folding {
    fold: Fold,
    /// Samples that it knows of.
    samples: usize,
    /// Processes that it knows to have ended.
    ended: HashSet<u32>,
    threads: Threads,
}

impl Folding {
    /// Before the first event, with what is known by then.
    pub fn new(gathering: &Gathering, interval: Duration) -> Folding {
        let clock = gathering.about().clock;
        let width = u128::from(clock.ticks_per_second) * interval.as_millis() / 1000;
        let width = u64::try_from(width).unwrap_or(u64::MAX);
        let history = History::growing(Tick(clock.origin_ticks), width, MAX_INTERVALS, HISTORY_ROOM);
        Folding {
            fold: Fold::new(gathering.about(), Question::default()).with_history(history),
            samples: 0,
            ended: HashSet::new(),
            threads: Threads::default(),
        }
    }

    /// Folds what is due by now.
    pub fn take(&mut self, gathering: &mut Gathering) {
        let clock = gathering.about().clock;
        for process in gathering.processes().filter(|process| process.ended_tick > 0) {
            if self.ended.insert(process.number) {
                self.fold.end_process(process);
            }
        }
        let samples = gathering.rss();
        for sample in samples[self.samples..].iter().filter(|sample| !sample.extents.is_empty()) {
            let extents = sample.extents.iter().map(|&(start, bytes, _)| (start, bytes)).collect();
            self.fold.look_at(clock.tick(sample.t_ns), extents);
        }
        if samples.len() > MAX_SAMPLES {
            thin_out(samples);
        }
        self.samples = samples.len();
        let Folding { fold, threads, .. } = self;
        gathering.for_each_due(|event| match threads.has_own(event.thread) {
            true => fold.add(event),
            false => fold.add(&of_others(event)),
        });
        if threads.begin_to_share() {
            let text = format!(
                "more than {MAX_THREADS} threads allocated: the others of each process are counted as one thread, \
                 0, by which what they freed soon is told, too"
            );
            gathering.notes().push(Note { kind: NoteKind::Other, text, ..Note::default() });
        }
    }

    fn finish(&mut self) {
        self.fold.finish();
    }

    fn aggregate(&mut self, gathering: &mut Gathering, now: Tick) -> Aggregate {
        let stacks = gathering.stacks().clone();
        let damaged_chunks = gathering.damaged_chunks();
        let arenas = Looks::of(gathering.rss()).map_or(&[][..], Looks::arenas);
        Aggregate { damaged_chunks, ..self.fold.aggregate(stacks, arenas, now) }
    }
}

/// The threads with figures of their own.
#[derive(Default)]
struct Threads {
    own: HashSet<ThreadSerial>,
    /// The last one that was asked for, and whether it has them.
    latest: Option<(ThreadSerial, bool)>,
    /// Whether there is one without, and whether that was told.
    is_shared: bool,
    is_told: bool,
}

impl Threads {
    #[inline]
    fn has_own(&mut self, thread: ThreadSerial) -> bool {
        match self.latest {
            Some((latest, has_own)) if latest == thread => has_own,
            _ => self.look_up(thread),
        }
    }

    fn look_up(&mut self, thread: ThreadSerial) -> bool {
        let own = &mut self.own;
        let has_own = own.contains(&thread) || own.len() < MAX_THREADS && own.insert(thread);
        self.latest = Some((thread, has_own));
        self.is_shared |= !has_own;
        has_own
    }

    /// Whether there is a thread without figures of its own for the first time.
    fn begin_to_share(&mut self) -> bool {
        self.is_shared && !std::mem::replace(&mut self.is_told, self.is_shared)
    }
}

/// The event of the thread that stands for all of its process without figures of their own.
fn of_others(event: &Event) -> Event {
    Event { thread: ThreadSerial(u32::MAX - event.process.0), tid: Tid(0), ..*event }
}

/// Every second sample goes; the first one stays, and the thorough ones.
fn thin_out(samples: &mut Vec<RssSample>) {
    let mut is_odd = true;
    samples.retain(|sample| {
        is_odd = !is_odd;
        !is_odd || !sample.extents.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::testing::Records;
    use crate::capture::{Follower, Reader};
    use crate::model::{Addr, Kind, ProcessId, StackId, What};
    use std::path::Path;

    #[test]
    fn later_threads_share_figures() {
        let mut own = Threads::default();
        let what = What::Alloc { kind: Kind::Malloc, addr: Addr(16), size: 1 };
        let mut thread_of = |thread, process| {
            let (thread, process) = (ThreadSerial(thread), ProcessId(process));
            let (at, tid, stack) = (Tick(0), Tid(7), StackId::EMPTY);
            match own.has_own(thread) {
                true => thread.0,
                false => of_others(&Event { at, process, thread, tid, stack, what }).thread.0,
            }
        };
        let threads = MAX_THREADS as u32;
        assert!((0..threads).all(|thread| thread_of(thread, 0) == thread));
        assert_eq!(
            [(threads, 0), (threads + 1, 0), (threads + 2, 3)].map(|(t, p)| thread_of(t, p)),
            [u32::MAX, u32::MAX, u32::MAX - 3]
        );
        assert_eq!(thread_of(5, 0), 5);
    }

    /// It is said, once.
    #[test]
    fn that_threads_share_figures_is_noted() {
        let mut gathering = Gathering::new(&crate::capture::testing::metadata());
        let mut folding = Folding::new(&gathering, Duration::from_millis(1));
        let threads = MAX_THREADS as u32;
        let mut noted = Vec::new();
        for (first, last) in [(0, threads), (threads, threads + 1), (threads + 1, threads + 9)] {
            for thread in first..last {
                let records = Records::of(thread, 0, 10).malloc(20, 16 * u64::from(thread) + 16, 8);
                gathering.piece(ChunkSerial(thread.into()), 0, records.bytes().to_vec());
            }
            gathering.finish();
            folding.take(&mut gathering);
            noted.push(gathering.notes().len());
        }
        assert_eq!(noted, [0, 1, 1]);
        assert!(gathering.notes()[0].text.starts_with("more than 1000 threads"));
    }

    /// The same events make the same figures, whether they are kept or not.
    #[test]
    fn figures_are_those_of_a_capture_with_events() {
        for name in ["small-v1.prof", "forked-v2.prof"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
            let reader = Reader::open(&path).expect("a capture");
            let clock = reader.metadata().clock;
            let mut fold = Fold::new(reader.metadata(), Question::default());
            reader.processes().for_each(|process| fold.end_process(process));
            let looks = Looks::of(reader.rss());
            let moments = looks.into_iter().flat_map(|looks| looks.moments(&clock));
            moments.for_each(|(moment, extents)| fold.look_at(moment, extents));
            let mut events = reader.events();
            events.by_ref().for_each(|event| fold.add(&event));
            fold.finish();
            let arenas = looks.map_or(&[][..], Looks::arenas);
            let kept = fold.aggregate(events.into_stacks(), arenas, Tick(0));

            let mut follower = Follower::open(&path).expect("a capture");
            follower.read_on(u64::MAX).expect("it can be read");
            let mut gathering = follower.into_gathering();
            let mut folding = Folding::new(&gathering, Duration::from_millis(1));
            folding.take(&mut gathering);
            folding.finish();
            let aggregate = folding.aggregate(&mut gathering, Tick(0));
            assert!(aggregate.history.is_some() && kept.totals.events > 0);
            let aggregate = Aggregate::of_file(Some(aggregate));
            let json = |aggregate: Aggregate| {
                let Aggregate { totals, stacks, threads, occupied, mut arena_bytes, .. } = aggregate;
                arena_bytes.sort();
                serde_json::to_value((totals, stacks, threads, occupied, arena_bytes))
                    .expect("it can be told")
            };
            assert_eq!(json(aggregate), json(kept), "{name}");
        }
    }

    #[test]
    fn the_ends_of_samples_stay() {
        let mut samples: Vec<_> = (0..9).map(|t_ns| RssSample { t_ns, ..RssSample::default() }).collect();
        samples[1].extents = vec![(0, 1, 1)];
        thin_out(&mut samples);
        assert_eq!(samples.iter().map(|sample| sample.t_ns).collect::<Vec<_>>(), [0, 1, 2, 4, 6, 8]);
    }
}
