//! When the memory that is still held was allocated: all along, as by a leak, or once,
//! as by something that is loaded or filled.

use hashbrown::HashMap;
use serde::Serialize;

use crate::analysis::Span;
use crate::model::StackId;
use crate::report::profile::Profile;
use crate::report::units::duration;

/// Intervals into which a recording is divided to find out.
pub const INTERVALS: u16 = 32;
/// All along is in this part of the intervals.
const ALL_ALONG: (usize, usize) = (3, 4);
/// Shorter recordings say nothing about it.
const SHORTEST_NS: u64 = 1_000_000_000;

/// When what a stack holds was allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct When {
    /// The beginning of the first interval with such memory.
    from_ns: u64,
    /// The end of the last.
    to_ns: u64,
    /// Whether nearly every interval has some.
    all_along: bool,
}

impl When {
    /// For people.
    pub fn tell(&self) -> String {
        match self.all_along {
            true => "growing".to_owned(),
            false => format!("{} to {}", duration(self.from_ns), duration(self.to_ns)),
        }
    }
}

/// What is held by whom, by the intervals in which it was allocated.
pub struct Births {
    /// How many intervals there are.
    count: usize,
    interval_ns: u64,
    /// The intervals with memory of each stack.
    intervals: HashMap<StackId, Vec<u16>>,
}

impl Births {
    pub fn new(profile: &Profile<'_>) -> Births {
        let is_long = profile.completeness.duration_ns >= SHORTEST_NS;
        let history = profile.history.as_ref().filter(|_| is_long);
        let count = history.map_or(0, |history| history.heap.len());
        // A finer history than is asked for would have holes.
        let together = count.div_ceil(INTERVALS.into()).max(1);
        let mut intervals: HashMap<StackId, Vec<u16>> = HashMap::new();
        for (span, _) in history.iter().flat_map(|history| &history.kept) {
            if span.freed == Span::NEVER {
                let row = profile.row_of_site[span.site.0 as usize];
                let born = span.born / together as u16;
                intervals.entry(profile.rows[row as usize].stack).or_default().push(born);
            }
        }
        for of_stack in intervals.values_mut() {
            of_stack.sort_unstable();
            of_stack.dedup();
        }
        let clock = profile.metadata.clock;
        let nanos =
            |ticks: u64| u128::from(ticks) * 1_000_000_000 / u128::from(clock.ticks_per_second.max(1));
        let width_ticks = history.map_or(0, |history| history.width_ticks);
        let interval_ns = nanos(width_ticks.saturating_mul(together as u64)) as u64;
        Births { count: count.div_ceil(together), interval_ns, intervals }
    }

    /// `None` if it is not known.
    pub fn of(&self, stack: StackId) -> Option<When> {
        let intervals = self.intervals.get(&stack)?;
        let (first, last) = (*intervals.first()?, *intervals.last()?);
        let (part, of) = ALL_ALONG;
        let at = |interval: u16| self.interval_ns.saturating_mul(interval.into());
        Some(When {
            from_ns: at(first),
            to_ns: at(last + 1),
            all_along: intervals.len() * of >= self.count * part,
        })
    }
}
