//! What explains the resident set.
//!
//! ```text
//!  at the attach   │ baseline ······················ │ prof │ recorded so far │
//!  at the end      │ baseline, what can be left of it │ prof │ recorded, live  │ neither │
//! ```
//!
//! Recorded blocks count with the size asked for, so where they were not all written
//! to, they explain too much and the baseline too little. What neither explains is
//! overhead of allocators, pages of files, and pages that were only touched since.

use hashbrown::HashMap;
use serde::Serialize;

use crate::analysis::{Levels, Ranges};
use crate::model::{MallocArena, Pymalloc, RssSample, StackId};

const NANOS_A_MINUTE: i128 = 60_000_000_000;

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

/// The last sample, divided up; the parts add up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Explained {
    /// By live blocks of the recording.
    pub recorded_bytes: u64,
    /// By what was resident at the attach.
    pub baseline_bytes: u64,
    /// By `prof` in the target.
    pub prof_bytes: u64,
    /// By nothing of these.
    pub neither_bytes: u64,
}

/// A category at the first and the last look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Growth {
    pub category: String,
    #[serde(rename = "first_bytes")]
    pub first: u64,
    #[serde(rename = "last_bytes")]
    pub last: u64,
    pub bytes_per_minute: i64,
}

impl ResidentReport {
    /// `levels` has the live bytes at each sample.
    pub fn new(samples: &[RssSample], levels: &Levels) -> ResidentReport {
        let known = |sample: &&RssSample| sample.resident_bytes > 0;
        let whole: Vec<_> = samples.iter().enumerate().filter(|(_, sample)| is_whole(sample)).collect();
        let (Some(first), Some(last)) = (samples.iter().find(known), samples.iter().rfind(known)) else {
            return ResidentReport::default();
        };
        let mut report = ResidentReport {
            ends: Some(Ends { first: first.resident_bytes, last: last.resident_bytes }),
            peak_bytes: samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or(0),
            ..ResidentReport::default()
        };
        if let (Some(&(at_first, first)), Some(&(at_last, last))) = (whole.first(), whole.last()) {
            report.ends = Some(Ends { first: first.resident_bytes, last: last.resident_bytes });
            report.explained = Some(explain(first, levels.at(at_first), last, levels.at(at_last)));
            report.span_ns = last.t_ns.saturating_sub(first.t_ns);
            report.growth = growth(first, last);
            report.pymalloc = first.pymalloc.clone().zip(last.pymalloc.clone());
            report.malloc = arenas(first).zip(arenas(last));
        }
        report
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

    /// Bytes of live mappings that are arenas for certain, by who mapped them.
    pub fn arena_bytes(&self, mappings: &Ranges) -> HashMap<StackId, u64> {
        let ranges = self.pymalloc.as_ref().map_or(&[][..], |(_, last)| &last.ranges);
        let mut bytes: HashMap<StackId, u64> = HashMap::new();
        for (start, piece) in mappings.iter() {
            let next = ranges.partition_point(|&(arena, length)| arena.saturating_add(length) <= start);
            let is_arena =
                |&(arena, length): &(u64, u64)| arena <= start && piece.end <= arena.saturating_add(length);
            if ranges.get(next).is_some_and(is_arena) {
                let sum = bytes.entry(piece.stack).or_default();
                *sum = sum.saturating_add(piece.end - start);
            }
        }
        bytes
    }
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
}

/// Whether a sample has categories, or only the kernel's counters.
fn is_whole(sample: &RssSample) -> bool {
    sample.resident_bytes > 0 && sample.parts.contains_key("files")
}

fn arenas(sample: &RssSample) -> Option<Vec<MallocArena>> {
    (!sample.malloc_arenas.is_empty()).then(|| sample.malloc_arenas.clone())
}

fn explain(first: &RssSample, live_first: u64, last: &RssSample, live_last: u64) -> Explained {
    let prof = |sample: &RssSample| sample.parts.get("prof").copied().unwrap_or(0).min(sample.resident_bytes);
    let before = (first.resident_bytes - prof(first)).saturating_sub(live_first);
    let prof_bytes = prof(last);
    let rest = last.resident_bytes - prof_bytes;
    let recorded_bytes = live_last.min(rest);
    let baseline_bytes = before.min(rest - recorded_bytes);
    let neither_bytes = rest - recorded_bytes - baseline_bytes;
    Explained { recorded_bytes, baseline_bytes, prof_bytes, neither_bytes }
}

fn growth(first: &RssSample, last: &RssSample) -> Vec<Growth> {
    let span_ns = i128::from(last.t_ns.saturating_sub(first.t_ns)).max(1);
    let names = first.parts.keys().chain(last.parts.keys().filter(|name| !first.parts.contains_key(*name)));
    let of = |sample: &RssSample, name: &str| sample.parts.get(name).copied().unwrap_or(0);
    let mut growth: Vec<_> = names
        .filter(|name| !name.contains(':'))
        .map(|name| {
            let (first, last) = (of(first, name), of(last, name));
            let a_minute = (i128::from(last) - i128::from(first)) * NANOS_A_MINUTE / span_ns;
            let bytes_per_minute = a_minute.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
            Growth { category: name.clone(), first, last, bytes_per_minute }
        })
        .filter(|growth| growth.first > 0 || growth.last > 0)
        .collect();
    growth.sort_by(|a, b| {
        (b.bytes_per_minute, b.last)
            .cmp(&(a.bytes_per_minute, a.last))
            .then_with(|| a.category.cmp(&b.category))
    });
    growth
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
    use crate::analysis::Piece;
    use crate::model::{Kind, Tick};

    fn sample(t_ns: u64, resident_bytes: u64, parts: &[(&str, u64)]) -> RssSample {
        let parts = parts.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect();
        RssSample { t_ns, resident_bytes, parts, ..RssSample::default() }
    }

    /// Recorded, baseline, prof, neither at the end of a recording in which live
    /// bytes were 0 at the attach.
    fn check(first: u64, last: u64, live: u64, expected: [u64; 4]) {
        let samples = [sample(0, first, &[("files", 1)]), sample(10, last, &[("files", 1), ("prof", 5)])];
        let mut levels = Levels::new(vec![Tick(0), Tick(10)]);
        levels.add(Tick(9), live);
        let found = ResidentReport::new(&samples, &levels).explained().expect("two looks");
        let Explained { recorded_bytes, baseline_bytes, prof_bytes, neither_bytes } = found;
        assert_eq!([recorded_bytes, baseline_bytes, prof_bytes, neither_bytes], expected);
        assert_eq!(expected.iter().sum::<u64>(), last);
    }

    #[test]
    fn the_resident_set_is_divided_up() {
        check(100, 105, 0, [0, 100, 5, 0]);
        check(100, 135, 30, [30, 100, 5, 0]);
        check(100, 155, 30, [30, 100, 5, 20]);
        check(100, 85, 30, [30, 50, 5, 0]);
        check(100, 85, 1000, [80, 0, 5, 0]);
    }

    #[test]
    fn growth_is_by_the_minute() {
        let minute = NANOS_A_MINUTE as u64;
        let first = [("files", 7), ("anonymous", 100), ("file:/x", 7), ("shared", 9), ("other", 0)];
        let samples = [sample(0, 100, &first), sample(2 * minute, 90, &[("files", 7), ("anonymous", 300)])];
        let report = ResidentReport::new(&samples, &Levels::default());
        let growth: Vec<_> =
            report.growth().iter().map(|g| (g.category.as_str(), g.bytes_per_minute)).collect();
        assert_eq!(growth, [("anonymous", 100), ("files", 0), ("shared", -4)]);
    }

    #[test]
    fn counters_alone_explain_nothing() {
        let samples = [sample(0, 100, &[("rss_anon", 1)]), sample(1, 120, &[])];
        let report = ResidentReport::new(&samples, &Levels::default());
        assert_eq!((report.ends(), report.explained()), (Some(Ends { first: 100, last: 120 }), None));
        assert_eq!(ResidentReport::new(&[], &Levels::default()).ends(), None);
    }

    #[test]
    fn arenas_are_labelled_by_their_place() {
        let pymalloc = Pymalloc { ranges: vec![(100, 20), (200, 10)], ..Pymalloc::default() };
        let with = RssSample { pymalloc: Some(pymalloc), ..sample(0, 1, &[("files", 1)]) };
        let report = ResidentReport::new(&[with.clone(), with], &Levels::default());
        let mut mappings = Ranges::default();
        for (start, end) in [(90, 100), (110, 120), (195, 205), (205, 210), (300, 310)] {
            let stack = StackId(start as u32);
            mappings.insert(start, Piece { end, stack, kind: Kind::Mmap });
        }
        let mut found: Vec<_> = report.arena_bytes(&mappings).into_iter().collect();
        found.sort();
        assert_eq!(found, [(StackId(110), 10), (StackId(205), 5)]);
    }
}
