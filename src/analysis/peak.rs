//! The high-water mark of the heap, and what every stack held at it, in one pass.
//!
//! ```text
//!  live     ╱╲    ╱╲╱╲            each new maximum starts a generation; a site that
//!         ╱    ╲╱      ╲          is touched later first writes down what it held
//!  mark  1 2 ─────── 3 ────       since then. Untouched sites hold it still.
//! ```
//!
//! Where the maximum is reached more than once, the last time counts.

use super::live::Change;
use crate::model::{StackId, Tick};

/// What one stack allocated, on a cache line of its own. Thread stacks are apart.
#[repr(align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Allocations, ever.
    pub allocations: u64,
    /// Bytes, ever.
    pub bytes: u64,
    /// Bytes allocated now.
    pub live_bytes: u64,
    /// Blocks allocated now.
    pub live_blocks: u64,
    /// Bytes allocated at the peak; final after [`Peak::sites`].
    pub peak_bytes: u64,
    /// Blocks allocated at the peak.
    pub peak_blocks: u64,
    generation: u64,
}

/// Folds changes into sites.
#[derive(Debug, Default)]
pub struct Peak {
    /// By stack id.
    sites: Vec<Site>,
    live_bytes: u64,
    live_blocks: u64,
    peak_bytes: u64,
    peak_at: Tick,
    generation: u64,
    stack_bytes: u64,
}

impl Peak {
    /// Takes a change.
    #[inline]
    pub fn add(&mut self, at: Tick, change: Change) {
        let heap = change.is_heap();
        match change {
            Change::Begin { bytes, .. } if !heap => self.stack_bytes = self.stack_bytes.saturating_add(bytes),
            Change::End { bytes, .. } if !heap => self.stack_bytes = self.stack_bytes.saturating_sub(bytes),
            Change::Begin { stack, bytes, .. } => {
                let site = self.site(stack);
                site.live_bytes = site.live_bytes.saturating_add(bytes);
                site.live_blocks += 1;
                self.live_bytes = self.live_bytes.saturating_add(bytes);
                self.live_blocks += 1;
                if self.live_bytes >= self.peak_bytes {
                    self.peak_bytes = self.live_bytes;
                    self.peak_at = at;
                    self.generation += 1;
                }
            }
            Change::End { stack, bytes, blocks, .. } => {
                let site = self.site(stack);
                site.live_bytes = site.live_bytes.saturating_sub(bytes);
                site.live_blocks = site.live_blocks.saturating_add_signed(blocks);
                self.live_bytes = self.live_bytes.saturating_sub(bytes);
                self.live_blocks = self.live_blocks.saturating_add_signed(blocks);
            }
        }
    }

    /// Counts an allocation, apart from how long it lives.
    #[inline]
    pub fn count(&mut self, stack: StackId, bytes: u64) {
        let site = self.slot(stack);
        site.allocations += 1;
        site.bytes = site.bytes.saturating_add(bytes);
    }

    /// Heap bytes allocated now.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Heap blocks and mappings allocated now.
    pub fn live_blocks(&self) -> u64 {
        self.live_blocks
    }

    /// The most heap bytes that were allocated at one time, and the last time when they were.
    pub fn peak(&self) -> (u64, Tick) {
        (self.peak_bytes, self.peak_at)
    }

    /// Bytes of thread stacks mapped now.
    pub fn stack_bytes(&self) -> u64 {
        self.stack_bytes
    }

    /// Every stack that allocated, as of now.
    pub fn sites(&self) -> impl Iterator<Item = (StackId, Site)> + '_ {
        let sites = (0u32..).zip(&self.sites).map(|(id, &site)| {
            let mut site = site;
            site.reach(self.generation);
            (StackId(id), site)
        });
        sites.filter(|(_, site)| site.allocations > 0 || site.live_blocks > 0 || site.peak_blocks > 0)
    }

    /// The site, with its peak written down before it is changed.
    #[inline]
    fn site(&mut self, stack: StackId) -> &mut Site {
        let generation = self.generation;
        let site = self.slot(stack);
        site.reach(generation);
        site
    }

    #[inline]
    fn slot(&mut self, stack: StackId) -> &mut Site {
        let index = stack.0 as usize;
        if index >= self.sites.len() {
            self.sites.resize(index + 1, Site::default());
        }
        &mut self.sites[index]
    }
}

impl Site {
    #[inline]
    fn reach(&mut self, generation: u64) {
        if self.generation < generation {
            self.generation = generation;
            self.peak_bytes = self.live_bytes;
            self.peak_blocks = self.live_blocks;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use proptest::prelude::*;

    fn begin(stack: u32, bytes: u64) -> Change {
        Change::Begin { stack: StackId(stack), kind: Kind::Malloc, bytes }
    }

    fn end(stack: u32, bytes: u64) -> Change {
        Change::End { stack: StackId(stack), kind: Kind::Malloc, bytes, blocks: -1 }
    }

    /// Peak bytes, its moment, and (stack, bytes, blocks) at it.
    fn fold(changes: &[Change]) -> (u64, u64, Vec<(u32, u64, u64)>) {
        let mut peak = Peak::default();
        for (at, &change) in (1..).zip(changes) {
            peak.add(Tick(at), change);
        }
        let sites = peak.sites().filter(|(_, site)| site.peak_blocks > 0);
        let sites = sites.map(|(stack, site)| (stack.0, site.peak_bytes, site.peak_blocks)).collect();
        (peak.peak().0, peak.peak().1.0, sites)
    }

    #[test]
    fn peaks() {
        let sole = |stack, bytes| vec![(stack, bytes, 1)];
        for (what, changes, expected) in [
            ("nothing", vec![], (0, 0, vec![])),
            ("at the end", vec![begin(1, 5), begin(2, 6)], (11, 2, vec![(1, 5, 1), (2, 6, 1)])),
            ("freed before", vec![begin(1, 5), end(1, 5), begin(2, 6)], (6, 3, sole(2, 6))),
            ("freed after", vec![begin(1, 5), end(1, 5), begin(2, 3)], (5, 1, sole(1, 5))),
            ("the last of equals", vec![begin(1, 5), end(1, 5), begin(2, 5)], (5, 3, sole(2, 5))),
            (
                "several peaks",
                vec![begin(1, 5), begin(2, 5), end(2, 5), begin(2, 9), end(1, 5), begin(3, 1)],
                (14, 4, vec![(1, 5, 1), (2, 9, 1)]),
            ),
            ("one site, two blocks", vec![begin(1, 5), begin(1, 6), end(1, 5)], (11, 2, vec![(1, 11, 2)])),
        ] {
            assert_eq!(fold(&changes), expected, "{what}");
        }
    }

    #[test]
    fn thread_stacks_are_apart() {
        let mut peak = Peak::default();
        peak.add(Tick(1), Change::Begin { stack: StackId(1), kind: Kind::ThreadStack, bytes: 8 << 20 });
        assert_eq!((peak.peak().0, peak.live_bytes(), peak.stack_bytes()), (0, 0, 8 << 20));
    }

    proptest! {
        #[test]
        fn as_a_copy_at_every_step(steps in prop::collection::vec((0u32..5, 1u64..9, any::<bool>()), 0..60)) {
            let mut live: Vec<(u32, u64)> = Vec::new();
            let (mut best, mut at_best) = (0, Vec::new());
            let mut changes = Vec::new();
            for (stack, bytes, grow) in steps {
                if grow {
                    live.push((stack, bytes));
                    changes.push(begin(stack, bytes));
                    let total: u64 = live.iter().map(|block| block.1).sum();
                    if total >= best {
                        (best, at_best) = (total, live.clone());
                    }
                } else if let Some((stack, bytes)) = live.pop() {
                    changes.push(end(stack, bytes));
                }
            }
            let (peak, _, sites) = fold(&changes);
            let of = |stack| at_best.iter().filter(move |block| block.0 == stack);
            let expected: Vec<_> = (0..5u32)
                .map(|stack| (stack, of(stack).map(|block| block.1).sum::<u64>(), of(stack).count() as u64))
                .filter(|site| site.2 > 0)
                .collect();
            prop_assert_eq!((peak, sites), (best, expected));
        }
    }
}
