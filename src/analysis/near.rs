//! Hashes addresses so that blocks that are near each other in the target are so in a table.
//!
//! ```text
//!  address  …region │ step │ ····       regions of 1 KiB lie anywhere in the table,
//!                10      5    0         the blocks of one beside each other
//! ```
//!
//! Programs mostly use what lies together together, and allocators see to that. So a cache
//! that has one block has the next ones.

use hashbrown::DefaultHashBuilder;
use std::hash::{BuildHasher, Hasher};

const REGION_BITS: u32 = 10;
const STEP_BITS: u32 = 5;
/// The bits of a hash that a table compares before it looks at a block, and those of an
/// address that go there.
const TAG_SHIFT: u32 = 57;
const TAGGED_BITS: u32 = 4;

/// Makes hashes of addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Near(DefaultHashBuilder);

/// The hash of one address.
#[derive(Debug)]
pub(super) struct NearHasher {
    regions: DefaultHashBuilder,
    hash: u64,
}

impl BuildHasher for Near {
    type Hasher = NearHasher;

    #[inline]
    fn build_hasher(&self) -> NearHasher {
        NearHasher { regions: self.0.clone(), hash: 0 }
    }
}

impl Hasher for NearHasher {
    #[inline]
    fn write_u64(&mut self, addr: u64) {
        let step = addr >> STEP_BITS & ((1 << (REGION_BITS - STEP_BITS)) - 1);
        let tag = addr >> TAGGED_BITS << TAG_SHIFT;
        self.hash = self.regions.hash_one(addr >> REGION_BITS).wrapping_add(step) ^ tag;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.hash ^ u64::from(byte)));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: u64 = (1 << 20) - 1;

    #[test]
    fn neighbours_are_neighbours() {
        let near = Near::default();
        let hashes: Vec<u64> = (0..64u64).map(|block| near.hash_one(0x7f00_1234_5400 + 16 * block)).collect();
        let place = |hash: u64| (hash & TABLE).wrapping_sub(hashes[0]) & TABLE;
        assert!(hashes.iter().map(|&hash| place(hash)).eq((0..64).map(|block| block / 2)));
        let tags: std::collections::HashSet<u64> = hashes.iter().map(|hash| hash >> TAG_SHIFT).collect();
        assert_eq!(tags.len(), 64, "and differ where a table looks first");
    }

    #[test]
    fn regions_lie_anywhere() {
        let near = Near::default();
        let places: std::collections::HashSet<u64> =
            (0..1000u64).map(|region| near.hash_one(region << REGION_BITS) & TABLE).collect();
        assert!(places.len() > 980);
    }
}
