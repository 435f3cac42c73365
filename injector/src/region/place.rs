//! Where in a process the region goes.
//!
//! Into the middle half of the largest hole, far from where heaps, stacks and
//! `mmap` grow, at an address that carries the mark. Which of the thousands of
//! such addresses is drawn by lot, so that two attachers do not meet.

use crate::process::Maps;
use prof_shared::region::ADDRESS_MARK;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

/// Distance of two marked addresses.
const MARK_STRIDE: u64 = 1 << 32;
/// The part of the address space that holes are looked for in.
const USABLE: Range<u64> = MARK_STRIDE..0x7fff_0000_0000;

/// A marked address with `total_bytes` free behind it; `None` if there is none.
pub fn place(maps: &Maps, total_bytes: u64) -> Option<u64> {
    place_by(maps, total_bytes, RandomState::new().build_hasher().finish())
}

fn place_by(maps: &Maps, total_bytes: u64, lot: u64) -> Option<u64> {
    let mut holes = holes(maps);
    holes.sort_by_key(|hole| std::cmp::Reverse(hole.end - hole.start));
    holes.iter().find_map(|hole| {
        let margin = (hole.end - hole.start) / 4;
        let (low, high) = (hole.start + margin, (hole.end - margin).checked_sub(total_bytes)?);
        let first = (low & !(MARK_STRIDE - 1)) + ADDRESS_MARK;
        let first = if first < low { first + MARK_STRIDE } else { first };
        let count = (high.checked_sub(first)? / MARK_STRIDE) + 1;
        Some(first + lot % count * MARK_STRIDE)
    })
}

fn holes(maps: &Maps) -> Vec<Range<u64>> {
    let starts = std::iter::once(USABLE.start).chain(maps.0.iter().map(|m| m.range.end));
    let ends = maps.0.iter().map(|m| m.range.start).chain(std::iter::once(USABLE.end));
    let clip = |(start, end): (u64, u64)| start.max(USABLE.start)..end.min(USABLE.end);
    starts.zip(ends).map(clip).filter(|hole| hole.start < hole.end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Mapping;

    fn maps(ranges: &[Range<u64>]) -> Maps {
        let line = |r: &Range<u64>| format!("{:x}-{:x} rw-p 00000000 00:00 0", r.start, r.end);
        Maps(ranges.iter().map(|r| Mapping::parse(&line(r)).unwrap()).collect())
    }

    #[test]
    fn any_lot_gives_a_marked_address_in_the_middle_of_the_largest_hole() {
        let maps = maps(&[0x5555_0000_0000..0x5555_1000_0000, 0x7f00_0000_0000..0x7f10_0000_0000]);
        for lot in [0, 1, 12_345, u64::MAX] {
            let base = place_by(&maps, 128 << 20, lot).unwrap();
            assert_eq!(base % MARK_STRIDE, ADDRESS_MARK);
            assert!((0x1555_0000_0000..0x4000_0000_0000).contains(&base), "{base:#x}");
            assert!(maps.is_free(&(base..base + (128 << 20))));
        }
    }

    #[test]
    fn a_full_address_space_has_no_place() {
        assert_eq!(place_by(&maps(std::slice::from_ref(&USABLE)), 4096, 7), None);
        let small = maps(&[0x1_0000_0000..0x10_0000_0000, 0x10_0010_0000..0x7fff_0000_0000]);
        assert_eq!(place_by(&small, 4096, 7), None);
    }
}
