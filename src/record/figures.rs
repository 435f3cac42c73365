//! What the progress line shows, gathered while pieces pass by.
//!
//! Exact as long as the time for it suffices. Under a load that it cannot keep up
//! with, blocks are followed by lot (one in 4, 16, … by address) and scaled up;
//! large blocks, which make up the bytes, are always followed. The capture itself
//! does not depend on any of this.

use crate::model::ProcessId;
use hashbrown::HashMap;
use prof_shared::record::Record;

/// Blocks of this size are always followed.
const LARGE_BYTES: u64 = 64 << 10;
/// The most blocks of each sort that are followed: 100 MB.
const MAX_FOLLOWED: usize = 3 << 20;
/// One block in 4 to this power is followed at least.
const MAX_THINNING: u32 = 8;

/// Running figures over all pieces.
#[derive(Default)]
pub struct Figures {
    small: HashMap<u64, u64>,
    large: HashMap<u64, u64>,
    small_bytes: u64,
    large_bytes: u64,
    /// Followed is one block in 4 to this power.
    thinning: u32,
    /// Whether a block was left out because too many were followed.
    is_full: bool,
    /// Allocations and frees so far.
    pub events: u64,
}

impl Figures {
    /// Bytes live in blocks allocated while recording; mappings are not counted.
    pub fn live_bytes(&self) -> u64 {
        self.large_bytes.saturating_add(self.small_bytes.saturating_mul(1 << (2 * self.thinning)))
    }

    /// Whether [`Figures::live_bytes`] is an estimate.
    pub fn is_estimate(&self) -> bool {
        self.thinning > 0 || self.is_full
    }

    /// Follows one block in four of those followed until now.
    pub fn thin_out(&mut self) {
        self.thinning = (self.thinning + 1).min(MAX_THINNING);
        let thinning = self.thinning;
        self.small.retain(|&addr, _| is_followed(addr, thinning));
        self.small_bytes = self.small.values().sum();
    }

    /// Takes a record of a process.
    pub fn count(&mut self, process: ProcessId, record: &Record<'_>) {
        let space = |addr: u64| process.addr(addr).0;
        match *record {
            Record::Munmap { .. } | Record::Mremap { .. } => {}
            Record::Alloc { kind, addr, size, .. } => {
                if !kind.is_mapping() {
                    self.begin(space(addr), size);
                }
            }
            Record::Realloc { old_addr, addr, size, .. } => {
                self.end(space(old_addr));
                self.begin(space(addr), size);
            }
            Record::Free { addr, .. } => self.end(space(addr)),
            _ => return,
        }
        self.events += 1;
    }

    /// Ends what a process held that is gone.
    pub fn end_process(&mut self, process: ProcessId) {
        let space = process.space();
        for (map, total) in
            [(&mut self.small, &mut self.small_bytes), (&mut self.large, &mut self.large_bytes)]
        {
            map.retain(|addr, _| !space.contains(addr));
            *total = map.values().sum();
        }
    }

    fn begin(&mut self, addr: u64, size: u64) {
        if self.small.len() >= MAX_FOLLOWED && self.thinning < MAX_THINNING {
            self.thin_out();
        }
        let (map, total) = match size >= LARGE_BYTES {
            true => (&mut self.large, &mut self.large_bytes),
            false if !is_followed(addr, self.thinning) => return,
            false => (&mut self.small, &mut self.small_bytes),
        };
        // Addresses may be made for this: too many of a sort are not followed.
        if map.len() >= MAX_FOLLOWED && !map.contains_key(&addr) {
            self.is_full = true;
            return;
        }
        *total = total.saturating_add(size);
        if let Some(lost) = map.insert(addr, size) {
            *total = total.saturating_sub(lost);
        }
    }

    fn end(&mut self, addr: u64) {
        if is_followed(addr, self.thinning)
            && let Some(size) = self.small.remove(&addr)
        {
            self.small_bytes = self.small_bytes.saturating_sub(size);
        } else if let Some(size) = self.large.remove(&addr) {
            self.large_bytes = self.large_bytes.saturating_sub(size);
        }
    }
}

fn is_followed(addr: u64, thinning: u32) -> bool {
    let lot = addr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    lot & ((1 << (2 * thinning)) - 1) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use prof_shared::kind::Kind;

    fn malloc(addr: u64, size: u64) -> Record<'static> {
        Record::Alloc { kind: Kind::Malloc, ticks: 0, addr, size }
    }

    #[test]
    fn live_bytes_follow_blocks() {
        let mut figures = Figures::default();
        for record in [
            malloc(16, 100),
            malloc(32, 1 << 20),
            Record::Realloc { kind: Kind::Realloc, before: 0, ticks: 0, old_addr: 16, addr: 48, size: 300 },
            Record::Free { kind: Kind::Free, ticks: 0, addr: 64 },
            Record::Alloc { kind: Kind::Mmap, ticks: 0, addr: 4096, size: 1 << 30 },
        ] {
            figures.count(ProcessId::ROOT, &record);
        }
        assert_eq!((figures.live_bytes(), figures.events), (300 + (1 << 20), 5));
        figures.count(ProcessId::ROOT, &Record::Free { kind: Kind::Free, ticks: 0, addr: 32 });
        figures.count(ProcessId::ROOT, &malloc(48, 500));
        assert_eq!(figures.live_bytes(), 500, "a block on top of a live one replaces it");
    }

    #[test]
    fn what_is_followed_is_bounded() {
        let mut figures = Figures::default();
        let followed = (0..u64::MAX).filter(|&addr| is_followed(addr, MAX_THINNING)).take(64);
        let lots: Vec<u64> = followed.collect();
        let (many, spread) = (MAX_FOLLOWED as u64 + 10, 1 << 40);
        for n in 0..many {
            figures.count(ProcessId::ROOT, &malloc(n * 64, LARGE_BYTES));
            // Whatever is done to the high bits: the lot is drawn from the low ones.
            figures.count(ProcessId::ROOT, &malloc(lots[(n % 64) as usize] + n / 64 * spread, 8));
        }
        assert!(figures.large.len() <= MAX_FOLLOWED && figures.small.len() <= MAX_FOLLOWED);
        assert!(figures.is_estimate());
        figures.count(ProcessId::ROOT, &malloc(1, u64::MAX));
        figures.live_bytes();
    }

    #[test]
    fn a_thinned_figure_stays_near() {
        let mut figures = Figures::default();
        (1..=100_000u64).for_each(|i| figures.count(ProcessId::ROOT, &malloc(i * 64, 100)));
        figures.thin_out();
        figures.thin_out();
        (100_001..=200_000u64).for_each(|i| figures.count(ProcessId::ROOT, &malloc(i * 64, 100)));
        let estimate = figures.live_bytes() as f64 / 20_000_000.0;
        assert!((0.9..1.1).contains(&estimate), "{estimate}");
        (1..=200_000u64).for_each(|i| {
            figures.count(ProcessId::ROOT, &Record::Free { kind: Kind::Free, ticks: 0, addr: i * 64 })
        });
        assert_eq!(figures.live_bytes(), 0);
    }
}
