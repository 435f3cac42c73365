//! `prof report --json`. See `docs/json.md`.

use serde::Serialize;
use std::io::{self, Write};

use super::when::When;
use super::{Churn, HeldSite, StatsReport};
use crate::analysis::Sum;
use crate::model::Losses;
use crate::report::estimates::Estimates;
use crate::report::json;
use crate::report::place::Place;
use crate::report::resident::ResidentSet;
use crate::report::view::View;

#[derive(Serialize)]
struct Root<'a> {
    pid: u32,
    command_line: &'a [String],
    python_version: &'a str,
    python_allocator: &'a str,
    domains: bool,
    host: &'a str,
    start_time: String,
    duration_ns: u64,
    end_reason: &'static str,
    events: u64,
    lost_events: u64,
    losses: Losses,
    gaps: usize,
    damaged_chunks: u64,
    longest_pause_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Estimates>,
    resident_set: Option<ResidentSet<'a>>,
    peak_bytes: u64,
    peak_time_ns: u64,
    live_bytes: u64,
    live_blocks: u64,
    unmatched_frees: u64,
    still_held: Vec<Held<'a>>,
    churn: Vec<Freed<'a>>,
    allocated: Sum,
    temporary: Sum,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_since_last_gap: Option<Sum>,
}

#[derive(Serialize)]
struct Held<'a> {
    bytes: u64,
    blocks: u64,
    arena_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    stack: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Freed<'a> {
    bytes: u64,
    blocks: u64,
    place: Option<Frame<'a>>,
}

type Frame<'a> = (&'a str, &'a str, u32);

pub(super) fn write(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", json::pretty(&root(report))?)
}

fn root<'a>(report: &'a StatsReport<'_>) -> Root<'a> {
    let (metadata, totals) = (report.profile.metadata, &report.profile.totals);
    let has_gaps = !report.profile.gaps().is_empty();
    Root {
        pid: metadata.pid,
        command_line: &metadata.command_line,
        python_version: &metadata.python.version,
        python_allocator: &metadata.python.allocator,
        domains: metadata.domains,
        host: &metadata.host,
        start_time: json::time(metadata.started_unix_ns),
        duration_ns: report.profile.completeness.duration_ns,
        end_reason: report.profile.completeness.end_reason.name(),
        events: totals.events,
        lost_events: report.profile.lost_events(),
        losses: report.profile.completeness.losses,
        gaps: report.profile.gaps().len(),
        damaged_chunks: report.profile.completeness.damaged_chunks,
        longest_pause_us: report.profile.completeness.longest_pause_us,
        sampled: Estimates::of(&report.profile),
        resident_set: ResidentSet::of(&report.profile.resident),
        peak_bytes: totals.peak_bytes,
        peak_time_ns: report.profile.nanos(totals.peak_at),
        live_bytes: totals.live.bytes,
        live_blocks: totals.live.blocks,
        unmatched_frees: totals.unmatched_frees,
        still_held: report.live_sites.iter().map(held).collect(),
        churn: report.churn.iter().map(freed).collect(),
        allocated: report.profile.total(View::Allocations),
        temporary: report.profile.total(View::Temporary),
        held_since_last_gap: has_gaps.then(|| report.profile.total(View::LateLeaks)),
    }
}

fn frame<'a>(place: &'a Place<'_>) -> Frame<'a> {
    (&place.function, place.file, place.line)
}

fn held<'a>(site: &'a HeldSite<'_>) -> Held<'a> {
    let HeldSite { bytes, blocks, arena_bytes, when, ref stack } = *site;
    Held { bytes, blocks, arena_bytes, when, stack: stack.iter().map(frame).collect() }
}

fn freed<'a>(churn: &'a Churn<'_>) -> Freed<'a> {
    Freed { bytes: churn.bytes, blocks: churn.blocks, place: churn.place.as_ref().map(frame) }
}
