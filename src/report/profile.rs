//! A capture read once, and what every report draws from it: who allocated, from
//! where, what became of it, and how complete the recording is.

use hashbrown::HashMap;

use super::merged::Merged;
use super::native::NativeCounts;
use super::place::{LineResolver, Place, Places};
use super::processes::Processes;
use super::resident::ResidentReport;
use super::threads::Threads;
use super::view::View;
use crate::analysis::{
    Aggregate, Figures, Fold, Gap, History, Intervals, Looks, Question, Site, Sum, Totals,
};
use crate::capture::Reader;
use crate::model::{EndReason, Kind, Losses, Metadata, Note, RssSample, StackId, ThreadSerial, Tick};

/// Entries of a history, about 50 MB. With more of them it gets coarser.
const HISTORY_ROOM: usize = 1 << 20;
/// The coarsest history.
const FEWEST_INTERVALS: u16 = 16;

/// How a capture is read.
pub struct Reading<'p> {
    /// What is asked of it. An aggregated one has only one answer.
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
    pub totals: Totals,
    /// The stacks of the rows.
    pub stacks: Merged<'a>,
    /// Who allocated what. Rows differ in stack, thread or kind.
    pub rows: Vec<Row>,
    /// The same over time.
    pub history: Option<Intervals>,
    /// How much of it there is.
    pub completeness: Completeness,
    /// How whole the native stacks are, if there are any.
    pub native: Option<NativeCounts>,
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
        let aggregate = loop {
            match fold(reader, &mut reading) {
                Some(aggregate) => break aggregate,
                None => reading.intervals = fewer(reading.intervals),
            }
        };
        Profile::of(reader, lines, reading.question, aggregate)
    }

    fn of(
        reader: &'a Reader,
        lines: LineResolver<'a>,
        question: Question,
        aggregate: Aggregate,
    ) -> Profile<'a> {
        let metadata = reader.metadata();
        let Aggregate { totals, threads: met, .. } = aggregate;
        let mut threads = Threads::new(reader.threads(), reader.processes());
        met.into_iter().for_each(|(thread, tid, process)| threads.met(thread, tid, process));
        let mut places = Places::new(reader, lines);
        let stacks = Merged::new(&aggregate.stacks, &mut places);
        let has_native = !reader.modules().is_empty();
        let native = has_native.then(|| NativeCounts::new(&totals.sites, &aggregate.stacks));
        let (rows, row_of_site) = rows(&totals.sites, &stacks);
        let mut arena_bytes: HashMap<StackId, u64> = HashMap::new();
        for (stack, bytes) in aggregate.arena_bytes {
            let sum = arena_bytes.entry(stacks.of(stack)).or_default();
            *sum = sum.saturating_add(bytes);
        }
        Profile {
            metadata,
            temporary_within: question.temporary_within,
            notes: reader.notes(),
            samples: reader.rss(),
            processes: Processes::new(metadata, reader.processes()),
            threads,
            completeness: completeness(reader, &totals, aggregate.damaged_chunks, places.unresolved()),
            resident: ResidentReport::new(reader.rss(), &aggregate.occupied),
            totals,
            stacks,
            native,
            rows,
            history: aggregate.history,
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
        self.totals.gaps.all()
    }

    /// Nanoseconds since the start of the recording.
    pub fn nanos(&self, at: Tick) -> u64 {
        self.metadata.clock.nanos(at)
    }
}

/// So many intervals have fewer entries; 0 for none.
fn fewer(intervals: u16) -> u16 {
    if intervals / 2 < FEWEST_INTERVALS { 0 } else { intervals / 2 }
}

/// What became of the events of a capture; `None` if its history has too many entries.
fn fold(reader: &Reader, reading: &mut Reading<'_>) -> Option<Aggregate> {
    if reader.is_aggregated() {
        return Some(Aggregate::of_file(reader.aggregate()));
    }
    let metadata = reader.metadata();
    let mut fold = Fold::new(metadata, reading.question);
    if reading.intervals > 0 && reading.question.window.is_none() {
        fold = fold.with_history(history(reader, reading.intervals));
    }
    let mut ended: Vec<_> = reader.processes().collect();
    ended.sort_by_key(|life| life.ended_tick);
    ended.into_iter().for_each(|life| fold.end_process(life));
    let looks = Looks::of(reader.rss());
    for (moment, extents) in looks.into_iter().flat_map(|looks| looks.moments(&metadata.clock)) {
        fold.look_at(moment, extents);
    }
    let mut events = reader.events();
    events.for_each_batch(|batch| {
        batch.events.iter().for_each(|event| fold.add(event));
        (reading.progress)(batch.progress);
    });
    fold.finish();
    let arenas = looks.map_or(&[][..], Looks::arenas);
    let damaged_chunks = events.damaged_chunks();
    let stacks = events.into_stacks();
    (!fold.is_history_full())
        .then(|| Aggregate { damaged_chunks, ..fold.aggregate(stacks, arenas, Tick(u64::MAX)) })
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
    totals: &Totals,
    damaged_chunks: u64,
    unresolved_codes: usize,
) -> Completeness {
    let metadata = reader.metadata();
    let end = reader.end().cloned().unwrap_or_default();
    let length = length_ns(reader);
    let duration_ns = if end.unix_ns > 0 { length } else { length.max(metadata.clock.nanos(totals.latest)) };
    let computed = metadata.started_unix_ns.saturating_add(duration_ns);
    Completeness {
        end_reason: end.reason,
        end_unix_ns: if end.unix_ns > 0 { end.unix_ns } else { computed },
        duration_ns,
        longest_pause_us: end.longest_pause_us,
        losses: losses(end.losses, totals),
        damaged_chunks: damaged_chunks.saturating_add(end.losses.chunks),
        unresolved_codes,
    }
}

/// The ring's counters hold what no thread came back to report; without them (the
/// attacher was killed) the stream's own reports are what is known.
fn losses(counted: Losses, totals: &Totals) -> Losses {
    let (allocations, frees) = totals.gaps.totals();
    Losses { allocations: counted.allocations.max(allocations), frees: counted.frees.max(frees), ..counted }
}

/// Sites by place instead of by instruction, and the row of each site.
fn rows(sites: &[(Site, Figures)], stacks: &Merged<'_>) -> (Vec<Row>, Vec<u32>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut by_key = HashMap::new();
    let row_of = |&(Site { stack, thread, kind, .. }, ref figures): &(Site, Figures)| {
        let stack = stacks.of(stack);
        let row = *by_key.entry((stack, thread, kind)).or_insert_with(|| {
            rows.push(Row { stack, thread, kind, figures: Figures::default() });
            rows.len() - 1
        });
        rows[row].figures.add(figures);
        row as u32
    };
    let row_of_site = sites.iter().map(row_of).collect();
    (rows, row_of_site)
}
