//! What a quantity was at given moments.

use crate::model::Tick;

/// The value at each of a few moments.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    moments: Vec<Tick>,
    values: Vec<u64>,
    latest: u64,
}

impl Levels {
    /// For `moments`, which are ascending.
    pub fn new(moments: Vec<Tick>) -> Levels {
        Levels { moments, values: Vec::new(), latest: 0 }
    }

    /// From `at` on it is `value`.
    #[inline]
    pub fn add(&mut self, at: Tick, value: u64) {
        while self.moments.get(self.values.len()).is_some_and(|&moment| moment < at) {
            self.values.push(self.latest);
        }
        self.latest = value;
    }

    /// At the moment of that number; the latest value for what lies behind the end.
    pub fn at(&self, index: usize) -> u64 {
        self.values.get(index).copied().unwrap_or(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_lasts_until_the_next_change() {
        let mut levels = Levels::new([5, 10, 10, 20].map(Tick).to_vec());
        for (at, value) in [(6, 1), (10, 2), (10, 3), (11, 4)] {
            levels.add(Tick(at), value);
        }
        assert_eq!([0, 1, 2, 3].map(|index| levels.at(index)), [0, 3, 3, 4]);
        assert_eq!(Levels::default().at(0), 0);
    }
}
