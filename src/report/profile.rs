//! A capture read once, and what every report draws from it: who allocated, from
//! where, what became of it, and how complete the recording is.

use hashbrown::HashMap;

use super::merged::Merged;
use super::place::{LineResolver, Place, Places};
use super::processes::Processes;
use super::resident::{self, ResidentReport};
use super::threads::Threads;
use super::view::View;
use crate::analysis::{Figures, Gap, History, Intervals, Question, Site, Stats, Sum};
use crate::capture::Reader;
use crate::model::{
    EndReason, Event, Kind, Losses, Metadata, Note, ProcessId, ProcessLife, RssSample, StackId, ThreadSerial,
    Tick, Tid, What,
};
use std::collections::VecDeque;

/// Entries of a history, about 50 MB. With more of them it gets coarser.
const HISTORY_ROOM: usize = 1 << 20;
/// The coarsest history.
const FEWEST_INTERVALS: u16 = 16;

/// How a capture is read.
pub struct Reading<'p> {
    /// What is asked of it.
    pub question: Question,
    /// Intervals of its history; 0 for none. A window has none.
    pub intervals: u16,
    /// Is told the part that is read, from 0 to 1.
    pub progress: &'p mut dyn FnMut(f64),
}

/// A capture that was read.
pub struct Profile<'a> {
    /// Who was recorded, how and where.
    pub metadata: &'a Metadata,
    /// Within how many further allocations the temporary ones were freed.
    pub temporary_within: u32,
    /// What was noted while recording, and when opening the file.
    pub notes: &'a [Note],
    /// Samples of the resident set.
    pub samples: &'a [RssSample],
    /// The threads that allocated.
    pub threads: Threads,
    /// The processes; only one if no fork was followed.
    pub processes: Processes,
    /// The figures.
    pub stats: Stats,
    /// The stacks of the rows.
    pub stacks: Merged<'a>,
    /// Who allocated what. Rows differ in stack, thread or kind.
    pub rows: Vec<Row>,
    /// The same over time.
    pub history: Option<Intervals>,
    /// How much of it there is.
    pub completeness: Completeness,
    pub(super) resident: ResidentReport,
    /// The row of each site.
    pub(super) row_of_site: Vec<u32>,
    /// Bytes of rows' stacks that are arenas of pymalloc for certain.
    pub(super) arena_bytes: HashMap<StackId, u64>,
}

/// What a thread did by one function from one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// From where, in [`Profile::stacks`].
    pub stack: StackId,
    /// Who.
    pub thread: ThreadSerial,
    /// By which function.
    pub kind: Kind,
    /// What.
    pub figures: Figures,
}

/// How a recording ended, and what is missing of it.
#[derive(Clone, Copy, Debug)]
pub struct Completeness {
    /// Why it ended.
    pub end_reason: EndReason,
    /// When, as wall time, ns since 1970.
    pub end_unix_ns: u64,
    /// How long it was.
    pub duration_ns: u64,
    /// The longest time a thread was stopped, µs.
    pub longest_pause_us: u64,
    /// What was dropped or cut.
    pub losses: Losses,
    /// Chunks that could not be read to their end.
    pub damaged_chunks: u64,
    /// Functions without a description.
    pub unresolved_codes: usize,
}

impl Completeness {
    /// Whether nothing is known to be missing.
    pub fn is_whole(&self) -> bool {
        self.losses.events() == 0 && self.damaged_chunks == 0 && self.end_reason != EndReason::Unfinished
    }
}

impl<'a> Profile<'a> {
    /// Reads all of a capture.
    pub fn new(reader: &'a Reader, lines: LineResolver<'a>) -> Profile<'a> {
        let (question, intervals) = Default::default();
        Profile::read(reader, lines, Reading { question, intervals, progress: &mut |_| {} })
    }

    /// Reads a capture.
    pub fn read(reader: &'a Reader, lines: LineResolver<'a>, mut reading: Reading<'_>) -> Profile<'a> {
        let metadata = reader.metadata();
        let mut threads = Threads::new(reader.threads(), reader.processes());
        let mut occupancy = resident::occupancy(reader.rss(), &metadata.clock);
        let mut stats = Stats::new(metadata, reading.question);
        if reading.intervals > 0 && reading.question.window.is_none() {
            stats = stats.with_history(history(reader, reading.intervals));
        }
        let mut endings = Endings::new(reader, reading.question.process);
        let mut events = reader.events();
        events.for_each_batch(|batch| {
            for event in &batch.events {
                if reading.question.process.is_some_and(|process| process != event.process) {
                    continue;
                }
                endings.until(event.at, |ending| stats.add(ending));
                occupancy.before(event.at, &stats.live);
                threads.saw(event);
                stats.add(event);
            }
            (reading.progress)(batch.progress);
        });
        endings.until(Tick(u64::MAX), |ending| stats.add(ending));
        stats.finish();
        if stats.is_history_full() {
            let fewer = reading.intervals / 2;
            reading.intervals = if fewer < FEWEST_INTERVALS { 0 } else { fewer };
            return Profile::read(reader, lines, reading);
        }
        let mut places = Places::new(reader, lines);
        let stacks = Merged::new(events.stacks(), &mut places);
        let resident = ResidentReport::new(reader.rss(), &occupancy.finish(&stats.live));
        let history = stats.take_history();
        let (rows, row_of_site) = rows(stats.figures(), &stacks);
        let mut arena_bytes = HashMap::new();
        for (stack, bytes) in resident.arena_bytes(stats.live.mappings(), stats.live.sites()) {
            *arena_bytes.entry(stacks.of(stack)).or_default() += bytes;
        }
        let damaged_chunks = events.damaged_chunks();
        Profile {
            metadata,
            temporary_within: reading.question.temporary_within,
            notes: reader.notes(),
            samples: reader.rss(),
            processes: Processes::new(metadata, reader.processes()),
            threads,
            completeness: completeness(reader, &stats, damaged_chunks, places.unresolved()),
            stats,
            stacks,
            rows,
            history,
            resident,
            row_of_site,
            arena_bytes,
        }
    }

    /// The places of a row's stack, leaf first.
    pub fn frames(&self, stack: StackId) -> impl Iterator<Item = &Place<'a>> {
        self.stacks.frames(stack)
    }

    /// All that a view shows.
    pub fn total(&self, view: View) -> Sum {
        self.rows.iter().fold(Sum::default(), |mut total, row| {
            total.add(view.of(&row.figures));
            total
        })
    }

    /// Events that are known to be missing.
    pub fn lost_events(&self) -> u64 {
        self.completeness.losses.events()
    }

    /// Stretches of time for which events are missing.
    pub fn gaps(&self) -> &[Gap] {
        self.stats.gaps.all()
    }

    /// Nanoseconds since the start of the recording.
    pub fn nanos(&self, at: Tick) -> u64 {
        self.metadata.clock.nanos(at)
    }
}

/// The ends of forked processes, at which all their memory goes. Where one process is asked
/// for its end is that of its recording, as it is for the first one.
struct Endings(VecDeque<Event>);

impl Endings {
    fn new(reader: &Reader, only: Option<ProcessId>) -> Endings {
        let ended = reader.processes().filter(|life| only.is_none() && life.ended_tick > 0);
        let event = |life: &ProcessLife| Event {
            at: Tick(life.ended_tick),
            process: ProcessId(life.number),
            thread: ThreadSerial::default(),
            tid: Tid::default(),
            stack: StackId::EMPTY,
            what: What::ProcessEnd,
        };
        let mut endings: Vec<Event> = ended.map(event).collect();
        endings.sort_by_key(|ending| ending.at);
        Endings(endings.into())
    }

    /// Tells of those that come before `at`.
    #[inline]
    fn until(&mut self, at: Tick, mut tell: impl FnMut(&Event)) {
        while self.0.front().is_some_and(|ending| ending.at < at) {
            self.0.pop_front().iter().for_each(&mut tell);
        }
    }
}

/// How long a recording was, as far as that is known without its events.
fn length_ns(reader: &Reader) -> u64 {
    let ended = reader.end().map_or(0, |end| end.unix_ns);
    match ended.checked_sub(reader.metadata().started_unix_ns) {
        Some(whole) if ended > 0 => whole,
        _ => {
            let sampled = reader.rss().last().map_or(0, |sample| sample.t_ns);
            sampled.max(reader.metadata().clock.nanos(reader.last_chunk_at()))
        }
    }
}

fn history(reader: &Reader, intervals: u16) -> History {
    let clock = reader.metadata().clock;
    let (start, end) = (Tick(clock.origin_ticks), clock.tick(length_ns(reader)));
    History::new(start, end, intervals, HISTORY_ROOM)
}

fn completeness(
    reader: &Reader,
    stats: &Stats,
    damaged_chunks: u64,
    unresolved_codes: usize,
) -> Completeness {
    let metadata = reader.metadata();
    let end = reader.end().cloned().unwrap_or_default();
    let length = length_ns(reader);
    let duration_ns = if end.unix_ns > 0 { length } else { length.max(metadata.clock.nanos(stats.latest())) };
    let computed = metadata.started_unix_ns.saturating_add(duration_ns);
    Completeness {
        end_reason: end.reason,
        end_unix_ns: if end.unix_ns > 0 { end.unix_ns } else { computed },
        duration_ns,
        longest_pause_us: end.longest_pause_us,
        losses: losses(end.losses, stats),
        damaged_chunks: damaged_chunks.saturating_add(end.losses.chunks),
        unresolved_codes,
    }
}

/// The ring's counters hold what no thread came back to report; without them (the
/// attacher was killed) the stream's own reports are what is known.
fn losses(counted: Losses, stats: &Stats) -> Losses {
    let (allocations, frees) = stats.gaps.totals();
    Losses { allocations: counted.allocations.max(allocations), frees: counted.frees.max(frees), ..counted }
}

/// Sites by place instead of by instruction, and the row of each site.
fn rows(sites: Vec<(Site, Figures)>, stacks: &Merged<'_>) -> (Vec<Row>, Vec<u32>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut by_key = HashMap::new();
    let row_of = |(Site { stack, thread, kind }, figures): (Site, Figures)| {
        let stack = stacks.of(stack);
        let row = *by_key.entry((stack, thread, kind)).or_insert_with(|| {
            rows.push(Row { stack, thread, kind, figures: Figures::default() });
            rows.len() - 1
        });
        rows[row].figures.add(&figures);
        row as u32
    };
    let row_of_site = sites.into_iter().map(row_of).collect();
    (rows, row_of_site)
}
