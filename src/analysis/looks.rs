//! The two looks at the resident set that reports compare.

use super::occupancy::Extent;
use crate::model::{Clock, RssSample, Tick};

/// The first and the last sample that has categories.
#[derive(Clone, Copy, Debug)]
pub struct Looks<'a> {
    /// At the attach.
    pub first: &'a RssSample,
    /// At the end, or the latest.
    pub last: &'a RssSample,
}

impl<'a> Looks<'a> {
    /// `None` if there was no look.
    pub fn of(samples: &'a [RssSample]) -> Option<Looks<'a>> {
        let is_look = |sample: &&RssSample| sample.resident_bytes > 0 && sample.parts.contains_key("files");
        Some(Looks { first: samples.iter().find(is_look)?, last: samples.iter().rfind(is_look)? })
    }

    /// When they were, and the extents in which memory is to be looked for.
    pub fn moments(self, clock: &Clock) -> [(Tick, Vec<Extent>); 2] {
        // A capture that was cut off has them at the attach only.
        let are_comparable = !self.first.extents.is_empty() && !self.last.extents.is_empty();
        [self.first, self.last].map(|look| {
            let extents = look.extents.iter().filter(|_| are_comparable);
            (clock.tick(look.t_ns), extents.map(|&(start, bytes, _)| (start, bytes)).collect())
        })
    }

    /// The arenas of CPython's small-object allocator at the last one, where both know them.
    pub fn arenas(self) -> &'a [Extent] {
        match (&self.first.pymalloc, &self.last.pymalloc) {
            (Some(_), Some(last)) => &last.ranges,
            _ => &[],
        }
    }
}
