//! Address ranges that are mapped, each with its origin.
//!
//! ```text
//!  insert  |----A----|            remove    |----A----|
//!              |--B--|····               ····xxx
//!          |-A-|--B--|····              |-A-|   |-A--|   a piece may split
//! ```

use std::collections::BTreeMap;

use super::live::Birth;
use super::site::SiteId;

/// A mapped range, or what is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// One past the last byte.
    pub end: u64,
    /// Who mapped it.
    pub site: SiteId,
    /// When.
    pub birth: Birth,
}

/// Disjoint ranges by their first byte.
#[derive(Debug, Default)]
pub struct Ranges {
    pieces: BTreeMap<u64, Piece>,
}

impl Ranges {
    /// Adds `start..piece.end`, where nothing may be mapped: [`Ranges::remove`] first.
    pub fn insert(&mut self, start: u64, piece: Piece) {
        if start < piece.end {
            self.pieces.insert(start, piece);
        }
    }

    /// Unmaps `start..end`. Tells of each piece hit: the piece, the bytes that it
    /// loses, and how the number of pieces changes by it (-1, 0 or 1).
    pub fn remove(&mut self, start: u64, end: u64, mut lost: impl FnMut(Piece, u64, i64)) {
        if start >= end {
            return;
        }
        while let Some((from, piece)) = self.last_before(end).filter(|(_, piece)| piece.end > start) {
            let mut pieces = -1;
            self.pieces.remove(&from);
            if from < start {
                self.pieces.insert(from, Piece { end: start, ..piece });
                pieces += 1;
            }
            if end < piece.end {
                self.pieces.insert(end, piece);
                pieces += 1;
            }
            lost(piece, piece.end.min(end) - from.max(start), pieces);
        }
    }

    /// All of them, to be told something new.
    pub fn pieces_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        self.pieces.values_mut()
    }

    /// The ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Piece)> {
        self.pieces.iter().map(|(&start, piece)| (start, piece))
    }

    fn last_before(&self, end: u64) -> Option<(u64, Piece)> {
        self.pieces.range(..end).next_back().map(|(&start, &piece)| (start, piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(site: u32, end: u64) -> Piece {
        Piece { end, site: SiteId(site), birth: Birth::default() }
    }

    fn check(mapped: &[(u64, u64)], unmap: (u64, u64), left: &[(u64, u64)], lost: &[(u64, i64)]) {
        let mut ranges = Ranges::default();
        for &(start, end) in mapped {
            ranges.insert(start, piece(1, end));
        }
        let mut seen = Vec::new();
        ranges.remove(unmap.0, unmap.1, |_, bytes, pieces| seen.push((bytes, pieces)));
        seen.reverse();
        assert_eq!(ranges.iter().map(|(start, piece)| (start, piece.end)).collect::<Vec<_>>(), left);
        assert_eq!(seen, lost);
    }

    #[test]
    fn unmapping() {
        check(&[(10, 20)], (10, 20), &[], &[(10, -1)]);
        check(&[(10, 20)], (5, 30), &[], &[(10, -1)]);
        check(&[(10, 20)], (15, 30), &[(10, 15)], &[(5, 0)]);
        check(&[(10, 20)], (5, 15), &[(15, 20)], &[(5, 0)]);
        check(&[(10, 20)], (13, 15), &[(10, 13), (15, 20)], &[(2, 1)]);
        check(&[(10, 20), (20, 30), (40, 50)], (15, 45), &[(10, 15), (45, 50)], &[(5, 0), (10, -1), (5, 0)]);
        check(&[(10, 20)], (20, 30), &[(10, 20)], &[]);
        check(&[(10, 20)], (0, 10), &[(10, 20)], &[]);
        check(&[], (0, u64::MAX), &[], &[]);
        check(&[(10, 20)], (15, 15), &[(10, 20)], &[]);
        check(&[(10, 20)], (18, 12), &[(10, 20)], &[]);
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_bytes(steps in prop::collection::vec((0u64..64, 0u64..20, any::<bool>()), 0..40)) {
            let mut ranges = Ranges::default();
            let mut bytes = [0u32; 96];
            for (n, (start, length, map)) in (1..).zip(steps) {
                let end = start + length;
                let mut lost = 0;
                ranges.remove(start, end, |_, bytes, _| lost += bytes);
                let hit = &mut bytes[start as usize..end as usize];
                prop_assert_eq!(lost, hit.iter().filter(|&&owner| owner != 0).count() as u64);
                hit.fill(if map { n } else { 0 });
                if map {
                    ranges.insert(start, piece(n, end));
                }
            }
            let mut found = [0u32; 96];
            for (start, piece) in ranges.iter() {
                found[start as usize..piece.end as usize].fill(piece.site.0);
            }
            prop_assert_eq!(found, bytes);
        }
    }
}
