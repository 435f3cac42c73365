//! `prof stats --json`: Memray's keys first, then ours. See `docs/json.md`.

use serde::{Serialize, Serializer};
use std::io::{self, Write};

use super::processes::ProcessSums;
use super::when::When;
use super::{HeldSite, StatsReport};
use crate::analysis::Sum;
use crate::model::{Entry, Losses, Note};
use crate::report::estimates::Estimates;
use crate::report::json;
use crate::report::native::NativeCounts;
use crate::report::place::Place;
use crate::report::resident::ResidentSet;
use crate::report::view::View;

#[derive(Serialize)]
struct Root<'a> {
    total_num_allocations: u64,
    total_bytes_allocated: u64,
    allocation_size_histogram: Vec<Bin>,
    #[serde(serialize_with = "as_map")]
    allocator_type_distribution: Vec<(&'static str, u64)>,
    top_allocations_by_size: Vec<BySize>,
    top_allocations_by_count: Vec<ByCount>,
    top_modules_by_allocation_size: Vec<ModuleBySize<'a>>,
    top_modules_by_allocation_count: Vec<ModuleByCount<'a>>,
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
    top_allocations_at_peak: Vec<HeldBy<'a>>,
    leaks: Leaks<'a>,
    temporary: Temporary,
    unmatched_frees: u64,
    proven_lost_frees: u64,
    losses: Losses,
    damaged_chunks: u64,
    unresolved_codes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    native: Option<NativeCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Estimates>,
    notes: &'a [Note],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    processes: &'a [ProcessSums],
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
struct ModuleBySize<'a> {
    module: &'a str,
    size: u64,
}

#[derive(Serialize)]
struct ModuleByCount<'a> {
    module: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Leaks<'a> {
    bytes: u64,
    blocks: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_last_gap: Option<Sum>,
    top: Vec<HeldBy<'a>>,
}

#[derive(Serialize)]
struct Temporary {
    within: u32,
    bytes: u64,
    blocks: u64,
    top: Vec<BySize>,
}

#[derive(Serialize)]
struct Gap {
    from_ns: u64,
    to_ns: u64,
    allocations: u64,
    frees: u64,
}

#[derive(Serialize)]
struct HeldBy<'a> {
    size: u64,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    stack: Vec<(&'a str, &'a str, u32)>,
}

pub(super) fn write(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", json::pretty(&root(report))?)
}

fn root<'a>(report: &'a StatsReport<'_>) -> Root<'a> {
    let totals = &report.profile.totals;
    Root {
        total_num_allocations: totals.allocations(),
        total_bytes_allocated: totals.made.bytes,
        allocation_size_histogram: bins(report),
        allocator_type_distribution: report.by_kind.iter().map(|&(kind, n)| (kind.name(), n)).collect(),
        top_allocations_by_size: map(&report.top_by_size, |location, size| BySize { location, size }),
        top_allocations_by_count: map(&report.top_by_count, |location, count| ByCount { location, count }),
        top_modules_by_allocation_size: by_module(&report.modules_by_size, |module, size| ModuleBySize {
            module,
            size,
        }),
        top_modules_by_allocation_count: by_module(&report.modules_by_count, |module, count| ModuleByCount {
            module,
            count,
        }),
        metadata: metadata(report),
        lost_events: report.profile.lost_events(),
        gaps: report.profile.gaps().iter().map(|gap| gap_of(report, gap)).collect(),
        longest_pause_us: report.profile.completeness.longest_pause_us,
        end_reason: report.profile.completeness.end_reason.name(),
        entries: &report.profile.metadata.entries,
        total_num_deallocations: totals.deallocations(),
        live_bytes: totals.live.bytes,
        live_blocks: totals.live.blocks,
        thread_stack_bytes: totals.stack_bytes,
        peak_time_ns: report.profile.nanos(totals.peak_at),
        top_allocations_at_peak: sites(&report.peak_sites),
        leaks: leaks(report),
        temporary: temporary(report),
        unmatched_frees: totals.unmatched_frees,
        proven_lost_frees: totals.lost_frees,
        losses: report.profile.completeness.losses,
        damaged_chunks: report.profile.completeness.damaged_chunks,
        unresolved_codes: report.profile.completeness.unresolved_codes,
        native: report.profile.native,
        sampled: Estimates::of(&report.profile),
        notes: report.profile.notes,
        processes: &report.processes,
        resident_set: ResidentSet::of(&report.profile.resident),
    }
}

fn metadata<'a>(report: &'a StatsReport<'_>) -> Metadata<'a> {
    let metadata = report.profile.metadata;
    Metadata {
        start_time: json::time(metadata.started_unix_ns),
        end_time: json::time(report.profile.completeness.end_unix_ns),
        duration_ns: report.profile.completeness.duration_ns,
        total_allocations: report.profile.totals.allocations(),
        peak_memory: report.profile.totals.peak_bytes,
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

fn bins(report: &StatsReport<'_>) -> Vec<Bin> {
    let bins = report.bins.iter();
    bins.map(|bin| Bin { min_bytes: bin.min_bytes, max_bytes: bin.max_bytes, count: bin.count }).collect()
}

fn gap_of(report: &StatsReport<'_>, gap: &crate::analysis::Gap) -> Gap {
    let (from_ns, to_ns) = (report.profile.nanos(gap.from), report.profile.nanos(gap.to));
    Gap { from_ns, to_ns, allocations: gap.allocations, frees: gap.frees }
}

fn map<T>(top: &[(Option<Place<'_>>, u64)], entry: impl Fn(String, u64) -> T) -> Vec<T> {
    let location = |place: &Option<Place<'_>>| match place {
        Some(place) => place.joined(),
        None => "<stack trace unavailable>".to_owned(),
    };
    top.iter().map(|(place, value)| entry(location(place), *value)).collect()
}

fn by_module<'a, T>(top: &'a [(String, u64)], entry: impl Fn(&'a str, u64) -> T) -> Vec<T> {
    top.iter().map(|(module, value)| entry(module, *value)).collect()
}

fn leaks<'a>(report: &'a StatsReport<'_>) -> Leaks<'a> {
    let Sum { bytes, blocks } = report.profile.total(View::Leaks);
    let has_gaps = !report.profile.gaps().is_empty();
    let after_last_gap = has_gaps.then(|| report.profile.total(View::LateLeaks));
    Leaks { bytes, blocks, after_last_gap, top: sites(&report.live_sites) }
}

fn temporary(report: &StatsReport<'_>) -> Temporary {
    let Sum { bytes, blocks } = report.profile.total(View::Temporary);
    let top = map(&report.temporary, |location, size| BySize { location, size });
    Temporary { within: report.profile.temporary_within, bytes, blocks, top }
}

fn sites<'a>(sites: &'a [HeldSite<'_>]) -> Vec<HeldBy<'a>> {
    let frame = |place: &'a Place<'_>| (&*place.function, place.file, place.line);
    let site = |site: &'a HeldSite<'_>| HeldBy {
        size: site.bytes,
        count: site.blocks,
        when: site.when,
        stack: site.stack.iter().map(frame).collect(),
    };
    sites.iter().map(site).collect()
}

fn as_map<S: Serializer>(entries: &[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().copied())
}
