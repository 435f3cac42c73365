//! What samples say of all allocations.
//!
//! Of a thread's bytes each is the last before a sample with the same probability, so a
//! block of `s` bytes is a sample with p = 1 − e^(−s / interval) and stands for 1 / p
//! blocks like it. What is added up so is right on average. It is off by a random amount
//! whose variance is that of each block, s² (1 − p) / p, which is less than s × interval,
//! added up: that of X bytes is less than X × interval.

use serde::{Deserialize, Serialize};

use super::ledger::Sum;
use crate::model::Tick;

/// How a recording was sampled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampled {
    /// The mean numbers of bytes between two samples, and from when on, ascending.
    pub intervals: Vec<(Tick, u64)>,
    /// The blocks that were samples, as they were.
    pub taken: Sum,
    /// The others, each thread's up to its last record.
    pub passed: Sum,
}

impl Sampled {
    /// From now on samples lie so far apart.
    pub fn set_interval(&mut self, at: Tick, interval: u64) {
        // Threads come to know of a new one at different moments.
        if self.interval() < interval {
            self.intervals.push((at, interval));
        }
    }

    /// The mean number of bytes between two samples, where they lay farthest apart.
    pub fn interval(&self) -> u64 {
        self.intervals.last().map_or(0, |&(_, interval)| interval)
    }

    /// By how many bytes an estimate of so many is off at most, in 19 of 20 cases.
    pub fn error(&self, bytes: u64) -> u64 {
        error(bytes, self.interval())
    }

    /// All blocks that were allocated, and their bytes: counted, not estimated.
    pub fn counted(&self) -> Sum {
        let mut all = self.taken;
        all.add(self.passed);
        all
    }
}

/// By how many bytes an estimate of so many is off at most, in 19 of 20 cases.
pub fn error(bytes: u64, interval: u64) -> u64 {
    (2.0 * (bytes as f64 * interval as f64).sqrt()) as u64
}

/// How many blocks like it a sample of `size` bytes stands for.
pub fn weight(interval: u64, size: u64) -> f64 {
    match interval {
        0 => 1.0,
        // Without bytes it is drawn as if it had one.
        _ => -1.0 / (-(size.max(1) as f64) / interval as f64).exp_m1(),
    }
}

/// The blocks that a sample stands for and their bytes. The fraction of a block is rounded
/// up as often as it is large, decided by `chance`, any number.
pub fn estimate(interval: u64, size: u64, chance: u64) -> Sum {
    if interval == 0 {
        return Sum { bytes: size, blocks: 1 };
    }
    let weight = weight(interval, size);
    let mixed = (chance ^ chance >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let lot = (mixed ^ mixed >> 32) as u32 as f64 / 2f64.powi(32);
    Sum { bytes: (weight * size as f64).round() as u64, blocks: (weight + lot) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        for (interval, size, expected) in [
            (0, 7, 1.0),
            (1000, 1000, 1.0 / (1.0 - (-1f64).exp())),
            (1000, 1, 1000.5),
            (1000, 0, 1000.5),
            (1000, 20_000, 1.0),
        ] {
            let got = weight(interval, size);
            assert!((got - expected).abs() < 1e-3 * expected, "{interval} {size}: {got}");
        }
    }

    #[test]
    fn all_are_taken_as_they_are_without_an_interval() {
        assert_eq!(estimate(0, 7, 12345), Sum { bytes: 7, blocks: 1 });
    }

    #[test]
    fn fractions_of_blocks_even_out() {
        let estimates = (0..10_000).map(|chance| estimate(1000, 1000, chance * 16));
        let blocks: u64 = estimates.map(|sum| sum.blocks).sum();
        assert!(blocks.abs_diff(15_820) < 150, "{blocks}");
        assert_eq!(estimate(1000, 1000, 5).bytes, 1582);
    }

    #[test]
    fn errors() {
        assert_eq!(error(100 << 20, 1 << 20), 20 << 20);
        assert_eq!(error(0, 1 << 20), 0);
        assert_eq!(error(1 << 40, 0), 0);
    }

    #[test]
    fn only_larger_intervals_are_changes() {
        let mut sampled = Sampled::default();
        [(1, 10), (2, 10), (3, 20), (4, 10), (5, 20)]
            .into_iter()
            .for_each(|(at, interval)| sampled.set_interval(Tick(at), interval));
        assert_eq!(sampled.intervals, [(Tick(1), 10), (Tick(3), 20)]);
    }
}
