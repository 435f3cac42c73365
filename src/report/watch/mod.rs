//! A recording while it runs: what is live by now, from where, and since a mark.
//!
//! ```text
//!  Events    a capture that grows: its events by time, folded ──┐
//!  Figures   one that is replaced every few seconds ────────────┴─► Snapshot, when one is wanted
//! ```

mod events;
mod figures;
mod rows;

use hashbrown::HashMap;
use std::io;

use self::events::Events;
use self::figures::Figures;
use self::rows::rows;
use super::place::LineResolver;
use super::threads::Threads;
use crate::analysis::{self, Site, Sum};
use crate::capture::{Follower, Reader};
use crate::model::{CodeId, CodeObject, EndReason, Frame, Metadata, RssSample, Stacks};

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

/// Where it comes from.
trait Source {
    /// Who is recorded.
    fn metadata(&self) -> &Metadata;
    /// Reads on by at most so many bytes.
    fn read_on(&mut self, limit_bytes: u64) -> io::Result<()>;
    /// Bytes read so far; it grows as long as anything happens.
    fn read_bytes(&self) -> u64;
    /// Bytes that are there and not read.
    fn behind_bytes(&self) -> u64;
    /// How it stands, but for the rows.
    fn snapshot(&self) -> Snapshot;
    /// Every site with what it did, in an order that does not change.
    fn sites(&self) -> Box<dyn Iterator<Item = (Site, analysis::Figures)> + '_>;
    /// The stacks of the sites.
    fn stacks(&self) -> &Stacks;
    /// A code object.
    fn code(&self, id: CodeId) -> Option<&CodeObject>;
    /// The threads of the sites.
    fn threads(&self) -> Threads;
    /// What has taken the file's place meanwhile.
    fn replacement(&self) -> Option<Reader>;
}

/// A recording that is watched.
pub struct Watch<'a> {
    source: Box<dyn Source>,
    /// Whether it has figures instead of events.
    has_figures: bool,
    lines: LineResolver<'a>,
    /// Live bytes by site at the mark, and its moment.
    mark: Option<(Vec<u64>, u64)>,
    lines_of: HashMap<Frame, u32>,
}

impl<'a> Watch<'a> {
    /// Of the capture that is followed.
    pub fn new(follower: Follower, lines: LineResolver<'a>) -> Watch<'a> {
        let source = Box::new(Events::new(follower));
        Watch { source, has_figures: false, lines, mark: None, lines_of: HashMap::new() }
    }

    /// Who is recorded.
    pub fn metadata(&self) -> &Metadata {
        self.source.metadata()
    }

    /// Whether all that there is has been read.
    pub fn is_up_to_date(&self) -> bool {
        self.source.behind_bytes() == 0
    }

    /// Bytes of the capture that are read.
    pub fn read_bytes(&self) -> u64 {
        self.source.read_bytes()
    }

    /// Reads on by at most so many bytes of the capture.
    pub fn read_on(&mut self, limit_bytes: u64) -> io::Result<()> {
        self.source.read_on(limit_bytes)?;
        if let Some(reader) = self.source.replacement() {
            let read_bytes = self.source.read_bytes();
            self.source = Box::new(Figures::new(reader, read_bytes));
            if !std::mem::replace(&mut self.has_figures, true) {
                // Its sites may come in another order.
                self.mark = None;
            }
        }
        Ok(())
    }

    /// Growth counts from here on.
    pub fn mark(&mut self) {
        let held = self.source.sites().map(|(_, figures)| figures.live.bytes).collect();
        self.mark = Some((held, self.source.snapshot().at_ns));
    }

    /// Growth counts from the start again.
    pub fn unmark(&mut self) {
        self.mark = None;
    }

    /// How it stands.
    pub fn snapshot(&mut self, grouping: Grouping) -> Snapshot {
        let Watch { source, lines, lines_of, mark, .. } = self;
        let marked = mark.as_ref().map_or(&[][..], |(held, _)| held);
        let line_of = |frame: Frame, object: &CodeObject| {
            *lines_of.entry(frame).or_insert_with(|| lines(object, frame.offset))
        };
        let (rows, paths) = rows(&**source, grouping, marked, line_of);
        Snapshot { rows, paths, marked_ns: mark.as_ref().map(|&(_, at)| at), ..source.snapshot() }
    }
}

/// The latest samples of the resident set.
fn resident_series(samples: &[RssSample]) -> Vec<u64> {
    let latest = &samples[samples.len().saturating_sub(POINTS)..];
    latest.iter().map(|sample| sample.resident_bytes).collect()
}
