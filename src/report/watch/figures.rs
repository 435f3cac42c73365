//! A capture without events, which is replaced every few seconds.

use std::io;

use super::{Snapshot, Source, resident_series};
use crate::analysis::{self, Aggregate, Site};
use crate::capture::Reader;
use crate::model::{CodeId, CodeObject, Metadata, Stacks};
use crate::report::threads::Threads;

/// The latest one.
pub struct Figures {
    reader: Reader,
    aggregate: Aggregate,
    read_bytes: u64,
}

impl Figures {
    /// After so many bytes of others.
    pub fn new(reader: Reader, read_before: u64) -> Figures {
        let aggregate = Aggregate::of_file(reader.aggregate());
        Figures { read_bytes: read_before + reader.length(), reader, aggregate }
    }
}

impl Source for Figures {
    fn metadata(&self) -> &Metadata {
        self.reader.metadata()
    }

    fn read_on(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    fn behind_bytes(&self) -> u64 {
        0
    }

    fn snapshot(&self) -> Snapshot {
        let (totals, end, rss) = (&self.aggregate.totals, self.reader.end(), self.reader.rss());
        let (allocations, frees) = totals.gaps.totals();
        let losses = end.map_or(0, |end| end.losses.events());
        Snapshot {
            live: totals.live,
            peak_bytes: totals.peak_bytes,
            resident_bytes: rss.last().map_or(0, |sample| sample.resident_bytes),
            heap_series: totals.timeline.intervals().0.to_vec(),
            resident_series: resident_series(rss),
            at_ns: self.metadata().clock.nanos(totals.latest),
            events: totals.events,
            allocations: totals.allocations(),
            threads: self.aggregate.threads.len(),
            lost: allocations.saturating_add(frees).max(losses),
            damaged: self.aggregate.damaged_chunks.saturating_add(self.reader.damage().blocks),
            longest_pause_us: end.map(|end| end.longest_pause_us),
            end: end.map(|end| end.reason),
            ..Snapshot::default()
        }
    }

    fn sites(&self) -> Box<dyn Iterator<Item = (Site, analysis::Figures)> + '_> {
        Box::new(self.aggregate.totals.sites.iter().copied())
    }

    fn stacks(&self) -> &Stacks {
        &self.aggregate.stacks
    }

    fn code(&self, id: CodeId) -> Option<&CodeObject> {
        self.reader.code(id)
    }

    fn threads(&self) -> Threads {
        let mut names = Threads::new(self.reader.threads(), self.reader.processes());
        self.aggregate.threads.iter().for_each(|&(thread, tid, process)| names.met(thread, tid, process));
        names
    }

    fn replacement(&self) -> Option<Reader> {
        self.reader.replacement()
    }
}
