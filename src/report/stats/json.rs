//! `prof stats --json`: Memray's keys first, then ours. See `docs/json.md`.

use serde::{Serialize, Serializer};
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use super::StatsReport;
use crate::model::{Entry, Losses, Note};
use crate::report::json;
use crate::report::place::Place;
use crate::report::resident::ResidentSet;

#[derive(Serialize)]
struct Root<'a> {
    total_num_allocations: u64,
    total_bytes_allocated: u64,
    allocation_size_histogram: Vec<Bin>,
    #[serde(serialize_with = "as_map")]
    allocator_type_distribution: Vec<(&'static str, u64)>,
    top_allocations_by_size: Vec<BySize>,
    top_allocations_by_count: Vec<ByCount>,
    metadata: Metadata<'a>,
    lost_events: u64,
    gaps: Vec<Gap>,
    longest_pause_us: u64,
    end_reason: &'static str,
    entries: &'a [Entry],
    total_num_deallocations: u64,
    live_bytes: u64,
    live_blocks: u64,
    thread_stack_bytes: u64,
    peak_time_ns: u64,
    top_allocations_at_peak: Vec<AtPeak<'a>>,
    unmatched_frees: u64,
    proven_lost_frees: u64,
    losses: Losses,
    damaged_chunks: u64,
    unresolved_codes: usize,
    notes: &'a [Note],
    resident_set: Option<ResidentSet<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    start_time: String,
    end_time: String,
    duration_ns: u64,
    total_allocations: u64,
    peak_memory: u64,
    command_line: String,
    pid: u32,
    python_allocator: &'a str,
    domains: bool,
    python_version: &'a str,
    python_implementation: &'a str,
    allocator: &'a str,
    libc: &'a str,
    host: &'a str,
    prof_version: &'a str,
}

#[derive(Serialize)]
struct Bin {
    min_bytes: u64,
    max_bytes: u64,
    count: u64,
}

#[derive(Serialize)]
struct BySize {
    location: String,
    size: u64,
}

#[derive(Serialize)]
struct ByCount {
    location: String,
    count: u64,
}

#[derive(Serialize)]
struct Gap {
    from_ns: u64,
    to_ns: u64,
    allocations: u64,
    frees: u64,
}

#[derive(Serialize)]
struct AtPeak<'a> {
    size: u64,
    count: u64,
    stack: Vec<(&'a str, &'a str, u32)>,
}

pub(super) fn write(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", json::pretty(&root(report))?)
}

fn root<'a>(report: &'a StatsReport<'_>) -> Root<'a> {
    let stats = &report.stats;
    Root {
        total_num_allocations: stats.allocations(),
        total_bytes_allocated: stats.bytes(),
        allocation_size_histogram: bins(report),
        allocator_type_distribution: report.by_kind.iter().map(|&(kind, n)| (kind.name(), n)).collect(),
        top_allocations_by_size: map(&report.top_by_size, |location, size| BySize { location, size }),
        top_allocations_by_count: map(&report.top_by_count, |location, count| ByCount { location, count }),
        metadata: metadata(report),
        lost_events: report.lost_events(),
        gaps: report.gaps().iter().map(|gap| gap_of(report, gap)).collect(),
        longest_pause_us: report.longest_pause_us,
        end_reason: report.end_reason.name(),
        entries: &report.metadata.entries,
        total_num_deallocations: stats.deallocations(),
        live_bytes: stats.peak.live_bytes(),
        live_blocks: stats.peak.live_blocks(),
        thread_stack_bytes: stats.peak.stack_bytes(),
        peak_time_ns: report.nanos(stats.peak.peak().1),
        top_allocations_at_peak: at_peak(report),
        unmatched_frees: stats.live.unmatched_frees(),
        proven_lost_frees: stats.live.lost_frees(),
        losses: report.losses,
        damaged_chunks: report.damaged_chunks,
        unresolved_codes: report.unresolved_codes,
        notes: report.notes,
        resident_set: ResidentSet::of(&report.resident),
    }
}

fn metadata<'a>(report: &'a StatsReport<'_>) -> Metadata<'a> {
    let metadata = report.metadata;
    Metadata {
        start_time: time(metadata.started_unix_ns),
        end_time: time(report.end_unix_ns),
        duration_ns: report.duration_ns,
        total_allocations: report.stats.allocations(),
        peak_memory: report.stats.peak.peak().0,
        command_line: metadata.command_line.join(" "),
        pid: metadata.pid,
        python_allocator: &metadata.python.allocator,
        domains: metadata.domains,
        python_version: &metadata.python.version,
        python_implementation: &metadata.python.implementation,
        allocator: &metadata.allocator,
        libc: &metadata.libc,
        host: &metadata.host,
        prof_version: &metadata.prof_version,
    }
}

/// RFC 3339, UTC.
pub(super) fn time(unix_ns: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(unix_ns)).to_string()
}

fn bins(report: &StatsReport<'_>) -> Vec<Bin> {
    let bins = report.bins.iter();
    bins.map(|bin| Bin { min_bytes: bin.min_bytes, max_bytes: bin.max_bytes, count: bin.count }).collect()
}

fn gap_of(report: &StatsReport<'_>, gap: &crate::analysis::Gap) -> Gap {
    let (from_ns, to_ns) = (report.nanos(gap.from), report.nanos(gap.to));
    Gap { from_ns, to_ns, allocations: gap.allocations, frees: gap.frees }
}

fn map<T>(top: &[(Option<Place<'_>>, u64)], entry: impl Fn(String, u64) -> T) -> Vec<T> {
    let location = |place: &Option<Place<'_>>| match place {
        Some(place) => place.joined(),
        None => "<stack trace unavailable>".to_owned(),
    };
    top.iter().map(|(place, value)| entry(location(place), *value)).collect()
}

fn at_peak<'a>(report: &'a StatsReport<'_>) -> Vec<AtPeak<'a>> {
    let frame = |place: &'a Place<'_>| (&*place.function, place.file, place.line);
    let site = |site: &'a super::HeldSite<'_>| AtPeak {
        size: site.bytes,
        count: site.blocks,
        stack: site.stack.iter().map(frame).collect(),
    };
    report.peak_sites.iter().map(site).collect()
}

fn as_map<S: Serializer>(entries: &[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().copied())
}
