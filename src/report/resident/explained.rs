//! What explains the resident set at the end, part by part of the address space.
//!
//! ```text
//!  extent at the attach    │ baseline ··············· │ recorded so far │
//!  extent at the end       │ baseline, what is left │ recorded, live │ neither │
//! ```
//!
//! Within an extent recorded blocks come first: they count with the size asked for, and
//! at most what is resident there. Then comes what was resident there at the attach, as
//! far as there is room: memory that was given back since, or used again by recorded
//! blocks, is no baseline any more. The rest is neither: overhead of allocators, files,
//! pages first touched since. Where a capture has no extents, the whole resident set is
//! one.

use serde::Serialize;

use crate::analysis::{Extent, Occupied};
use crate::model::RssSample;

/// The last sample, divided up; the parts add up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// By live blocks of the recording.
    pub recorded_bytes: u64,
    /// By what was resident at the attach.
    pub baseline_bytes: u64,
    /// By `prof` in the target.
    pub prof_bytes: u64,
    /// By nothing of these.
    pub neither_bytes: u64,
}

impl Explained {
    /// What and how much, in the order of a report.
    pub fn rows(self) -> [(&'static str, u64); 4] {
        [
            ("recorded, live", self.recorded_bytes),
            ("baseline", self.baseline_bytes),
            ("neither", self.neither_bytes),
            ("prof itself", self.prof_bytes),
        ]
    }

    /// Compares two looks; with each, what was live then in its extents.
    pub fn new(first: &RssSample, then: &Occupied, last: &RssSample, now: &Occupied) -> Explained {
        let (mut before, after) = (Pots::new(first, then), Pots::new(last, now));
        let recorded = sum(after.all().map(|pot| pot.recorded));
        let baseline = sum(after.extents.iter().map(|pot| pot.older(&mut before.extents)));
        let baseline = baseline.saturating_add(after.elsewhere.rest.min(before.elsewhere.rest));
        // The kernel's counters and its page tables are not of one moment.
        let prof_bytes = prof(last);
        let rest = last.resident_bytes - prof_bytes;
        let recorded_bytes = recorded.min(rest);
        let baseline_bytes = baseline.min(rest - recorded_bytes);
        let neither_bytes = rest - recorded_bytes - baseline_bytes;
        Explained { recorded_bytes, baseline_bytes, prof_bytes, neither_bytes }
    }
}

/// What an extent holds.
#[derive(Clone, Copy, Debug)]
struct Pot {
    extent: Extent,
    recorded: u64,
    /// Resident, but not recorded.
    rest: u64,
}

/// A look without what is prof's.
struct Pots {
    /// Ascending.
    extents: Vec<Pot>,
    /// What lies in none of them.
    elsewhere: Pot,
}

impl Pots {
    fn new(sample: &RssSample, occupied: &Occupied) -> Pots {
        let pot = |(&(start, bytes, resident), &occupied): (&(u64, u64, u64), &u64)| {
            Pot::new((start, bytes), resident.min(bytes), occupied)
        };
        let extents: Vec<_> = sample.extents.iter().zip(&occupied.inside).map(pot).collect();
        let listed = sum(extents.iter().map(|pot| pot.recorded + pot.rest));
        let others = (sample.resident_bytes - prof(sample)).saturating_sub(listed);
        Pots { extents, elsewhere: Pot::new((0, 0), others, occupied.outside) }
    }

    fn all(&self) -> impl Iterator<Item = &Pot> {
        self.extents.iter().chain([&self.elsewhere])
    }
}

impl Pot {
    fn new(extent: Extent, resident: u64, occupied: u64) -> Pot {
        let recorded = occupied.min(resident);
        Pot { extent, recorded, rest: resident - recorded }
    }

    /// How much of what was there `before` can be left here; it is taken from there.
    fn older(&self, before: &mut [Pot]) -> u64 {
        let ((start, _), end) = (self.extent, self.end());
        let mut room = self.rest;
        let first = before.partition_point(|old| old.end() <= start);
        for old in before[first..].iter_mut().take_while(|old| old.extent.0 < end) {
            let common = old.end().min(end).saturating_sub(old.extent.0.max(start));
            let left = old.rest.min(common).min(room);
            old.rest -= left;
            room -= left;
        }
        self.rest - room
    }

    fn end(&self) -> u64 {
        self.extent.0.saturating_add(self.extent.1)
    }
}

fn prof(sample: &RssSample) -> u64 {
    sample.parts.get("prof").copied().unwrap_or(0).min(sample.resident_bytes)
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROF: u64 = 5;

    /// A look: each extent with its resident bytes and what is live in it; prof's own
    /// and what lies in none come on top.
    fn look(extents: &[(u64, u64, u64, u64)], elsewhere: u64, outside: u64) -> (RssSample, Occupied) {
        let resident_bytes = sum(extents.iter().map(|extent| extent.2)) + elsewhere + PROF;
        let occupied = Occupied { inside: extents.iter().map(|extent| extent.3).collect(), outside };
        let extents = extents.iter().map(|&(start, bytes, resident, _)| (start, bytes, resident)).collect();
        let parts = [("prof".to_owned(), PROF)].into();
        (RssSample { resident_bytes, parts, extents, ..RssSample::default() }, occupied)
    }

    /// Recorded, baseline, neither.
    fn check(
        what: &str,
        (first, then): (RssSample, Occupied),
        (last, now): (RssSample, Occupied),
        expected: [u64; 3],
    ) {
        let found = Explained::new(&first, &then, &last, &now);
        assert_eq!([found.recorded_bytes, found.baseline_bytes, found.neither_bytes], expected, "{what}");
        assert_eq!(found.prof_bytes, PROF, "{what}");
        assert_eq!(expected.iter().sum::<u64>() + PROF, last.resident_bytes, "{what}");
    }

    #[test]
    fn without_extents_the_whole_is_one() {
        let first = || look(&[], 100, 0);
        for (what, elsewhere, live, expected) in [
            ("nothing happened", 100, 0, [0, 100, 0]),
            ("a recorded block", 130, 30, [30, 100, 0]),
            ("and other growth", 150, 30, [30, 100, 20]),
            ("an older block was freed", 80, 30, [30, 50, 0]),
            ("a block that was not written to", 80, 1000, [80, 0, 0]),
        ] {
            check(what, first(), look(&[], elsewhere, live), expected);
        }
        check("recorded before the first look", look(&[], 100, 40), look(&[], 100, 40), [40, 60, 0]);
    }

    #[test]
    fn extents_are_compared_one_by_one() {
        let first = || look(&[(1000, 100, 100, 0), (2000, 100, 50, 0)], 7, 0);
        for (what, extents, expected) in [
            ("nothing happened", &[(1000, 100, 100, 0), (2000, 100, 50, 0)][..], [0, 150 + 7, 0]),
            (
                "a block that was not written to",
                &[(1000, 100, 100, 0), (2000, 900, 50, 900)],
                [50, 100 + 7, 0],
            ),
            (
                "an older block was freed, another came",
                &[(2000, 100, 50, 0), (3000, 100, 100, 90)],
                [90, 50 + 7, 10],
            ),
            ("an older block lost its middle", &[(1000, 30, 30, 0), (1080, 20, 20, 0)], [0, 50 + 7, 0]),
            ("an extent grew", &[(1000, 300, 300, 0)], [0, 100 + 7, 200]),
            ("its memory is used again", &[(1000, 100, 100, 60)], [60, 40 + 7, 0]),
            ("two became one", &[(900, 1300, 400, 10)], [10, 150 + 7, 240]),
        ] {
            check(what, first(), look(extents, 7, 0), expected);
        }
    }

    proptest! {
        /// Whatever a capture says: the parts add up.
        #[test]
        fn parts_add_up(
            first in prop::collection::vec(any::<(u64, u64, u64)>(), 0..5),
            last in prop::collection::vec(any::<(u64, u64, u64)>(), 0..5),
            resident in any::<[u64; 2]>(),
            live in any::<[u64; 5]>(),
        ) {
            let sample = |resident_bytes, extents: &[_]| {
                RssSample { resident_bytes, extents: extents.to_vec(), ..RssSample::default() }
            };
            let occupied = |count: usize| Occupied { inside: live[..count].to_vec(), outside: live[4] };
            let (then, now) = (occupied(first.len().min(4)), occupied(last.len().min(4)));
            let (first, last) = (sample(resident[0], &first), sample(resident[1], &last));
            let Explained { recorded_bytes, baseline_bytes, prof_bytes, neither_bytes } =
                Explained::new(&first, &then, &last, &now);
            let sum = u128::from(recorded_bytes) + u128::from(baseline_bytes);
            prop_assert_eq!(sum + u128::from(prof_bytes) + u128::from(neither_bytes), resident[1].into());
        }
    }
}
