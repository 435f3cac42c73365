//! The resident set over a recording: its ends, how it grew, what explains it.

mod explained;
mod growth;

use serde::Serialize;

pub(super) use self::explained::Explained;
pub(super) use self::growth::Growth;
use self::growth::growth;
use crate::analysis::{Looks, Occupied};
use crate::model::{MallocArena, Pymalloc, RssSample};

/// The samples of a capture, and what was live at the first and the last of them.
#[derive(Debug, Default)]
pub(super) struct ResidentReport {
    ends: Option<Ends>,
    peak_bytes: u64,
    explained: Option<Explained>,
    growth: Vec<Growth>,
    span_ns: u64,
    pymalloc: Option<(Pymalloc, Pymalloc)>,
    malloc: Option<(Vec<MallocArena>, Vec<MallocArena>)>,
}

/// The resident set at the first and the last sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub first: u64,
    pub last: u64,
}

impl ResidentReport {
    /// `occupied` is what was live at the moments of the two [`Looks`].
    pub fn new(samples: &[RssSample], occupied: &[Occupied]) -> ResidentReport {
        let known = |sample: &&RssSample| sample.resident_bytes > 0;
        let (Some(first), Some(last)) = (samples.iter().find(known), samples.iter().rfind(known)) else {
            return ResidentReport::default();
        };
        let report = ResidentReport {
            ends: Some(Ends { first: first.resident_bytes, last: last.resident_bytes }),
            peak_bytes: samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or(0),
            ..ResidentReport::default()
        };
        match (Looks::of(samples), occupied) {
            (Some(Looks { first, last }), [then, now]) => ResidentReport {
                ends: Some(Ends { first: first.resident_bytes, last: last.resident_bytes }),
                explained: Some(Explained::new(first, then, last, now)),
                span_ns: last.t_ns.saturating_sub(first.t_ns),
                growth: growth(first, last),
                pymalloc: first.pymalloc.clone().zip(last.pymalloc.clone()),
                malloc: arenas(first).zip(arenas(last)),
                ..report
            },
            _ => report,
        }
    }

    pub fn ends(&self) -> Option<Ends> {
        self.ends
    }

    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    pub fn explained(&self) -> Option<Explained> {
        self.explained
    }

    /// Most first.
    pub fn growth(&self) -> &[Growth] {
        &self.growth
    }

    /// The time over which growth was measured.
    pub fn span_ns(&self) -> u64 {
        self.span_ns
    }

    /// At the first and at the last look.
    pub fn pymalloc(&self) -> Option<(&Pymalloc, &Pymalloc)> {
        self.pymalloc.as_ref().map(|(first, last)| (first, last))
    }

    /// The arenas of malloc at the last look, added up.
    pub fn malloc(&self) -> Option<(usize, MallocArena)> {
        let (_, last) = self.malloc.as_ref()?;
        let sum = |sum: MallocArena, arena: &MallocArena| MallocArena {
            system_bytes: sum.system_bytes.saturating_add(arena.system_bytes),
            top_bytes: sum.top_bytes.saturating_add(arena.top_bytes),
            free_bytes: sum.free_bytes.saturating_add(arena.free_bytes),
            is_partial: sum.is_partial || arena.is_partial,
        };
        Some((last.len(), last.iter().fold(MallocArena::default(), sum)))
    }
}

fn arenas(sample: &RssSample) -> Option<Vec<MallocArena>> {
    (!sample.malloc_arenas.is_empty()).then(|| sample.malloc_arenas.clone())
}

/// As JSON has it.
#[derive(Serialize)]
pub(super) struct ResidentSet<'a> {
    at_attach_bytes: u64,
    at_end_bytes: u64,
    peak_bytes: u64,
    explained: Option<Explained>,
    span_ns: u64,
    categories: &'a [Growth],
    pymalloc: Option<Both<'a, Pymalloc>>,
    malloc_arenas: Option<Both<'a, [MallocArena]>>,
}

/// At the first and at the last look.
#[derive(Serialize)]
struct Both<'a, T: ?Sized> {
    first: &'a T,
    last: &'a T,
}

impl<'a> ResidentSet<'a> {
    /// `None` if the capture has no sample.
    pub fn of(report: &'a ResidentReport) -> Option<ResidentSet<'a>> {
        let Ends { first, last } = report.ends?;
        Some(ResidentSet {
            at_attach_bytes: first,
            at_end_bytes: last,
            peak_bytes: report.peak_bytes,
            explained: report.explained,
            span_ns: report.span_ns,
            categories: &report.growth,
            pymalloc: report.pymalloc().map(|(first, last)| Both { first, last }),
            malloc_arenas: report
                .malloc
                .as_ref()
                .map(|(first, last)| Both { first: &**first, last: &**last }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;

    fn sample(t_ns: u64, resident_bytes: u64, parts: &[(&str, u64)]) -> RssSample {
        let parts = parts.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect();
        RssSample { t_ns, resident_bytes, parts, ..RssSample::default() }
    }

    fn idle() -> [Occupied; 2] {
        Default::default()
    }

    #[test]
    fn growth_is_by_the_minute() {
        let minute = 60_000_000_000;
        let first = [("files", 7), ("anonymous", 100), ("file:/x", 7), ("shared", 9), ("other", 0)];
        let samples = [sample(0, 100, &first), sample(2 * minute, 90, &[("files", 7), ("anonymous", 300)])];
        let report = ResidentReport::new(&samples, &idle());
        let growth: Vec<_> =
            report.growth().iter().map(|g| (g.category.as_str(), g.bytes_per_minute)).collect();
        assert_eq!(growth, [("anonymous", 100), ("files", 0), ("shared", -4)]);
    }

    #[test]
    fn counters_alone_explain_nothing() {
        let samples = [sample(0, 100, &[("rss_anon", 1)]), sample(1, 120, &[])];
        let report = ResidentReport::new(&samples, &[]);
        assert_eq!((report.ends(), report.explained()), (Some(Ends { first: 100, last: 120 }), None));
        assert_eq!(ResidentReport::new(&[], &[]).ends(), None);
    }

    /// What is live when a capture ends early has no extents to lie in.
    #[test]
    fn extents_are_compared_with_extents_only() {
        let mut samples = [sample(0, 100, &[("files", 1)]), sample(10, 130, &[("files", 1)])];
        samples[0].extents = vec![(0x1000, 100, 100)];
        let looks = Looks::of(&samples).expect("two looks");
        assert!(looks.moments(&Clock::default()).iter().all(|(_, extents)| extents.is_empty()));
        let explained = ResidentReport::new(&samples, &idle()).explained().expect("two looks");
        assert_eq!((explained.baseline_bytes, explained.neither_bytes), (100, 30));
    }
}
