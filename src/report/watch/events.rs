//! A capture that grows: its events, folded as they are due.

use hashbrown::HashSet;
use std::io;

use super::{POINTS, Snapshot, Source, resident_series};
use crate::analysis::{Figures, Ledger, Live, Site};
use crate::capture::{Follower, Reader};
use crate::model::{CodeId, CodeObject, Metadata, ProcessId, Stacks, ThreadSerial, Tick, Tid, What};
use crate::report::threads::Threads;

/// What became of them so far.
pub struct Events {
    follower: Follower,
    live: Live,
    ledger: Ledger,
    threads: HashSet<u32>,
    met: Vec<(ThreadSerial, Tid, ProcessId)>,
    latest: Tick,
    events: u64,
    lost: u64,
    heap: Series,
}

impl Events {
    /// Of the capture that is followed.
    pub fn new(follower: Follower) -> Events {
        let page_size = follower.metadata().page_size;
        Events {
            follower,
            live: Live::new(page_size),
            ledger: Ledger::new(1),
            threads: HashSet::new(),
            met: Vec::new(),
            latest: Tick(0),
            events: 0,
            lost: 0,
            heap: Series::default(),
        }
    }
}

impl Source for Events {
    fn metadata(&self) -> &Metadata {
        self.follower.metadata()
    }

    fn read_on(&mut self, limit_bytes: u64) -> io::Result<()> {
        self.follower.read_on(limit_bytes)?;
        let clock = self.follower.metadata().clock;
        let Events { follower, live, ledger, threads, met, latest, events, lost, heap } = self;
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

    fn read_bytes(&self) -> u64 {
        self.follower.read_bytes()
    }

    fn behind_bytes(&self) -> u64 {
        self.follower.behind_bytes()
    }

    fn snapshot(&self) -> Snapshot {
        let (end, rss) = (self.follower.end(), self.follower.rss());
        let losses = end.map_or(0, |end| end.losses.events());
        Snapshot {
            live: self.ledger.live(),
            peak_bytes: self.ledger.peak().0,
            resident_bytes: rss.last().map_or(0, |sample| sample.resident_bytes),
            heap_series: self.heap.points.clone(),
            resident_series: resident_series(rss),
            at_ns: self.metadata().clock.nanos(self.latest),
            events: self.events,
            allocations: self.ledger.made().blocks,
            threads: self.threads.len(),
            lost: self.lost.max(losses),
            damaged: self.follower.damaged(),
            longest_pause_us: end.map(|end| end.longest_pause_us),
            behind_bytes: self.behind_bytes(),
            end: end.map(|end| end.reason),
            ..Snapshot::default()
        }
    }

    fn sites(&self) -> Box<dyn Iterator<Item = (Site, Figures)> + '_> {
        let sites = self.ledger.figures();
        Box::new(sites.map(|(id, figures)| (self.live.sites().get(id), figures)))
    }

    fn stacks(&self) -> &Stacks {
        self.follower.stacks()
    }

    fn code(&self, id: CodeId) -> Option<&CodeObject> {
        self.follower.code(id)
    }

    fn threads(&self) -> Threads {
        let mut names = Threads::new(self.follower.threads(), self.follower.processes());
        self.met.iter().for_each(|&(thread, tid, process)| names.met(thread, tid, process));
        names
    }

    fn replacement(&self) -> Option<Reader> {
        self.follower.replacement()
    }
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
