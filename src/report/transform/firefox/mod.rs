//! A processed profile of the Firefox Profiler, <https://profiler.firefox.com>.
//!
//! Each thread has what it allocated as native allocations in bytes; if blocks are asked
//! for, as samples that count. All are at one moment, that of the peak or the end, for the
//! view is of one moment. The heap over time is a counter, gaps are markers of the first thread.
//!
//! ```text
//!  counter  ╱╲╱╲╱‾‾╲__╱╲       heap
//!  marker      gap ├──┤
//!  thread          ▲           allocations of the view
//! ```
//!
//! Version 60 of the format is the first in which threads share stacks; newer readers
//! upgrade it. The format is described by `src/types/profile.ts` of firefox-devtools/profiler.

mod shared;
mod thread;

use serde::Serialize;
use std::io::{self, Write};

use self::shared::{Shared, Texts};
use self::thread::{Thread, threads};
use super::tree::Tree;
use super::{Transform, plain};
use crate::model::Tick;
use crate::report::view::View;

const FORMAT_VERSION: u32 = 60;
/// Of the profiler in Firefox, when that version was made.
const GECKO_VERSION: u32 = 32;
/// Between samples, of which there are none: as short as it can be.
const INTERVAL_MS: f64 = 1.0;
/// The name of gaps, as text and as schema.
const GAP: &str = "Gap";

#[derive(Serialize)]
struct File<'f> {
    meta: Meta,
    libs: [(); 0],
    pages: [(); 0],
    counters: [Counter; 1],
    shared: Shared<'f>,
    threads: &'f [Thread],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    interval: f64,
    start_time: f64,
    profiling_start_time: f64,
    profiling_end_time: f64,
    process_type: u32,
    product: String,
    stackwalk: u32,
    version: u32,
    preprocessed_profile_version: u32,
    categories: [Category; 1],
    symbolicated: bool,
    symbolication_not_supported: bool,
    imported_from: String,
    uses_only_one_stack_type: bool,
    source_code_is_not_on_searchfox: bool,
    marker_schema: [MarkerSchema; 1],
    extra: [Section; 1],
}

#[derive(Serialize)]
struct Category {
    name: &'static str,
    color: &'static str,
    subcategories: [&'static str; 1],
}

#[derive(Serialize)]
struct MarkerSchema {
    name: &'static str,
    display: [&'static str; 3],
    fields: [Field; 2],
}

#[derive(Serialize)]
struct Field {
    key: &'static str,
    label: &'static str,
    format: &'static str,
}

/// A part of what the profiler says of the recording.
#[derive(Serialize)]
struct Section {
    label: &'static str,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    label: String,
    format: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counter {
    name: &'static str,
    category: &'static str,
    description: &'static str,
    pid: String,
    main_thread_index: u32,
    samples: CounterSamples,
}

#[derive(Serialize)]
struct CounterSamples {
    time: Vec<f64>,
    /// By how many bytes it differs from the one before.
    count: Vec<i64>,
    length: usize,
}

pub(super) fn write(transform: &Transform<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let tree = Tree::new(&transform.profile.stacks, transform.rows());
    let mut texts = Texts::default();
    let gap = texts.number(GAP.to_owned());
    let shared = Shared::new(&tree, &mut texts);
    let threads = threads(transform, &tree, gap);
    let file = File {
        meta: meta(transform),
        libs: [],
        pages: [],
        counters: [counter(transform)],
        shared: shared.with(&texts),
        threads: &threads,
    };
    serde_json::to_writer(&mut *out, &file)?;
    writeln!(out)
}

fn meta(transform: &Transform<'_, '_>) -> Meta {
    let metadata = transform.profile.metadata;
    let (from, to) = transform.range_ns();
    let field = |key, label| Field { key, label, format: "integer" };
    Meta {
        interval: INTERVAL_MS,
        start_time: millis(metadata.started_unix_ns),
        profiling_start_time: millis(from),
        // What lies at the end does not lie in it.
        profiling_end_time: millis(to) + INTERVAL_MS,
        process_type: 0,
        product: transform.title(),
        stackwalk: 1,
        version: GECKO_VERSION,
        preprocessed_profile_version: FORMAT_VERSION,
        categories: [Category { name: "Other", color: "grey", subcategories: ["Other"] }],
        symbolicated: true,
        symbolication_not_supported: true,
        imported_from: format!("prof {}", plain(&metadata.prof_version)),
        uses_only_one_stack_type: true,
        source_code_is_not_on_searchfox: true,
        marker_schema: [MarkerSchema {
            name: GAP,
            display: ["marker-chart", "marker-table", "timeline-overview"],
            fields: [field("allocations", "Allocations missing"), field("frees", "Frees missing")],
        }],
        extra: [Section { label: "Completeness", entries: entries(transform) }],
    }
}

fn entries(transform: &Transform<'_, '_>) -> Vec<Entry> {
    let entry = |label: String, value| Entry { label, format: "string", value };
    let ended = transform.profile.completeness.end_reason.name().replace('_', " ");
    let caveats = (1..).zip(transform.caveats()).map(|(n, caveat)| entry(format!("Remark {n}"), caveat));
    [entry("Ended".to_owned(), ended)].into_iter().chain(caveats).collect()
}

/// The heap over time.
fn counter(transform: &Transform<'_, '_>) -> Counter {
    let profile = transform.profile;
    let (most, width) = profile.totals.timeline.intervals();
    let start = transform.window.map_or(profile.metadata.clock.origin_ticks, |(Tick(from), _)| from);
    let starts = (0..).map(|n: u64| Tick(start.saturating_add(n.saturating_mul(width))));
    let mut time: Vec<_> = starts.zip(most).map(|(at, _)| millis(profile.nanos(at))).collect();
    let before = std::iter::once(0).chain(most.iter().copied());
    let mut count: Vec<_> =
        most.iter().zip(before).map(|(now, before)| signed(*now) - signed(before)).collect();
    let end = millis(transform.range_ns().1);
    if time.last().is_some_and(|last| *last < end) {
        time.push(end);
        count.push(0);
    }
    Counter {
        name: "heap",
        category: "Memory",
        description: "Live heap that was allocated while recording",
        pid: profile.metadata.pid.to_string(),
        main_thread_index: 0,
        samples: CounterSamples { length: time.len(), time, count },
    }
}

/// The moment that the view is of, ns since the start.
fn moment_ns(transform: &Transform<'_, '_>) -> u64 {
    let (from, to) = transform.range_ns();
    match transform.view {
        View::Peak => transform.profile.nanos(transform.profile.totals.peak_at).clamp(from, to),
        _ => to,
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
