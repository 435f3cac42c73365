//! All that a reader of a recording has to know of its events, in one pass, however they
//! reach it: from a whole capture, or as they happen.
//!
//! ```text
//!  events ──────────┐
//!  ends of processes├─► Fold ─► Aggregate
//!  looks at memory ─┘
//! ```

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::history::{History, Intervals};
use super::occupancy::{Extent, Occupancy, Occupied};
use super::ranges::Ranges;
use super::site::Sites;
use super::stats::{Question, Stats};
use super::totals::Totals;
use crate::model::{
    Event, Kind, Metadata, ProcessId, ProcessLife, StackId, Stacks, ThreadSerial, Tick, Tid, What,
};

/// What became of the events of a recording. Its size depends on the distinct stacks, not on
/// the events.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Aggregate {
    /// The figures.
    pub totals: Totals,
    /// The stacks of the sites.
    pub stacks: Stacks,
    /// The threads that did anything.
    pub threads: Vec<(ThreadSerial, Tid, ProcessId)>,
    /// What was live at the first and the last look at the resident set.
    pub occupied: Vec<Occupied>,
    /// Bytes that each stack holds in arenas of CPython's small-object allocator.
    pub arena_bytes: Vec<(StackId, u64)>,
    /// The recording in intervals.
    pub history: Option<Intervals>,
    /// Chunks that could not be read to their end.
    pub damaged_chunks: u64,
}

impl Aggregate {
    /// What a file holds, which can say anything: if that is not sound, nothing but damage.
    pub fn of_file(read: Option<Aggregate>) -> Aggregate {
        let damaged = || Aggregate { damaged_chunks: 1, ..Aggregate::default() };
        read.filter(Aggregate::is_sound).unwrap_or_else(damaged)
    }

    /// Whether all that it refers to is there.
    fn is_sound(&self) -> bool {
        let has_stack = |stack: StackId| (stack.0 as usize) < self.stacks.len();
        let sites = self.totals.sites.len();
        self.totals.sites.iter().all(|(site, _)| has_stack(site.stack))
            && self.arena_bytes.iter().all(|&(stack, _)| has_stack(stack))
            && self.history.as_ref().is_none_or(|history| history.is_sound(sites))
    }
}

/// Folds events, in the order of time.
#[derive(Debug)]
pub struct Fold {
    stats: Stats,
    occupancy: Occupancy,
    /// The only process that counts.
    process: Option<ProcessId>,
    /// Forked processes that end: at that moment all their memory goes. Where one process is
    /// asked for its end is that of its recording, as it is for the first one.
    endings: VecDeque<Event>,
    threads: Vec<(ThreadSerial, Tid, ProcessId)>,
    met: HashSet<ThreadSerial>,
    latest: Option<ThreadSerial>,
}

impl Fold {
    /// Before the first event of such a recording.
    pub fn new(metadata: &Metadata, question: Question) -> Fold {
        Fold {
            stats: Stats::new(metadata, question),
            occupancy: Occupancy::default(),
            process: question.process,
            endings: VecDeque::new(),
            threads: Vec::new(),
            met: HashSet::new(),
            latest: None,
        }
    }

    /// Keeps what happens over time, too.
    pub fn with_history(self, history: History) -> Fold {
        Fold { stats: self.stats.with_history(history), ..self }
    }

    /// A forked process that ends at a moment not before those told of already.
    pub fn end_process(&mut self, life: &ProcessLife) {
        if self.process.is_some() || life.ended_tick == 0 {
            return;
        }
        self.endings.push_back(Event {
            at: Tick(life.ended_tick),
            process: ProcessId(life.number),
            thread: ThreadSerial::default(),
            tid: Tid::default(),
            stack: StackId::EMPTY,
            what: What::ProcessEnd,
        });
    }

    /// A moment, not before those told of already, at which to look where memory lies.
    pub fn look_at(&mut self, moment: Tick, extents: Vec<Extent>) {
        self.occupancy.look_at(moment, extents);
    }

    /// Takes an event.
    #[inline]
    pub fn add(&mut self, event: &Event) {
        if self.process.is_some_and(|process| process != event.process) {
            return;
        }
        self.end_before(event.at);
        self.occupancy.before(event.at, &self.stats.live);
        if self.latest != Some(event.thread) {
            self.meet(event);
        }
        self.stats.add(event);
    }

    /// Whether the history has more entries than there is room for.
    pub fn is_history_full(&self) -> bool {
        self.stats.is_history_full()
    }

    /// After the last event.
    pub fn finish(&mut self) {
        self.end_before(Tick(u64::MAX));
        self.occupancy.finish(&self.stats.live);
        self.stats.finish();
    }

    /// How it stands at a moment after all events: with stacks that hold those of the events,
    /// and the arenas of the small-object allocator where they are known.
    pub fn aggregate(&mut self, stacks: Stacks, arenas: &[Extent], now: Tick) -> Aggregate {
        let live = &self.stats.live;
        let arena_bytes = arena_bytes(live.mappings(), live.sites(), arenas);
        Aggregate {
            arena_bytes: arena_bytes.into_iter().collect(),
            occupied: self.occupancy.ends(live),
            totals: self.stats.totals(),
            stacks,
            threads: self.threads.clone(),
            history: self.stats.history(now),
            damaged_chunks: 0,
        }
    }

    #[inline]
    fn end_before(&mut self, at: Tick) {
        while self.endings.front().is_some_and(|ending| ending.at < at) {
            self.endings.pop_front().iter().for_each(|ending| self.stats.add(ending));
        }
    }

    fn meet(&mut self, event: &Event) {
        self.latest = Some(event.thread);
        if self.met.insert(event.thread) {
            self.threads.push((event.thread, event.tid, event.process));
        }
    }
}

/// Bytes of what each stack mapped as arenas and what is one for certain, or, where none are
/// known, as far as can be told.
fn arena_bytes(mappings: &Ranges, sites: &Sites, arenas: &[Extent]) -> HashMap<StackId, u64> {
    let is_known = |start: u64, end: u64| {
        let next = arenas.partition_point(|&(arena, length)| arena.saturating_add(length) <= start);
        arenas.get(next).is_some_and(|&(arena, length)| arena <= start && end <= arena.saturating_add(length))
    };
    let mut bytes: HashMap<StackId, u64> = HashMap::new();
    for (start, piece) in mappings.iter() {
        let site = sites.get(piece.site);
        if site.kind == Kind::PymallocArena && (arenas.is_empty() || is_known(start, piece.end)) {
            let sum = bytes.entry(site.stack).or_default();
            *sum = sum.saturating_add(piece.end - start);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::live::Birth;
    use crate::analysis::ranges::Piece;
    use crate::analysis::site::Site;

    #[test]
    fn arenas_are_labelled_by_their_kind_and_place() {
        let (mut mappings, mut sites) = (Ranges::default(), Sites::default());
        let mut insert = |start: u64, end, stack, kind| {
            let site =
                sites.intern(Site { stack: StackId(stack), thread: ThreadSerial(1), kind, interval: 0 });
            mappings.insert(start, Piece { end, site, birth: Birth::default() });
        };
        for (start, end) in [(90, 100), (110, 120), (195, 205), (205, 210), (300, 310)] {
            insert(start, end, start as u32, Kind::PymallocArena);
        }
        insert(120, 121, 0, Kind::Mmap);
        let found = |arenas: &[Extent]| {
            let mut found: Vec<_> = arena_bytes(&mappings, &sites, arenas).into_iter().collect();
            found.sort();
            found
        };
        assert_eq!(found(&[(100, 20), (200, 10)]), [(StackId(110), 10), (StackId(205), 5)]);
        assert_eq!(found(&[]).len(), 5);
    }
}
