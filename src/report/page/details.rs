//! What is said of a recording.

use serde::Serialize;

use crate::report::json;
use crate::report::profile::Profile;
use crate::report::{estimates, small_objects};

/// A recording in words and figures.
#[derive(Debug, Serialize)]
pub struct Details<'p> {
    file: &'p str,
    pid: u32,
    command_line: String,
    python_version: &'p str,
    python_allocator: &'p str,
    allocator: &'p str,
    libc: &'p str,
    host: &'p str,
    prof_version: &'p str,
    start_time: String,
    duration_ns: u64,
    end_reason: &'static str,
    events: u64,
    allocations: u64,
    deallocations: u64,
    allocated_bytes: u64,
    peak_bytes: u64,
    peak_time_ns: u64,
    live_bytes: u64,
    live_blocks: u64,
    unmatched_frees: u64,
    lost_events: u64,
    damaged_chunks: u64,
    longest_pause_us: u64,
    gaps: Vec<[u64; 4]>,
    notes: Vec<NoteText<'p>>,
    domains: bool,
    estimates: Option<String>,
    small_objects: Option<String>,
}

#[derive(Debug, Serialize)]
struct NoteText<'p> {
    kind: &'static str,
    text: &'p str,
}

impl<'p> Details<'p> {
    pub fn new(profile: &'p Profile<'_>, file: &'p str) -> Details<'p> {
        let (metadata, totals, whole) = (profile.metadata, &profile.totals, &profile.completeness);
        let gaps = profile.gaps().iter();
        let gaps =
            gaps.map(|gap| [profile.nanos(gap.from), profile.nanos(gap.to), gap.allocations, gap.frees]);
        let notes = profile.notes.iter().map(|note| NoteText { kind: note.kind.name(), text: &note.text });
        Details {
            file,
            pid: metadata.pid,
            command_line: metadata.command_line.join(" "),
            python_version: &metadata.python.version,
            python_allocator: &metadata.python.allocator,
            allocator: &metadata.allocator,
            libc: &metadata.libc,
            host: &metadata.host,
            prof_version: &metadata.prof_version,
            start_time: json::time(metadata.started_unix_ns),
            duration_ns: whole.duration_ns,
            end_reason: whole.end_reason.name(),
            events: totals.events,
            allocations: totals.allocations(),
            deallocations: totals.deallocations(),
            allocated_bytes: totals.made.bytes,
            peak_bytes: totals.peak_bytes,
            peak_time_ns: profile.nanos(totals.peak_at),
            live_bytes: totals.live.bytes,
            live_blocks: totals.live.blocks,
            unmatched_frees: totals.unmatched_frees,
            lost_events: profile.lost_events(),
            damaged_chunks: whole.damaged_chunks,
            longest_pause_us: whole.longest_pause_us,
            gaps: gaps.collect(),
            notes: notes.collect(),
            domains: metadata.domains,
            estimates: estimates::told(profile).map(|lines| lines.join(" ")),
            small_objects: small_objects::seen_only_as(metadata)
                .map(|text| format!("{text} {}", small_objects::REMEDY)),
        }
    }
}
