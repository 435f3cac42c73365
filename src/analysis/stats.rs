//! The figures of a recording, or of a window of it: totals, what every site allocated
//! and held, sizes, kinds, gaps.

use super::gaps::{Gap, Gaps};
use super::history::History;
use super::ledger::{Figures, Ledger, Sum};
use super::live::{Change, Era, Live};
use super::site::Site;
use super::sizes::Sizes;
use super::timeline::Timeline;
use super::totals::Totals;
use crate::model::{Event, KIND_END, Kind, Metadata, ProcessId, Tick, What};

/// What is asked of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Temporary is what is freed within so many further allocations of its thread.
    pub temporary_within: u32,
    /// The part of the recording that counts: from when on, and until when. What was
    /// allocated before is there, but not allocated in it.
    pub window: Option<(Tick, Tick)>,
    /// The only process that counts; all if `None`.
    pub process: Option<ProcessId>,
}

impl Default for Question {
    /// The whole recording.
    fn default() -> Question {
        Question { temporary_within: 1, window: None, process: None }
    }
}

/// Folds the events of a recording, in the order of time.
#[derive(Debug)]
pub struct Stats {
    /// What is allocated.
    pub live: Live,
    /// What every site did, and the high-water mark.
    pub ledger: Ledger,
    /// How large allocations were.
    pub sizes: Sizes,
    /// Live heap bytes over time.
    pub timeline: Timeline,
    /// Where events are missing.
    pub gaps: Gaps,
    counts: [u64; KIND_END],
    events: u64,
    latest: Tick,
    stage: Stage,
    /// What each site held when the window began.
    before: Vec<Sum>,
    history: Option<History>,
}

/// Where the fold is in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before { from: Tick, to: Tick },
    Inside { to: Tick },
    Behind,
}

impl Stats {
    /// Before the first event of such a recording.
    pub fn new(metadata: &Metadata, question: Question) -> Stats {
        let origin = Tick(metadata.clock.origin_ticks);
        Stats {
            live: Live::new(metadata.page_size),
            ledger: Ledger::new(question.temporary_within),
            sizes: Sizes::default(),
            timeline: Timeline::new(question.window.map_or(origin, |(from, _)| from)),
            gaps: Gaps::default(),
            counts: [0; KIND_END],
            events: 0,
            latest: origin,
            stage: match question.window {
                Some((from, to)) => Stage::Before { from, to },
                None => Stage::Inside { to: Tick(u64::MAX) },
            },
            before: Vec::new(),
            history: None,
        }
    }

    /// Keeps what happens over time, too.
    pub fn with_history(self, history: History) -> Stats {
        Stats { history: Some(history), ..self }
    }

    /// Takes an event.
    #[inline]
    pub fn add(&mut self, event: &Event) {
        match self.stage {
            Stage::Inside { to } if event.at <= to => {}
            Stage::Behind => return,
            _ => match self.enter(event.at) {
                Stage::Before { .. } => {
                    return self.live.add(event, |change| self.ledger.add(event.at, change));
                }
                Stage::Inside { .. } => {}
                Stage::Behind => return,
            },
        }
        self.latest = self.latest.max(event.at);
        if let What::Lost { since, allocations, frees } = event.what {
            self.gaps.add(Gap { from: since, to: event.at, allocations, frees });
            self.live.begin_era(Era::Gap);
        }
        let (ledger, mut history) = (&mut self.ledger, self.history.as_mut());
        if let Some(history) = &mut history {
            history.advance(event.at, &mut self.live);
        }
        let mut calls = 1;
        self.live.add(event, |change| {
            ledger.add(event.at, change);
            match change {
                Change::Begin { blocks, .. } => calls = blocks,
                Change::End { blocks, .. } if blocks < -1 => calls = blocks.unsigned_abs(),
                _ => {}
            }
            if let Some(history) = &mut history {
                history.add(change);
            }
        });
        if let Some((kind, _, size)) = event.what.begins()
            && kind != Kind::ThreadStack
        {
            self.sizes.add(size, calls);
        }
        if let Some(kind) = counted_as(&event.what) {
            let count = &mut self.counts[kind as usize];
            *count = count.saturating_add(calls);
            self.events += 1;
        }
        self.timeline.add(event.at, self.ledger.live().bytes);
    }

    /// After the last event: a window that nothing happened in has begun.
    pub fn finish(&mut self) {
        if let Stage::Before { from, .. } = self.stage {
            self.begin(from);
        }
    }

    /// The figures as of now.
    pub fn totals(&self) -> Totals {
        let (peak_bytes, peak_at) = self.ledger.peak();
        let counts = Kind::ALL.into_iter().map(|kind| (kind, self.counts[kind as usize]));
        Totals {
            events: self.events,
            latest: self.latest,
            made: self.ledger.made(),
            live: self.ledger.live(),
            peak_bytes,
            peak_at,
            stack_bytes: self.ledger.stack_bytes(),
            unmatched_frees: self.live.unmatched_frees(),
            lost_frees: self.live.lost_frees(),
            counts: counts.filter(|(_, count)| *count > 0).collect(),
            sampled: self.live.sampled().cloned(),
            sizes: self.sizes.clone(),
            timeline: self.timeline.clone(),
            gaps: self.gaps.clone(),
            sites: self.figures(),
        }
    }

    /// What each site did.
    fn figures(&self) -> Vec<(Site, Figures)> {
        let mut all: Vec<Figures> = self.ledger.figures().map(|(_, figures)| figures).collect();
        for (figures, &before) in all.iter_mut().zip(&self.before) {
            figures.before = before;
        }
        if !self.before.is_empty() {
            self.young(Era::Window, &mut all, |figures| &mut figures.kept);
        }
        // A window begins as if after a gap.
        if !self.before.is_empty() || !self.gaps.all().is_empty() {
            self.young(Era::Gap, &mut all, |figures| &mut figures.late);
        }
        self.live.sites().all().map(|(_, site)| site).zip(all).collect()
    }

    /// The recording in intervals up to a moment, with their length in ticks; `None` if there
    /// was no room for them.
    pub fn history(&mut self, now: Tick) -> Option<super::Intervals> {
        let history = self.history.as_mut()?;
        history.advance(now, &mut self.live);
        (!history.is_full()).then(|| history.clone().finish(&self.live))
    }

    /// Whether the history has more entries than there is room for.
    pub fn is_history_full(&self) -> bool {
        self.history.as_ref().is_some_and(History::is_full)
    }

    fn young(&self, era: Era, all: &mut [Figures], field: fn(&mut Figures) -> &mut Sum) {
        all.iter_mut().for_each(|figures| *field(figures) = Sum::default());
        for (site, held) in self.live.young(era) {
            field(&mut all[site.0 as usize]).add(held);
        }
    }

    /// Moves on to where `at` is.
    #[cold]
    fn enter(&mut self, at: Tick) -> Stage {
        if let Stage::Before { from, to } = self.stage
            && from <= at
        {
            self.begin(from);
            self.stage = Stage::Inside { to };
        }
        if let Stage::Inside { to } = self.stage
            && to < at
        {
            self.stage = Stage::Behind;
        }
        self.stage
    }

    fn begin(&mut self, from: Tick) {
        self.before = self.ledger.figures().map(|(_, figures)| figures.live).collect();
        self.ledger.restart(from);
        self.live.begin_era(Era::Window);
        self.live.begin_era(Era::Gap);
    }
}

/// The kind of call that an event completes. The first half of a call does not.
fn counted_as(what: &What) -> Option<Kind> {
    match *what {
        What::Alloc { kind, .. } | What::Realloc { kind, .. } | What::Free { kind, .. } => Some(kind),
        What::Mremap { .. } => Some(Kind::Mremap),
        What::Munmap { .. } => Some(Kind::Munmap),
        What::ReallocBegin { .. } | What::MremapBegin { .. } | What::ProcessEnd => None,
        What::Lost { .. } | What::Sampling { .. } | What::Passed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, StackId, ThreadSerial, Tid};
    use proptest::prelude::*;

    fn event(at: u64, what: What) -> Event {
        Event {
            at: Tick(at),
            process: ProcessId::ROOT,
            thread: ThreadSerial(1),
            tid: Tid(1),
            stack: StackId(3),
            what,
        }
    }

    #[test]
    fn every_call_counts_once() {
        let (kind, old_addr, addr) = (Kind::Realloc, Addr(16), Addr(32));
        let mut stats = Stats::new(&Metadata::default(), Question::default());
        for (at, what) in (1..).zip([
            What::Alloc { kind: Kind::Malloc, addr: old_addr, size: 10 },
            What::ReallocBegin { old_addr },
            What::Realloc { kind, old_addr, addr, size: 30 },
            What::Free { kind: Kind::Free, addr },
            What::Lost { since: Tick(4), allocations: 2, frees: 1 },
        ]) {
            stats.add(&event(at, what));
        }
        let totals = stats.totals();
        assert_eq!(totals.counts, [(Kind::Malloc, 1), (Kind::Realloc, 1), (Kind::Free, 1)]);
        assert_eq!(
            (totals.events, totals.made, totals.deallocations()),
            (3, Sum { bytes: 40, blocks: 2 }, 1)
        );
        assert_eq!((totals.peak_bytes, totals.peak_at, totals.live.bytes), (30, Tick(3), 0));
        assert_eq!(totals.gaps.totals(), (2, 1));
    }

    fn malloc(at: u64, addr: u64, size: u64) -> Event {
        event(at, What::Alloc { kind: Kind::Malloc, addr: Addr(addr), size })
    }

    fn free(at: u64, addr: u64) -> Event {
        event(at, What::Free { kind: Kind::Free, addr: Addr(addr) })
    }

    #[test]
    fn a_window_has_its_own_figures() {
        let events = [
            malloc(1, 16, 5),
            malloc(2, 32, 6),
            free(5, 16),
            malloc(6, 48, 7),
            free(7, 48),
            malloc(9, 64, 8),
        ];
        // Made, temporary, peak, live at the end, kept and late, before: bytes.
        for (what, window, expected) in [
            ("all of it", (0, 20), [26, 12, 14, 14, 14, 0]),
            ("edges belong to it", (5, 9), [15, 7, 14, 14, 8, 11]),
            ("what follows does not", (0, 8), [18, 12, 13, 6, 6, 0]),
            ("a free that follows", (2, 4), [6, 0, 11, 11, 6, 5]),
            ("between two events", (3, 4), [0, 0, 11, 11, 0, 11]),
            ("before all", (0, 0), [0, 0, 0, 0, 0, 0]),
            ("behind all", (10, 20), [0, 0, 14, 14, 0, 14]),
            ("older blocks are not temporary", (4, 5), [0, 0, 11, 6, 0, 11]),
        ] {
            let window = Some((Tick(window.0), Tick(window.1)));
            let mut stats =
                Stats::new(&Metadata::default(), Question { temporary_within: 1, window, process: None });
            events.iter().for_each(|event| stats.add(event));
            stats.finish();
            let mut sum = Figures::default();
            stats.figures().iter().for_each(|(_, figures)| sum.add(figures));
            let Figures { made, temporary, peak, live, kept, late, before } = sum;
            assert_eq!(late, kept, "{what}: there is no gap");
            let found = [made, temporary, peak, live, kept, before].map(|sum| sum.bytes);
            assert_eq!((found, stats.ledger.peak().0), (expected, expected[2]), "{what}");
        }
    }

    fn any_what() -> impl Strategy<Value = What> {
        let number = prop_oneof![0u64..64, any::<u64>()];
        let kind = prop::sample::select(&Kind::ALL[..]);
        (0u8..8, kind, number.clone(), number.clone(), number.clone(), number, any::<u32>()).prop_map(
            |(which, kind, a, b, size, old_size, flags)| {
                let (addr, old_addr) = (Addr(a), Addr(b));
                match which {
                    0 => What::Alloc { kind, addr, size },
                    1 => What::Free { kind: Kind::Free, addr },
                    2 => What::ReallocBegin { old_addr },
                    3 => What::Realloc { kind, old_addr, addr, size },
                    4 => What::MremapBegin { old_addr, old_size, flags },
                    5 => What::Mremap { old_addr, old_size, addr, size, flags },
                    6 => What::Munmap { addr, size },
                    _ => What::Lost { since: Tick(a), allocations: b, frees: size },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn no_event_is_too_strange(whats in prop::collection::vec((any::<u64>(), any_what()), 0..50)) {
            let mut stats = Stats::new(&Metadata::default(), Question::default());
            for (at, what) in whats {
                stats.add(&event(at, what));
            }
            prop_assert!(stats.ledger.live().bytes <= stats.ledger.peak().0);
            stats.sizes.bins(10);
        }
    }
}
