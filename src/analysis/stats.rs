//! The figures of a recording: totals, peak, sizes, kinds, gaps.

use super::gaps::{Gap, Gaps};
use super::live::Live;
use super::peak::Peak;
use super::sizes::Sizes;
use super::timeline::Timeline;
use crate::model::{Effect, Event, KIND_END, Kind, Metadata, Tick, What};

/// Folds the events of a recording, in the order of time.
#[derive(Debug)]
pub struct Stats {
    /// What is allocated.
    pub live: Live,
    /// The high-water mark, and all stacks that allocated.
    pub peak: Peak,
    /// How large allocations were.
    pub sizes: Sizes,
    /// Live heap bytes over time.
    pub timeline: Timeline,
    /// Where events are missing.
    pub gaps: Gaps,
    counts: [u64; KIND_END],
    allocations: u64,
    bytes: u64,
    events: u64,
    latest: Tick,
}

impl Stats {
    /// Before the first event of such a recording.
    pub fn new(metadata: &Metadata) -> Stats {
        Stats {
            live: Live::new(metadata.page_size),
            peak: Peak::default(),
            sizes: Sizes::default(),
            timeline: Timeline::new(Tick(metadata.clock.origin_ticks)),
            gaps: Gaps::default(),
            counts: [0; KIND_END],
            allocations: 0,
            bytes: 0,
            events: 0,
            latest: Tick(metadata.clock.origin_ticks),
        }
    }

    /// Takes an event.
    #[inline]
    pub fn add(&mut self, event: &Event) {
        if let Some(kind) = counted_as(&event.what) {
            self.counts[kind as usize] += 1;
            self.events += 1;
        }
        self.latest = self.latest.max(event.at);
        if let Some((kind, _, size)) = event.what.begins()
            && kind != Kind::ThreadStack
        {
            self.allocations += 1;
            self.bytes = self.bytes.saturating_add(size);
            self.sizes.add(size);
            self.peak.count(event.stack, size);
        }
        if let What::Lost { since, allocations, frees } = event.what {
            self.gaps.add(Gap { from: since, to: event.at, allocations, frees });
        }
        let peak = &mut self.peak;
        self.live.add(event, |change| peak.add(event.at, change));
        self.timeline.add(event.at, self.peak.live_bytes());
    }

    /// Calls recorded.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The latest moment seen.
    pub fn latest(&self) -> Tick {
        self.latest
    }

    /// Calls that made heap memory. Thread stacks are only in [`Stats::counts`].
    pub fn allocations(&self) -> u64 {
        self.allocations
    }

    /// Bytes asked for by them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Calls that only gave memory back.
    pub fn deallocations(&self) -> u64 {
        let gives_back = |kind: Kind| matches!(kind.effect(), Effect::Frees | Effect::Unmaps);
        self.counts().filter(|(kind, _)| gives_back(*kind)).map(|(_, count)| count).sum()
    }

    /// Calls of each kind that was recorded.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().map(|kind| (kind, self.counts[kind as usize])).filter(|(_, count)| *count > 0)
    }
}

/// The kind of call that an event completes. The first half of a call does not.
fn counted_as(what: &What) -> Option<Kind> {
    match *what {
        What::Alloc { kind, .. } | What::Realloc { kind, .. } | What::Free { kind, .. } => Some(kind),
        What::Mremap { .. } => Some(Kind::Mremap),
        What::Munmap { .. } => Some(Kind::Munmap),
        What::ReallocBegin { .. } | What::MremapBegin { .. } | What::Lost { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, StackId, ThreadSerial, Tid};
    use proptest::prelude::*;

    fn event(at: u64, what: What) -> Event {
        Event { at: Tick(at), thread: ThreadSerial(1), tid: Tid(1), stack: StackId(3), what }
    }

    #[test]
    fn every_call_counts_once() {
        let (kind, old_addr, addr) = (Kind::Realloc, Addr(16), Addr(32));
        let mut stats = Stats::new(&Metadata::default());
        for (at, what) in (1..).zip([
            What::Alloc { kind: Kind::Malloc, addr: old_addr, size: 10 },
            What::ReallocBegin { old_addr },
            What::Realloc { kind, old_addr, addr, size: 30 },
            What::Free { kind: Kind::Free, addr },
            What::Lost { since: Tick(4), allocations: 2, frees: 1 },
        ]) {
            stats.add(&event(at, what));
        }
        let counts: Vec<_> = stats.counts().collect();
        assert_eq!(counts, [(Kind::Malloc, 1), (Kind::Realloc, 1), (Kind::Free, 1)]);
        assert_eq!((stats.events(), stats.allocations(), stats.bytes()), (3, 2, 40));
        assert_eq!((stats.peak.peak(), stats.peak.live_bytes()), ((30, Tick(3)), 0));
        assert_eq!(stats.gaps.totals(), (2, 1));
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
            let mut stats = Stats::new(&Metadata::default());
            for (at, what) in whats {
                stats.add(&event(at, what));
            }
            prop_assert!(stats.peak.live_bytes() <= stats.peak.peak().0);
            stats.sizes.bins(10);
        }
    }
}
