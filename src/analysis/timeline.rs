//! A quantity over time, in bounded memory: the most in each of equal intervals,
//! whose width doubles as time goes on.

use crate::model::Tick;
use serde::{Deserialize, Serialize};

const INTERVALS: usize = 1024;

/// The most of something in each interval since the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub struct Timeline {
    start: Tick,
    /// An interval is 2 to this many ticks.
    width_bits: u32,
    most: Vec<u64>,
    latest: u64,
}

/// As it stands in a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    start: Tick,
    width_bits: u32,
    most: Vec<u64>,
}

impl From<Timeline> for Kept {
    fn from(Timeline { start, width_bits, most, .. }: Timeline) -> Kept {
        Kept { start, width_bits, most }
    }
}

impl TryFrom<Kept> for Timeline {
    type Error = &'static str;

    fn try_from(Kept { start, width_bits, most }: Kept) -> Result<Timeline, &'static str> {
        let latest = *most.last().ok_or("no intervals")?;
        match width_bits < u64::BITS && most.len() <= INTERVALS {
            true => Ok(Timeline { start, width_bits, most, latest }),
            false => Err("too long intervals, or too many"),
        }
    }
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline::new(Tick(0))
    }
}

impl Timeline {
    /// Begins at `start` with nothing.
    pub fn new(start: Tick) -> Timeline {
        Timeline { start, width_bits: 0, most: vec![0], latest: 0 }
    }

    /// From `at` on it is `value`. What comes late counts in the latest interval.
    #[inline]
    pub fn add(&mut self, at: Tick, value: u64) {
        let interval = self.interval(at);
        if interval >= self.most.len() {
            self.extend(at);
        }
        let last = self.most.last_mut().expect("there is always one");
        *last = (*last).max(value);
        self.latest = value;
    }

    /// The most in each interval, and the width of an interval in ticks.
    pub fn intervals(&self) -> (&[u64], u64) {
        (&self.most, 1 << self.width_bits)
    }

    #[inline]
    fn interval(&self, at: Tick) -> usize {
        (at.0.saturating_sub(self.start.0) >> self.width_bits) as usize
    }

    #[cold]
    fn extend(&mut self, at: Tick) {
        while self.interval(at) >= INTERVALS {
            self.most = self.most.chunks(2).map(|pair| pair[0].max(pair[pair.len() - 1])).collect();
            self.width_bits += 1;
        }
        let length = (self.interval(at) + 1).max(self.most.len());
        self.most.resize(length, self.latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_last_until_the_next() {
        let mut timeline = Timeline::new(Tick(100));
        for (at, value) in [(100, 5), (103, 2), (103, 1), (105, 7)] {
            timeline.add(Tick(at), value);
        }
        assert_eq!(timeline.intervals(), (&[5, 5, 5, 5, 1, 7][..], 1));
    }

    #[test]
    fn intervals_double() {
        let mut timeline = Timeline::new(Tick(0));
        (0..=5000).for_each(|at| timeline.add(Tick(at), at));
        let (most, width) = timeline.intervals();
        assert_eq!((most.len(), width, most[0], most[625]), (626, 8, 7, 5000));
    }

    #[test]
    fn any_tick_will_do() {
        let mut timeline = Timeline::new(Tick(10));
        for at in [u64::MAX, 0, 11] {
            timeline.add(Tick(at), 3);
        }
        assert!(timeline.intervals().0.len() <= INTERVALS);
    }
}
