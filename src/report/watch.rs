//! A recording while it runs: what is live by now, from where, and since a mark.
//!
//! ```text
//!  Follower ─► events by time ─► Live ─► Ledger ─┐
//!     └ names, samples, notes ───────────────────┴─► Snapshot, whenever one is wanted
//! ```

use hashbrown::{HashMap, HashSet};
use std::io;

use super::place::{LineResolver, NO_PYTHON};
use super::threads::Threads;
use crate::analysis::{Ledger, Live, Sum};
use crate::capture::Follower;
use crate::model::{CodeId, EndReason, Frame, Metadata, ProcessId, ThreadSerial, Tick, Tid, What};

/// Points of the graphs that are kept.
const POINTS: usize = 400;

/// How rows are made of sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// Lines of one function are one row.
    pub by_function: bool,
    /// Each thread has rows of its own.
    pub by_thread: bool,
    /// Which row calls which is told too.
    pub has_paths: bool,
}

/// What one function or line holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveRow {
    /// As the code says. It is the target's text.
    pub function: String,
    /// As the code says. It is the target's text.
    pub file: String,
    /// 0 where rows are functions.
    pub line: u32,
    /// Whose, where threads are apart.
    pub thread: Option<String>,
    /// What it allocated itself and is live.
    pub own: Sum,
    /// The same with what it called.
    pub total_bytes: u64,
    /// Allocations made, freed or not.
    pub made: u64,
    /// Own bytes now less those at the mark.
    pub growth_bytes: i64,
}

/// What is live from one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LivePath {
    /// Its frames, as numbers of rows, leaf first.
    pub rows: Vec<u32>,
    /// What it holds.
    pub live: Sum,
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order in which they were met: with the same grouping a number means the same row
    /// in each later snapshot.
    pub rows: Vec<LiveRow>,
    /// All that is live, by stack; nothing where that is not wanted.
    pub paths: Vec<LivePath>,
    /// Live on the heap.
    pub live: Sum,
    /// The most there was.
    pub peak_bytes: u64,
    /// The last known one.
    pub resident_bytes: u64,
    /// Live bytes, oldest first.
    pub heap_series: Vec<u64>,
    /// Resident bytes, oldest first.
    pub resident_series: Vec<u64>,
    /// Of the latest event.
    pub at_ns: u64,
    /// Events so far.
    pub events: u64,
    /// Allocations so far.
    pub allocations: u64,
    /// Threads that did anything.
    pub threads: usize,
    /// Events that the recording lost.
    pub lost: u64,
    /// Damaged blocks and chunks.
    pub damaged: u64,
    /// The longest stop of a thread; known when the recording has ended.
    pub longest_pause_us: Option<u64>,
    /// Bytes of the capture that are not read yet.
    pub behind_bytes: u64,
    /// When the mark was set.
    pub marked_ns: Option<u64>,
    /// Why it ended, if it has.
    pub end: Option<EndReason>,
}

/// A recording that is watched.
pub struct Watch<'a> {
    follower: Follower,
    lines: LineResolver<'a>,
    live: Live,
    ledger: Ledger,
    threads: HashSet<u32>,
    met: Vec<(ThreadSerial, Tid, ProcessId)>,
    latest: Tick,
    events: u64,
    lost: u64,
    heap: Series,
    /// Live bytes by site at the mark, and its moment.
    mark: Option<(Vec<u64>, u64)>,
    lines_of: HashMap<Frame, u32>,
}

impl<'a> Watch<'a> {
    /// Of the capture that is followed.
    pub fn new(follower: Follower, lines: LineResolver<'a>) -> Watch<'a> {
        let page_size = follower.metadata().page_size;
        Watch {
            follower,
            lines,
            live: Live::new(page_size),
            ledger: Ledger::new(1),
            threads: HashSet::new(),
            met: Vec::new(),
            latest: Tick(0),
            events: 0,
            lost: 0,
            heap: Series::default(),
            mark: None,
            lines_of: HashMap::new(),
        }
    }

    /// Who is recorded.
    pub fn metadata(&self) -> &Metadata {
        self.follower.metadata()
    }

    /// Whether all that there is has been read.
    pub fn is_up_to_date(&self) -> bool {
        self.follower.behind_bytes() == 0
    }

    /// Bytes of the capture that are read.
    pub fn read_bytes(&self) -> u64 {
        self.follower.read_bytes()
    }

    /// Reads on by at most so many bytes of the capture.
    pub fn read_on(&mut self, limit_bytes: u64) -> io::Result<()> {
        self.follower.read_on(limit_bytes)?;
        let clock = self.follower.metadata().clock;
        let Watch { follower, live, ledger, threads, met, latest, events, lost, heap, .. } = self;
        let mut previous = None;
        follower.for_each_due(|event| {
            *events += 1;
            *latest = event.at.max(*latest);
            if previous != Some(event.thread) {
                previous = Some(event.thread);
                if threads.insert(event.thread.0) {
                    met.push((event.thread, event.tid, event.process));
                }
            }
            if let What::Lost { allocations, frees, .. } = event.what {
                *lost += allocations + frees;
            }
            live.add(event, |change| ledger.add(event.at, change));
            if event.at.0 >= heap.due {
                heap.put(event.at, clock.ticks_per_second, ledger.live().bytes);
            }
        });
        Ok(())
    }

    /// Growth counts from here on.
    pub fn mark(&mut self) {
        let held = self.ledger.figures().map(|(_, figures)| figures.live.bytes).collect();
        self.mark = Some((held, self.now_ns()));
    }

    /// Growth counts from the start again.
    pub fn unmark(&mut self) {
        self.mark = None;
    }

    fn now_ns(&self) -> u64 {
        self.metadata().clock.nanos(self.latest)
    }

    /// How it stands.
    pub fn snapshot(&mut self, grouping: Grouping) -> Snapshot {
        let (rows, paths) = self.rows(grouping);
        let end = self.follower.end();
        let rss = self.follower.rss();
        let losses = end.map_or(0, |end| end.losses.events());
        Snapshot {
            rows,
            paths,
            live: self.ledger.live(),
            peak_bytes: self.ledger.peak().0,
            resident_bytes: rss.last().map_or(0, |sample| sample.resident_bytes),
            heap_series: self.heap.points.clone(),
            resident_series: rss
                .iter()
                .rev()
                .take(POINTS)
                .rev()
                .map(|sample| sample.resident_bytes)
                .collect(),
            at_ns: self.now_ns(),
            events: self.events,
            allocations: self.ledger.made().blocks,
            threads: self.threads.len(),
            lost: self.lost.max(losses),
            damaged: self.follower.damaged(),
            longest_pause_us: end.map(|end| end.longest_pause_us),
            behind_bytes: self.follower.behind_bytes(),
            marked_ns: self.mark.as_ref().map(|&(_, at)| at),
            end: end.map(|end| end.reason),
        }
    }

    fn rows(&mut self, grouping: Grouping) -> (Vec<LiveRow>, Vec<LivePath>) {
        let mut names = Threads::new(self.follower.threads(), self.follower.processes());
        self.met.iter().for_each(|&(thread, tid, process)| names.met(thread, tid, process));
        let mut rows: Vec<LiveRow> = Vec::new();
        let mut row_of: HashMap<(u32, u32, u32), usize> = HashMap::new();
        let (mut seen, mut paths) = (HashSet::new(), Vec::new());
        for (id, figures) in self.ledger.figures() {
            let site = self.live.sites().get(id);
            let marked = self.mark.as_ref().and_then(|(held, _)| held.get(id.0 as usize)).copied();
            let growth_bytes = figures.live.bytes as i64 - marked.unwrap_or(0) as i64;
            let frames = self.follower.stacks().frames(site.stack);
            let mut frames: Vec<Option<Frame>> = frames.map(Some).collect();
            if frames.is_empty() {
                frames.push(None);
            }
            seen.clear();
            let mut path = LivePath { rows: Vec::new(), live: figures.live };
            for (depth, frame) in frames.into_iter().enumerate() {
                let code = frame.map(|frame| frame.code);
                let line = match (frame, code.and_then(|code| self.follower.code(code))) {
                    (Some(frame), Some(object)) if !grouping.by_function => {
                        *self.lines_of.entry(frame).or_insert_with(|| (self.lines)(object, frame.offset))
                    }
                    _ => 0,
                };
                let thread = if grouping.by_thread { site.thread.0 } else { 0 };
                let key = (code.map_or(u32::MAX, |code| code.0), line, thread);
                let row = *row_of.entry(key).or_insert_with(|| {
                    let thread = grouping.by_thread.then(|| names.label(site.thread));
                    rows.push(row(&self.follower, code, line, thread));
                    rows.len() - 1
                });
                if grouping.has_paths {
                    path.rows.push(row as u32);
                }
                let row = &mut rows[row];
                if depth == 0 {
                    row.own.add(figures.live);
                    row.made += figures.made.blocks;
                    row.growth_bytes += growth_bytes;
                }
                if seen.insert(key) {
                    row.total_bytes += figures.live.bytes;
                }
            }
            if grouping.has_paths && !path.live.is_zero() {
                paths.push(path);
            }
        }
        (rows, paths)
    }
}

/// One without figures.
fn row(follower: &Follower, code: Option<CodeId>, line: u32, thread: Option<String>) -> LiveRow {
    let (function, file) = match code {
        None => (NO_PYTHON.to_owned(), String::new()),
        Some(CodeId::TRUNCATED) => ("<truncated>".to_owned(), String::new()),
        Some(id) => match follower.code(id) {
            Some(object) => (object.display_name().to_owned(), object.file.clone()),
            None => (format!("<code {}>", id.0), String::new()),
        },
    };
    LiveRow { function, file, line, thread, ..LiveRow::default() }
}

/// A value over time: when there are too many points, each second one goes.
#[derive(Default)]
struct Series {
    points: Vec<u64>,
    /// The tick from which on there is a new point.
    due: u64,
    /// Points are so many tenths of a second apart; 0 before the first.
    tenths: u64,
}

impl Series {
    fn put(&mut self, at: Tick, ticks_per_second: u64, value: u64) {
        if self.points.len() >= POINTS {
            let mut is_kept = false;
            self.points.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.tenths *= 2;
        }
        self.tenths = self.tenths.max(1);
        self.points.push(value);
        self.due = at.0.saturating_add((ticks_per_second / 10).max(1).saturating_mul(self.tenths));
    }
}
