//! What every site allocated and holds, and what it held when the heap was largest, in
//! one pass.
//!
//! ```text
//!  live     ╱╲    ╱╲╱╲            each new maximum starts a generation; a site that
//!         ╱    ╲╱      ╲          is touched later first writes down what it held
//!  mark  1 2 ─────── 3 ────       since then. Untouched sites hold it still.
//! ```
//!
//! Where the maximum is reached more than once, the last time counts.

use serde::{Deserialize, Serialize};

use super::live::Change;
use super::site::SiteId;
use crate::model::Tick;

/// Bytes, and the blocks and mappings that they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// Blocks.
    pub blocks: u64,
}

impl Sum {
    /// Takes more.
    pub fn add(&mut self, more: Sum) {
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.blocks = self.blocks.saturating_add(more.blocks);
    }

    /// Whether there is neither.
    pub fn is_zero(&self) -> bool {
        *self == Sum::default()
    }
}

/// What one site did, on a cache line of its own.
#[repr(align(64))]
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    made: Sum,
    temporary: Sum,
    live_bytes: u64,
    peak_bytes: u64,
    live_blocks: u32,
    peak_blocks: u32,
    /// The last maximum at which what it held is written down.
    generation: u64,
}

/// What one site did in a recording, or in a window of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// All that it allocated, with the bytes that were asked for.
    pub made: Sum,
    /// What of that was freed within few further allocations.
    pub temporary: Sum,
    /// What it held when the heap was largest.
    pub peak: Sum,
    /// What it holds at the end.
    pub live: Sum,
    /// What of that it allocated in the window.
    pub kept: Sum,
    /// What of that it allocated after the last gap.
    pub late: Sum,
    /// What it held when the window began.
    pub before: Sum,
}

impl Figures {
    /// Takes those of another site.
    pub fn add(&mut self, more: &Figures) {
        for (sum, more) in [
            (&mut self.made, more.made),
            (&mut self.temporary, more.temporary),
            (&mut self.peak, more.peak),
            (&mut self.live, more.live),
            (&mut self.kept, more.kept),
            (&mut self.late, more.late),
            (&mut self.before, more.before),
        ] {
            sum.add(more);
        }
    }
}

/// Folds changes into figures.
#[derive(Debug)]
pub struct Ledger {
    /// By site.
    accounts: Vec<Account>,
    temporary_within: u32,
    live: Sum,
    made: Sum,
    peak_bytes: u64,
    peak_at: Tick,
    generation: u64,
    stack_bytes: u64,
}

impl Ledger {
    /// With nothing in it. Temporary is what is freed within `temporary_within` further
    /// allocations of its thread.
    pub fn new(temporary_within: u32) -> Ledger {
        Ledger {
            accounts: Vec::new(),
            temporary_within,
            live: Sum::default(),
            made: Sum::default(),
            peak_bytes: 0,
            peak_at: Tick(0),
            generation: 0,
            stack_bytes: 0,
        }
    }

    /// Takes a change.
    #[inline(always)]
    pub fn add(&mut self, at: Tick, change: Change) {
        match change {
            Change::Begin { site, bytes, asked, blocks } => {
                self.made.add(Sum { bytes: asked, blocks });
                let account = self.account(site);
                account.made.add(Sum { bytes: asked, blocks });
                account.live_bytes = account.live_bytes.saturating_add(bytes);
                account.live_blocks = account.live_blocks.saturating_add(blocks as u32);
                self.live.add(Sum { bytes, blocks });
                if self.live.bytes >= self.peak_bytes {
                    self.peak_bytes = self.live.bytes;
                    self.peak_at = at;
                    self.generation += 1;
                }
            }
            Change::End { site, bytes, blocks, age, .. } => {
                let is_temporary = age <= self.temporary_within;
                let account = self.account(site);
                account.live_bytes = account.live_bytes.saturating_sub(bytes);
                account.live_blocks = account.live_blocks.saturating_add_signed(blocks as i32);
                if is_temporary {
                    account.temporary.add(Sum { bytes, blocks: blocks.min(0).unsigned_abs() });
                }
                self.live.bytes = self.live.bytes.saturating_sub(bytes);
                self.live.blocks = self.live.blocks.saturating_add_signed(blocks);
            }
            Change::ThreadStacks(bytes) => self.stack_bytes = self.stack_bytes.saturating_add_signed(bytes),
        }
    }

    /// Forgets what was allocated so far but for what is live, and looks for the largest
    /// heap from now on.
    pub fn restart(&mut self, at: Tick) {
        (self.made, self.peak_bytes, self.peak_at) = (Sum::default(), self.live.bytes, at);
        self.generation += 1;
        for account in &mut self.accounts {
            (account.made, account.temporary) = Default::default();
        }
    }

    /// What is allocated on the heap now.
    pub fn live(&self) -> Sum {
        self.live
    }

    /// All that was allocated on the heap, with the bytes that were asked for.
    pub fn made(&self) -> Sum {
        self.made
    }

    /// The most heap bytes that were allocated at one time, and the last time when they were.
    pub fn peak(&self) -> (u64, Tick) {
        (self.peak_bytes, self.peak_at)
    }

    /// Bytes of thread stacks mapped now.
    pub fn stack_bytes(&self) -> u64 {
        self.stack_bytes
    }

    /// What each site did, as of now, if there was neither a window nor a gap.
    pub fn figures(&self) -> impl Iterator<Item = (SiteId, Figures)> + '_ {
        (0..).map(SiteId).zip(self.accounts.iter().map(|account| account.figures(self.generation)))
    }

    /// The account, with its peak written down before it is changed.
    #[inline]
    fn account(&mut self, site: SiteId) -> &mut Account {
        let index = site.0 as usize;
        if index >= self.accounts.len() {
            self.accounts.resize(index + 1, Account::default());
        }
        let account = &mut self.accounts[index];
        account.reach(self.generation);
        account
    }
}

impl Account {
    #[inline]
    fn reach(&mut self, generation: u64) {
        if self.generation < generation {
            self.generation = generation;
            self.peak_bytes = self.live_bytes;
            self.peak_blocks = self.live_blocks;
        }
    }

    fn figures(mut self, generation: u64) -> Figures {
        self.reach(generation);
        let live = Sum { bytes: self.live_bytes, blocks: self.live_blocks.into() };
        Figures {
            made: self.made,
            temporary: self.temporary,
            peak: Sum { bytes: self.peak_bytes, blocks: self.peak_blocks.into() },
            live,
            kept: live,
            late: live,
            before: Sum::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Birth;
    use proptest::prelude::*;

    fn begin(site: u32, bytes: u64) -> Change {
        Change::Begin { site: SiteId(site), bytes, asked: bytes, blocks: 1 }
    }

    fn end_at(site: u32, bytes: u64, age: u32) -> Change {
        Change::End { site: SiteId(site), bytes, blocks: -1, birth: Birth::default(), age }
    }

    fn end(site: u32, bytes: u64) -> Change {
        end_at(site, bytes, 9)
    }

    fn folded(changes: &[Change]) -> Ledger {
        let mut ledger = Ledger::new(1);
        for (at, &change) in (1..).zip(changes) {
            ledger.add(Tick(at), change);
        }
        ledger
    }

    /// Peak bytes, its moment, and (site, bytes, blocks) at it.
    fn fold(changes: &[Change]) -> (u64, u64, Vec<(u32, u64, u64)>) {
        let ledger = folded(changes);
        let held = ledger.figures().filter(|(_, figures)| !figures.peak.is_zero());
        let held = held.map(|(site, figures)| (site.0, figures.peak.bytes, figures.peak.blocks)).collect();
        (ledger.peak().0, ledger.peak().1.0, held)
    }

    #[test]
    fn peaks() {
        let sole = |site, bytes| vec![(site, bytes, 1)];
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
    fn temporary_is_what_ends_young() {
        let ledger = folded(&[
            begin(1, 5),
            end_at(1, 5, 0),
            begin(1, 6),
            end_at(1, 6, 1),
            begin(1, 7),
            end_at(1, 7, 2),
            begin(2, 8),
        ]);
        let figures: Vec<_> = ledger.figures().map(|(_, figures)| figures).collect();
        assert_eq!(figures[1].temporary, Sum { bytes: 11, blocks: 2 });
        assert_eq!(figures[1].made, Sum { bytes: 18, blocks: 3 });
        assert_eq!((figures[2].temporary, figures[2].live), (Sum::default(), Sum { bytes: 8, blocks: 1 }));
    }

    #[test]
    fn a_restart_keeps_what_is_live() {
        let mut ledger = folded(&[begin(1, 9), begin(2, 5), end(1, 9)]);
        ledger.restart(Tick(10));
        ledger.add(Tick(11), end(2, 5));
        ledger.add(Tick(12), begin(3, 2));
        assert_eq!((ledger.peak(), ledger.made().bytes), ((5, Tick(10)), 2));
        let figures: Vec<_> = ledger.figures().map(|(_, figures)| figures.peak.bytes).collect();
        assert_eq!(figures, [0, 0, 5, 0]);
    }

    #[test]
    fn thread_stacks_are_apart() {
        let ledger = folded(&[Change::ThreadStacks(8 << 20), Change::ThreadStacks(-(1 << 20))]);
        assert_eq!((ledger.peak().0, ledger.live().bytes, ledger.stack_bytes()), (0, 0, 7 << 20));
    }

    #[test]
    fn an_account_fills_a_cache_line() {
        assert_eq!(size_of::<Account>(), 64);
    }

    proptest! {
        #[test]
        fn as_a_copy_at_every_step(steps in prop::collection::vec((0u32..5, 1u64..9, any::<bool>()), 0..60)) {
            let mut live: Vec<(u32, u64)> = Vec::new();
            let (mut best, mut at_best) = (0, Vec::new());
            let mut changes = Vec::new();
            for (site, bytes, grow) in steps {
                if grow {
                    live.push((site, bytes));
                    changes.push(begin(site, bytes));
                    let total: u64 = live.iter().map(|block| block.1).sum();
                    if total >= best {
                        (best, at_best) = (total, live.clone());
                    }
                } else if let Some((site, bytes)) = live.pop() {
                    changes.push(end(site, bytes));
                }
            }
            let (peak, _, held) = fold(&changes);
            let of = |site| at_best.iter().filter(move |block| block.0 == site);
            let expected: Vec<_> = (0..5u32)
                .map(|site| (site, of(site).map(|block| block.1).sum::<u64>(), of(site).count() as u64))
                .filter(|site| site.2 > 0)
                .collect();
            prop_assert_eq!((peak, held), (best, expected));
        }
    }
}
