//! What every site held over time, in a fixed number of intervals, so that any window
//! of them can be looked at later.
//!
//! ```text
//!  interval   0        1        2        3
//!  heap      ╱╲__   _╱╲_╱╲   ╱‾‾‾‾╲   ________     the largest heap of each is its moment
//!  held       ▲          ▲    ▲       ▲            what a site held then, where it changed
//!  kept       A──────────┼────A                    born in 0, freed in 2: bytes and blocks
//! ```
//!
//! What was *held at the peak of a window* is `held` at the moment of its largest
//! interval. What was *allocated in a window and kept* is the `kept` that is born
//! inside and freed behind it. Blocks that end in the interval in which they began are in
//! neither.
//!
//! Where nobody knows how long it will be, intervals are short at first, and each two become
//! one whenever there is no room for more.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::ledger::Sum;
use super::live::{Change, Live};
use super::site::SiteId;
use crate::model::Tick;

/// Folds changes into intervals.
#[derive(Clone, Debug)]
pub struct History {
    start: Tick,
    width_ticks: u64,
    intervals: u16,
    /// The current one, and where it ends.
    interval: u16,
    interval_end: Tick,
    /// Whether intervals get longer when there is no room for more.
    grows: bool,
    live_bytes: u64,
    /// The largest heap of each interval up to the current one.
    heap: Vec<u64>,
    /// Counts the maxima within intervals.
    generation: u64,
    /// The last generation of each interval before the current one.
    last_generations: Vec<u64>,
    sites: Vec<Held>,
    held: Vec<HeldFrom>,
    kept: HashMap<Span, Sum>,
    room: usize,
    /// Whether an entry was left out because there was no room for it.
    is_full: bool,
}

/// There are no longer intervals for want of room than so many.
const FEWEST_INTERVALS: u16 = 16;

/// What a site held from one interval's moment on, until its next entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(SiteId, u16, u64, u64)", into = "(SiteId, u16, u64, u64)")]
pub struct HeldFrom {
    /// Who.
    pub site: SiteId,
    /// The interval.
    pub interval: u16,
    /// How much.
    pub held: Sum,
}

impl From<(SiteId, u16, u64, u64)> for HeldFrom {
    fn from((site, interval, bytes, blocks): (SiteId, u16, u64, u64)) -> HeldFrom {
        HeldFrom { site, interval, held: Sum { bytes, blocks } }
    }
}

impl From<HeldFrom> for (SiteId, u16, u64, u64) {
    fn from(HeldFrom { site, interval, held }: HeldFrom) -> Self {
        (site, interval, held.bytes, held.blocks)
    }
}

/// When blocks of a site began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(SiteId, u16, u16)", into = "(SiteId, u16, u16)")]
pub struct Span {
    /// Who allocated them.
    pub site: SiteId,
    /// The interval in which they began.
    pub born: u16,
    /// The later interval in which they were freed; [`Span::NEVER`] if they were not.
    pub freed: u16,
}

impl Span {
    /// Not freed.
    pub const NEVER: u16 = u16::MAX;
}

impl From<(SiteId, u16, u16)> for Span {
    fn from((site, born, freed): (SiteId, u16, u16)) -> Span {
        Span { site, born, freed }
    }
}

impl From<Span> for (SiteId, u16, u16) {
    fn from(Span { site, born, freed }: Span) -> Self {
        (site, born, freed)
    }
}

/// A recording in intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intervals {
    /// The length of each in ticks.
    pub width_ticks: u64,
    /// The most heap bytes in each.
    pub heap: Vec<u64>,
    /// By site, then by time.
    pub held: Vec<HeldFrom>,
    /// By site, then by time.
    pub kept: Vec<(Span, Sum)>,
}

impl Intervals {
    /// Whether all entries are of so many sites, and of intervals that there are.
    pub fn is_sound(&self, sites: usize) -> bool {
        let is_there = |site: SiteId, interval: u16| {
            (site.0 as usize) < sites && usize::from(interval) < self.heap.len()
        };
        let is_kept = |&(Span { site, born, freed }, _): &(Span, Sum)| {
            is_there(site, born) && (freed == Span::NEVER || is_there(site, freed))
        };
        self.heap.len() <= usize::from(Span::NEVER)
            && self.held.iter().all(|step| is_there(step.site, step.interval))
            && self.kept.iter().all(is_kept)
    }
}

/// The state of a site.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    live: Sum,
    /// What it held at the maximum of `generation`.
    at_moment: Sum,
    generation: u64,
    /// The interval in which it changed last.
    interval: u16,
    /// What its last entry says.
    told: Sum,
}

impl History {
    /// For a recording between two moments, in at most [`Span::NEVER`] intervals.
    pub fn new(start: Tick, end: Tick, intervals: u16, room: usize) -> History {
        let length = end.0.saturating_sub(start.0).saturating_add(1);
        let width_ticks = length.div_ceil(intervals.max(1).into());
        History { grows: false, ..History::growing(start, width_ticks, intervals, room) }
    }

    /// For a recording of any length: in at most so many intervals, an even number, of
    /// `width_ticks` at first.
    pub fn growing(start: Tick, width_ticks: u64, intervals: u16, room: usize) -> History {
        History {
            start,
            width_ticks: width_ticks.max(1),
            intervals: intervals.max(1),
            grows: true,
            interval: 0,
            interval_end: Tick(0),
            live_bytes: 0,
            heap: vec![0],
            generation: 1,
            last_generations: Vec::new(),
            sites: Vec::new(),
            held: Vec::new(),
            kept: HashMap::new(),
            room,
            is_full: false,
        }
    }

    /// Moves on to the interval of a moment, with what is live. What comes late counts in
    /// the current one.
    #[inline]
    pub fn advance(&mut self, at: Tick, live: &mut Live) {
        if at >= self.interval_end {
            self.move_on(at, live);
        }
    }

    #[cold]
    fn move_on(&mut self, at: Tick, live: &mut Live) {
        while self.grows && self.number(at) >= u64::from(self.intervals) {
            self.begin(self.intervals);
            self.halve(live);
        }
        self.begin(self.number(at).min(u64::from(self.intervals) - 1) as u16);
        let is_even = self.interval.is_multiple_of(2) && self.interval >= FEWEST_INTERVALS;
        if self.grows && is_even && self.entries() > self.room / 2 {
            self.halve(live);
        }
        live.set_interval(self.interval);
        self.interval_end = match self.interval + 1 == self.intervals {
            true => Tick(u64::MAX),
            false => Tick(
                self.start.0.saturating_add(self.width_ticks.saturating_mul(u64::from(self.interval) + 1)),
            ),
        };
    }

    fn number(&self, at: Tick) -> u64 {
        at.0.saturating_sub(self.start.0) / self.width_ticks
    }

    /// Moves on to an interval in which nothing has happened yet.
    fn begin(&mut self, interval: u16) {
        while self.interval < interval {
            self.last_generations.push(self.generation);
            self.interval += 1;
            self.generation += 1;
            self.heap.push(self.live_bytes);
        }
    }

    /// Makes one of each two intervals before the current one, which is even and has just
    /// begun.
    fn halve(&mut self, live: &mut Live) {
        self.close_all(self.interval);
        let pairs = self.heap[..usize::from(self.interval)].as_chunks::<2>().0;
        let later_is_larger: Vec<bool> = pairs.iter().map(|[earlier, later]| later >= earlier).collect();
        self.heap = pairs.iter().map(|pair| pair[0].max(pair[1])).chain([self.live_bytes]).collect();
        self.last_generations = self.last_generations.iter().copied().skip(1).step_by(2).collect();
        self.merge_held(&later_is_larger);
        for (Span { site, born, freed }, sum) in std::mem::take(&mut self.kept) {
            if born / 2 < freed / 2 {
                self.kept.entry(Span { site, born: born / 2, freed: freed / 2 }).or_default().add(sum);
            }
        }
        live.halve_intervals();
        self.interval /= 2;
        self.width_ticks = self.width_ticks.saturating_mul(2);
    }

    /// Of two intervals the moment of the one with the larger heap counts.
    fn merge_held(&mut self, later_is_larger: &[bool]) {
        self.held.sort_unstable_by_key(|step| (step.site, step.interval));
        let mut merged: Vec<HeldFrom> = Vec::new();
        for step in std::mem::take(&mut self.held) {
            let pair = step.interval / 2;
            // A step after the moment of its pair is seen at that of the next.
            let is_seen = step.interval.is_multiple_of(2) || later_is_larger[usize::from(pair)];
            let step = HeldFrom { interval: if is_seen { pair } else { pair + 1 }, ..step };
            if usize::from(step.interval) >= later_is_larger.len() {
                continue;
            }
            match merged.last_mut() {
                Some(last) if (last.site, last.interval) == (step.site, step.interval) => *last = step,
                _ => merged.push(step),
            }
        }
        merged.dedup_by(|later, earlier| (later.site, later.held) == (earlier.site, earlier.held));
        self.held = merged;
        for held in &mut self.sites {
            (held.interval, held.told) = (self.interval / 2, Sum::default());
        }
        for step in &self.held {
            self.sites[step.site.0 as usize].told = step.held;
        }
    }

    /// Takes a change at the moment to which it was advanced.
    #[inline]
    pub fn add(&mut self, change: Change) {
        match change {
            Change::Begin { site, bytes, blocks, .. } => {
                let live = &mut self.touch(site).live;
                live.add(Sum { bytes, blocks });
                self.live_bytes = self.live_bytes.saturating_add(bytes);
                let most = &mut self.heap[usize::from(self.interval)];
                if self.live_bytes >= *most {
                    *most = self.live_bytes;
                    self.generation += 1;
                }
            }
            Change::End { site, bytes, blocks, birth, .. } => {
                let live = &mut self.touch(site).live;
                live.bytes = live.bytes.saturating_sub(bytes);
                live.blocks = live.blocks.saturating_add_signed(blocks);
                self.live_bytes = self.live_bytes.saturating_sub(bytes);
                if birth.interval < self.interval && self.has_room() {
                    let span = Span { site, born: birth.interval, freed: self.interval };
                    let ended = Sum { bytes, blocks: blocks.min(0).unsigned_abs() };
                    self.kept.entry(span).or_default().add(ended);
                }
            }
            Change::ThreadStacks(_) => {}
        }
    }

    /// Whether there are more entries than there is room for: then no more are kept, and
    /// it is of no use. Fewer intervals have fewer.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    fn entries(&self) -> usize {
        self.held.len() + self.kept.len()
    }

    fn has_room(&mut self) -> bool {
        self.is_full |= self.entries() > self.room;
        !self.is_full
    }

    /// After the last event and an advance to the end, with what is live then.
    pub fn finish(mut self, live: &Live) -> Intervals {
        self.last_generations.push(self.generation);
        self.close_all(self.interval + 1);
        for (site, held, birth) in live.births() {
            let span = Span { site, born: birth.interval, freed: Span::NEVER };
            self.kept.entry(span).or_default().add(held);
        }
        self.held.sort_unstable_by_key(|entry| (entry.site, entry.interval));
        let mut kept: Vec<_> = self.kept.into_iter().collect();
        kept.sort_unstable_by_key(|&(span, _)| span);
        Intervals { width_ticks: self.width_ticks, heap: self.heap, held: self.held, kept }
    }

    /// The site, with all written down that is about to change.
    #[inline]
    fn touch(&mut self, site: SiteId) -> &mut Held {
        let index = site.0 as usize;
        if index >= self.sites.len() {
            self.sites.resize(index + 1, Held::default());
        }
        if self.sites[index].interval < self.interval {
            self.close(site, self.interval);
        }
        let generation = self.generation;
        let held = &mut self.sites[index];
        if held.generation < generation {
            held.generation = generation;
            held.at_moment = held.live;
        }
        held
    }

    fn close_all(&mut self, until: u16) {
        for site in 0..self.sites.len() {
            if self.sites[site].interval < until {
                self.close(SiteId(site as u32), until);
            }
        }
    }

    /// Writes down what a site held at the moments of the intervals before `until`.
    #[cold]
    fn close(&mut self, site: SiteId, until: u16) {
        let has_room = self.has_room();
        let held = &mut self.sites[site.0 as usize];
        let last_generation = self.last_generations[usize::from(held.interval)];
        // After its last change nothing can have changed what it holds.
        let at_moment = if held.generation < last_generation { held.live } else { held.at_moment };
        let mut tell = |interval: u16, sum: Sum| {
            if held.told != sum && has_room {
                held.told = sum;
                self.held.push(HeldFrom { site, interval, held: sum });
            }
        };
        tell(held.interval, at_moment);
        if held.interval + 1 < until {
            tell(held.interval + 1, held.live);
        }
        held.interval = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, Event, Kind, ProcessId, StackId, ThreadSerial, Tid, What};
    use proptest::prelude::*;

    const INTERVALS: u16 = 4;
    const WIDTH: u64 = 10;

    fn fold(events: &[Event]) -> Intervals {
        let history = History::new(Tick(0), Tick(u64::from(INTERVALS) * WIDTH - 1), INTERVALS, 1000);
        fold_into(history, events, Tick(u64::MAX))
    }

    fn fold_into(mut history: History, events: &[Event], end: Tick) -> Intervals {
        let mut live = Live::new(4096);
        for event in events {
            history.advance(event.at, &mut live);
            live.add(event, |change| history.add(change));
        }
        assert!(!history.is_full());
        history.advance(end, &mut live);
        history.finish(&live)
    }

    fn event(at: u64, stack: u32, what: What) -> Event {
        let (thread, tid, stack) = (ThreadSerial(1), Tid(1), StackId(stack));
        Event { at: Tick(at), process: ProcessId::ROOT, thread, tid, stack, what }
    }

    fn malloc(at: u64, stack: u32, addr: u64, size: u64) -> Event {
        event(at, stack, What::Alloc { kind: Kind::Malloc, addr: Addr(addr), size })
    }

    fn free(at: u64, addr: u64) -> Event {
        event(at, 0, What::Free { kind: Kind::Free, addr: Addr(addr) })
    }

    /// (site, interval, bytes)
    fn held(intervals: &Intervals) -> Vec<(u32, u16, u64)> {
        intervals.held.iter().map(|entry| (entry.site.0, entry.interval, entry.held.bytes)).collect()
    }

    /// (site, born, freed, bytes)
    fn kept(intervals: &Intervals) -> Vec<(u32, u16, u16, u64)> {
        intervals.kept.iter().map(|(span, sum)| (span.site.0, span.born, span.freed, sum.bytes)).collect()
    }

    #[test]
    fn blocks_over_time() {
        let intervals = fold(&[
            malloc(1, 1, 16, 5),
            malloc(2, 2, 32, 7),
            free(3, 32),
            malloc(12, 2, 32, 1),
            free(25, 16),
            malloc(26, 1, 16, 2),
            free(27, 16),
        ]);
        assert_eq!(intervals.heap, [12, 6, 6, 1]);
        assert_eq!(held(&intervals), [(0, 0, 5), (0, 3, 0), (1, 0, 7), (1, 1, 1)]);
        assert_eq!(kept(&intervals), [(0, 0, 2, 5), (1, 1, Span::NEVER, 1)]);
    }

    #[test]
    fn nothing() {
        let intervals = fold(&[]);
        assert_eq!((intervals.heap, intervals.held, intervals.kept), (vec![0; 4], vec![], vec![]));
    }

    #[test]
    fn what_is_too_much_is_not_kept() {
        let mut live = Live::new(4096);
        let mut history = History::new(Tick(0), Tick(999), 100, 5);
        for at in 0..1000 {
            history.advance(Tick(at), &mut live);
            let event = if at % 20 < 10 {
                malloc(at, at as u32 % 7, at % 10 * 16 + 16, 1)
            } else {
                free(at, at % 10 * 16 + 16)
            };
            live.add(&event, |change| history.add(change));
        }
        assert!(history.is_full());
        assert!(history.held.len() + history.kept.len() <= 5 + 2, "one site may add two at once");
    }

    #[test]
    fn any_moment_will_do() {
        let fixed = History::new(Tick(100), Tick(50), 4, 10);
        for mut history in [fixed, History::growing(Tick(100), 1, 4, 10)] {
            for at in [0, u64::MAX, 7] {
                history.advance(Tick(at), &mut Live::new(4096));
                assert!(history.interval < 4);
            }
        }
    }

    /// What a site of the intervals held at the moment of one.
    fn held_at(intervals: &Intervals, site: u32, interval: u16) -> u64 {
        let mut of = intervals.held.iter().filter(|entry| entry.site.0 == site && entry.interval <= interval);
        of.next_back().map_or(0, |entry| entry.held.bytes)
    }

    /// Without a room for all of it, the same in fewer intervals.
    #[test]
    fn a_history_that_grows_makes_room() {
        let mut live = Live::new(4096);
        let mut history = History::growing(Tick(0), 1, 1024, 400);
        for at in 0..1000 {
            history.advance(Tick(at), &mut live);
            live.add(&malloc(at, 1, 16 * at, 1), |change| history.add(change));
        }
        assert!(!history.is_full());
        let intervals = history.finish(&live);
        assert_eq!((intervals.width_ticks, intervals.heap.len()), (8, 125));
        assert_eq!(intervals.heap[124], 1000);
        assert_eq!(kept(&intervals)[124], (0, 124, Span::NEVER, 8));
    }

    proptest! {
        #[test]
        fn growing_is_as_if_the_end_had_been_known(
            steps in prop::collection::vec((0u64..40, 1u32..4, 0u64..6, 1u64..9), 0..80)
        ) {
            let (mut at, mut is_taken, mut events) = (0, [false; 6], Vec::new());
            for (pause, stack, slot, size) in steps {
                at += pause;
                let taken = &mut is_taken[slot as usize];
                *taken = !*taken;
                let addr = 16 * (slot + 1);
                events.push(if *taken { malloc(at, stack, addr, size) } else { free(at, addr) });
            }
            let grown = fold_into(History::growing(Tick(0), WIDTH, INTERVALS, 1000), &events, Tick(at));
            let end = Tick(grown.width_ticks * u64::from(INTERVALS) - 1);
            let known = fold_into(History::new(Tick(0), end, INTERVALS, 1000), &events, Tick(u64::MAX));
            let count = grown.heap.len();
            prop_assert!(count <= usize::from(INTERVALS) && grown.width_ticks == known.width_ticks);
            prop_assert_eq!(&grown.heap, &known.heap[..count]);
            prop_assert_eq!(kept(&grown), kept(&known));
            for (site, interval) in (0..4).flat_map(|site| (0..count as u16).map(move |of| (site, of))) {
                prop_assert_eq!(held_at(&grown, site, interval), held_at(&known, site, interval));
            }
        }

        #[test]
        fn every_window_is_as_if_replayed(
            steps in prop::collection::vec((0u64..4, 1u32..4, 0u64..6, 1u64..9), 0..80)
        ) {
            let mut at = 0;
            let mut owners = [None::<(u32, u64, u16)>; 6];
            let mut events = Vec::new();
            // Per interval: heap at its moment and what each stack held then.
            let mut moments = vec![(0, [0u64; 4]); INTERVALS.into()];
            let mut spans: Vec<(u32, u16, u16, u64)> = Vec::new();
            let mut current = 0u16;
            let now = |owners: &[Option<(u32, u64, u16)>; 6]| {
                let mut by_stack = [0; 4];
                owners.iter().flatten().for_each(|&(stack, size, _)| by_stack[stack as usize] += size);
                (by_stack.iter().sum::<u64>(), by_stack)
            };
            for (pause, stack, slot, size) in steps {
                at = (at + pause).min(u64::from(INTERVALS) * WIDTH - 1);
                let interval = (at / WIDTH) as u16;
                while current < interval {
                    current += 1;
                    moments[usize::from(current)] = now(&owners);
                }
                let addr = 16 * (slot + 1);
                match owners[slot as usize].take() {
                    Some((stack, size, born)) => {
                        events.push(free(at, addr));
                        if born < interval {
                            spans.push((stack, born, interval, size));
                        }
                    }
                    None => {
                        events.push(malloc(at, stack, addr, size));
                        owners[slot as usize] = Some((stack, size, interval));
                        let state = now(&owners);
                        if state.0 >= moments[usize::from(interval)].0 {
                            moments[usize::from(interval)] = state;
                        }
                    }
                }
            }
            while current + 1 < INTERVALS {
                current += 1;
                moments[usize::from(current)] = now(&owners);
            }
            spans.extend(owners.iter().flatten().map(|&(stack, size, born)| (stack, born, Span::NEVER, size)));

            let intervals = fold(&events);
            let order: Vec<u32> = {
                let mut seen = Vec::new();
                for event in &events {
                    if event.stack.0 != 0 && !seen.contains(&event.stack.0) {
                        seen.push(event.stack.0);
                    }
                }
                seen
            };
            for interval in 0..INTERVALS {
                let (heap, by_stack) = moments[usize::from(interval)];
                prop_assert_eq!(intervals.heap[usize::from(interval)], heap);
                for (site, &stack) in (0..).zip(&order) {
                    prop_assert_eq!(held_at(&intervals, site, interval), by_stack[stack as usize]);
                }
            }
            let mut sums: HashMap<(u32, u16, u16), u64> = HashMap::new();
            for (stack, born, freed, size) in spans {
                let site = order.iter().position(|&other| other == stack).expect("it allocated") as u32;
                *sums.entry((site, born, freed)).or_default() += size;
            }
            let mut expected: Vec<_> = sums.into_iter().map(|((s, b, f), bytes)| (s, b, f, bytes)).collect();
            expected.sort();
            prop_assert_eq!(kept(&intervals), expected);
        }
    }
}
