//! How large allocations are, in bounded memory.
//!
//! Sizes below 1024 are counted one by one, larger ones in 512 steps an octave,
//! so the ten bins of the result are off by at most 0.2 % at their edges.

use serde::{Deserialize, Serialize};

const STEP_BITS: u32 = 9;
const EXACT: u64 = 2 << STEP_BITS;
const COUNTERS: usize = (EXACT + (63 - STEP_BITS as u64) * (1 << STEP_BITS)) as usize;

/// Counts of sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub struct Sizes {
    counters: Vec<u64>,
    smallest: u64,
    largest: u64,
}

/// As it stands in a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    smallest: u64,
    largest: u64,
    /// Those that are not 0: index and count.
    counters: Vec<(u32, u64)>,
}

impl From<Sizes> for Kept {
    fn from(sizes: Sizes) -> Kept {
        let counters = (0..).zip(sizes.counters).filter(|&(_, count)| count > 0).collect();
        Kept { smallest: sizes.smallest, largest: sizes.largest, counters }
    }
}

impl TryFrom<Kept> for Sizes {
    type Error = &'static str;

    fn try_from(kept: Kept) -> Result<Sizes, &'static str> {
        let mut sizes = Sizes { smallest: kept.smallest, largest: kept.largest, ..Sizes::default() };
        for (index, count) in kept.counters {
            *sizes.counters.get_mut(index as usize).ok_or("no such size")? = count;
        }
        Ok(sizes)
    }
}

/// A bin of the histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// The smallest size in it.
    pub min_bytes: u64,
    /// The largest size in it.
    pub max_bytes: u64,
    /// How many allocations.
    pub count: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { counters: vec![0; COUNTERS], smallest: u64::MAX, largest: 0 }
    }
}

impl Sizes {
    /// Counts so many of a size.
    #[inline]
    pub fn add(&mut self, size: u64, count: u64) {
        let counter = &mut self.counters[counter(size)];
        *counter = counter.saturating_add(count);
        self.largest = self.largest.max(size);
        if size > 0 {
            self.smallest = self.smallest.min(size);
        }
    }

    /// The histogram in bins of equal width on a logarithmic scale, from the
    /// smallest size to the largest. Size 0 counts in the first. Empty if nothing
    /// of any size was counted.
    pub fn bins(&self, bins: u32) -> Vec<Bin> {
        if self.smallest > self.largest {
            return Vec::new();
        }
        let scale = Scale::new(self.smallest, self.largest, bins);
        let mut counts = vec![0; bins as usize];
        for (index, &count) in self.counters.iter().enumerate().filter(|(_, count)| **count > 0) {
            let size = size(index).clamp(self.smallest, self.largest);
            let sum: &mut u64 = &mut counts[if index == 0 { 0 } else { scale.bin(size) as usize }];
            *sum = sum.saturating_add(count);
        }
        (0..).zip(counts).map(|(bin, count)| scale.describe(bin, count)).collect()
    }
}

/// Where the edges of the bins are; as in Memray's `stats`.
struct Scale {
    low: f64,
    step: f64,
    bins: u32,
    largest: u64,
}

impl Scale {
    fn new(smallest: u64, largest: u64, bins: u32) -> Scale {
        let (mut low, high) = ((smallest as f64).ln(), (largest as f64).ln());
        if low == high {
            low /= 2.0;
        }
        Scale { low, step: (high - low) / f64::from(bins), bins, largest }
    }

    fn bin(&self, size: u64) -> u32 {
        if self.step == 0.0 {
            return self.bins - 1;
        }
        ((((size as f64).ln() - self.low) / self.step) as u32).min(self.bins - 1)
    }

    /// Where the bin after this one begins.
    fn edge(&self, bin: u32) -> u64 {
        (self.low + self.step * f64::from(bin + 1)).exp() as u64
    }

    fn describe(&self, bin: u32, count: u64) -> Bin {
        let min_bytes = if bin == 0 { 0 } else { self.edge(bin - 1) };
        let max_bytes = if bin == self.bins - 1 { self.largest } else { self.edge(bin).saturating_sub(1) };
        Bin { min_bytes, max_bytes, count }
    }
}

#[inline]
fn counter(size: u64) -> usize {
    if size < EXACT {
        return size as usize;
    }
    let octave = 63 - size.leading_zeros() - STEP_BITS;
    (u64::from(octave) << STEP_BITS) as usize + (size >> octave) as usize
}

/// The smallest size that a counter counts.
fn size(counter: usize) -> u64 {
    let counter = counter as u64;
    if counter < EXACT {
        return counter;
    }
    let octave = (counter >> STEP_BITS) - 1;
    (counter - (octave << STEP_BITS)) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bins(sizes: &[u64]) -> Vec<Bin> {
        let mut counted = Sizes::default();
        sizes.iter().for_each(|&size| counted.add(size, 1));
        counted.bins(10)
    }

    #[test]
    fn ten_bins_on_a_logarithmic_scale() {
        let found = bins(&[1, 1, 20, 200, 2000, 2048, 10_000_000_000]);
        assert_eq!(found.iter().map(|bin| bin.count).collect::<Vec<_>>(), [2, 1, 1, 2, 0, 0, 0, 0, 0, 1]);
        assert_eq!(found[0], Bin { min_bytes: 0, max_bytes: 9, count: 2 });
        assert_eq!(found[9].max_bytes, 10_000_000_000);
        assert!(found.windows(2).all(|pair| pair[0].max_bytes + 1 == pair[1].min_bytes));
    }

    #[test]
    fn few_sizes() {
        assert_eq!(bins(&[]), []);
        assert_eq!(bins(&[0]), []);
        for sizes in [&[1, 1][..], &[64], &[0, 64], &[u64::MAX], &[1, u64::MAX]] {
            let found = bins(sizes);
            assert_eq!(found.iter().map(|bin| bin.count).sum::<u64>(), sizes.len() as u64, "{sizes:?}");
        }
        assert_eq!(bins(&[0, 64])[0].count, 1, "size 0 is in the first bin");
    }

    proptest! {
        #[test]
        fn counters_are_narrow(size in any::<u64>(), shift in 0u32..64) {
            let wanted = size >> shift;
            let index = counter(wanted);
            prop_assert!(index < COUNTERS);
            let start = super::size(index);
            prop_assert_eq!(counter(start), index);
            prop_assert!(start <= wanted && wanted - start <= wanted >> STEP_BITS);
        }
    }
}
