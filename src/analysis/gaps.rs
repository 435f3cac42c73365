//! Stretches of time for which events are missing.

use crate::model::Tick;
use serde::{Deserialize, Serialize};

const MAX: usize = 10_000;

/// One stretch. What is live and older than it is an upper bound from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When it began.
    pub from: Tick,
    /// When it ended.
    pub to: Tick,
    /// Allocations missing.
    pub allocations: u64,
    /// Frees missing.
    pub frees: u64,
}

/// The gaps of all threads; those that overlap are one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps {
    gaps: Vec<Gap>,
}

impl Gaps {
    /// Takes the gap of one thread.
    pub fn add(&mut self, gap: Gap) {
        let full = self.gaps.len() >= MAX;
        match self.gaps.last_mut() {
            Some(last) if gap.from <= last.to || full => {
                last.from = last.from.min(gap.from);
                last.to = last.to.max(gap.to);
                last.allocations = last.allocations.saturating_add(gap.allocations);
                last.frees = last.frees.saturating_add(gap.frees);
            }
            _ => self.gaps.push(gap),
        }
    }

    /// The gaps, in the order of their ends.
    pub fn all(&self) -> &[Gap] {
        &self.gaps
    }

    /// Allocations and frees missing.
    pub fn totals(&self) -> (u64, u64) {
        self.gaps.iter().fold((0, 0), |(allocations, frees), gap| {
            (gap.allocations.saturating_add(allocations), gap.frees.saturating_add(frees))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_gaps_are_one() {
        let mut gaps = Gaps::default();
        for (from, to) in [(10, 20), (15, 30), (5, 31), (40, 50)] {
            gaps.add(Gap { from: Tick(from), to: Tick(to), allocations: 1, frees: 2 });
        }
        let found: Vec<_> = gaps.all().iter().map(|gap| (gap.from.0, gap.to.0, gap.allocations)).collect();
        assert_eq!((found, gaps.totals()), (vec![(5, 31, 3), (40, 50, 1)], (4, 8)));
    }
}
