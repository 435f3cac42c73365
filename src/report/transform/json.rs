//! All figures of all rows, as `docs/json.md` describes them.

use serde::Serialize;
use std::io::{self, Write};

use super::Transform;
use crate::analysis::{Figures, Gap, Sum};
use crate::model::{Losses, Note, Tid};
use crate::report::estimates::Estimates;
use crate::report::json;
use crate::report::profile::{Profile, Row};
use crate::report::view::View;

/// Of this description. A key that keeps its name keeps its meaning within a version.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Head<'p> {
    version: u32,
    view: &'static str,
    temporary_within: u32,
    from_ns: u64,
    to_ns: u64,
    pid: u32,
    command_line: &'p [String],
    host: &'p str,
    python_version: &'p str,
    python_allocator: &'p str,
    domains: bool,
    prof_version: &'p str,
    start_time: String,
    duration_ns: u64,
    end_reason: &'static str,
    peak_time_ns: u64,
    total: Views,
    lost_events: u64,
    losses: Losses,
    gaps: Vec<GapText>,
    damaged_chunks: u64,
    unresolved_codes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Estimates>,
    notes: &'p [Note],
}

#[derive(Serialize)]
struct GapText {
    from_ns: u64,
    to_ns: u64,
    allocations: u64,
    frees: u64,
}

/// A row; its keys are those of the totals and of who and where it was.
#[derive(Serialize)]
struct RowText<'p> {
    allocator: &'static str,
    tid: u32,
    thread: u32,
    thread_name: &'p str,
    /// Where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    #[serde(flatten)]
    views: Views,
    stack: Vec<(&'p str, &'p str, u32)>,
}

#[derive(Serialize)]
struct Views {
    peak: SumText,
    leaks: SumText,
    late_leaks: SumText,
    temporary: SumText,
    allocations: SumText,
}

#[derive(Serialize)]
struct SumText {
    bytes: u64,
    blocks: u64,
}

/// One object; its keys and each of its rows on a line of their own.
pub(super) fn write(transform: &Transform<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let head = json::text(&head(transform))?;
    let open = head.strip_suffix('}').expect("an object");
    write!(out, "{open},\n\"rows\":[")?;
    let mut comma = "";
    for row in transform.rows_of_all_views() {
        write!(out, "{comma}\n{}", json::text(&row_text(transform.profile, row))?)?;
        comma = ",";
    }
    writeln!(out, "\n]}}")
}

fn head<'p>(transform: &Transform<'p, '_>) -> Head<'p> {
    let profile = transform.profile;
    let (metadata, whole) = (profile.metadata, &profile.completeness);
    let (from_ns, to_ns) = transform.range_ns();
    Head {
        version: VERSION,
        view: transform.view.name(),
        temporary_within: profile.temporary_within,
        from_ns,
        to_ns,
        pid: metadata.pid,
        command_line: &metadata.command_line,
        host: &metadata.host,
        python_version: &metadata.python.version,
        python_allocator: &metadata.python.allocator,
        domains: metadata.domains,
        prof_version: &metadata.prof_version,
        start_time: json::time(metadata.started_unix_ns),
        duration_ns: whole.duration_ns,
        end_reason: whole.end_reason.name(),
        peak_time_ns: profile.nanos(profile.totals.peak_at),
        total: Views::new(|view| profile.total(view)),
        lost_events: profile.lost_events(),
        losses: whole.losses,
        gaps: profile.gaps().iter().map(|gap| gap_text(profile, gap)).collect(),
        damaged_chunks: whole.damaged_chunks,
        unresolved_codes: whole.unresolved_codes,
        sampled: Estimates::of(profile),
        notes: profile.notes,
    }
}

fn gap_text(profile: &Profile<'_>, gap: &Gap) -> GapText {
    let [from_ns, to_ns] = [gap.from, gap.to].map(|at| profile.nanos(at));
    GapText { from_ns, to_ns, allocations: gap.allocations, frees: gap.frees }
}

fn row_text<'p>(profile: &'p Profile<'_>, row: &Row) -> RowText<'p> {
    let Tid(tid) = profile.threads.tid(row.thread);
    let process = profile.threads.process(row.thread);
    let is_one_of_several = !profile.processes.is_single();
    RowText {
        allocator: row.kind.name(),
        tid,
        thread: row.thread.0,
        thread_name: profile.threads.name(row.thread),
        pid: profile.processes.pid(process).filter(|_| is_one_of_several),
        process: is_one_of_several.then_some(process.0),
        views: Views::of(&row.figures),
        stack: profile.frames(row.stack).map(|place| (&*place.function, place.file, place.line)).collect(),
    }
}

impl Views {
    fn of(figures: &Figures) -> Views {
        Views::new(|view| view.of(figures))
    }

    fn new(sum: impl Fn(View) -> Sum) -> Views {
        let sum = |view| {
            let Sum { bytes, blocks } = sum(view);
            SumText { bytes, blocks }
        };
        Views {
            peak: sum(View::Peak),
            leaks: sum(View::Leaks),
            late_leaks: sum(View::LateLeaks),
            temporary: sum(View::Temporary),
            allocations: sum(View::Allocations),
        }
    }
}
