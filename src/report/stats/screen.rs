//! What somebody on call asks first, on one screen: at most 30 lines of 80 columns.

use std::io::{self, Write};

use super::{Churn, HeldSite, StatsReport};
use crate::analysis::Sum;
use crate::model::{EndReason, MallocArena};
use crate::report::place::{NO_PYTHON, Place};
use crate::report::plain::Plain;
use crate::report::resident::{Ends, Growth};
use crate::report::units::{bytes, count, duration, plural, signed_bytes};
use crate::report::view::View;
use crate::report::{estimates, small_objects};

const WIDTH: usize = 80;
/// Call sites that still hold memory, and that free it again.
const HELD: usize = 5;
const CHURN: usize = 3;
/// Growth within less time than this says nothing of a minute.
const SHORTEST_NS: u64 = 1_000_000_000;
/// A caller is not shortened to less than this.
const CALLER_MIN: usize = 24;

pub(super) fn write(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = head(report);
    lines.extend(resident(report));
    lines.push(heap(report));
    lines.push(String::new());
    lines.extend(held(report));
    lines.extend(churn(report));
    lines.extend(notes(report));
    lines.iter().try_for_each(|line| writeln!(out, "{}", fit(line, WIDTH)))
}

fn head(report: &StatsReport<'_>) -> Vec<String> {
    let metadata = report.profile.metadata;
    let is_whole = report.profile.lost_events() == 0
        && report.profile.completeness.damaged_chunks == 0
        && report.profile.completeness.end_reason != EndReason::Unfinished;
    let complete = match is_whole {
        true => format!("Complete: {}, nothing lost", plural(report.profile.totals.events, "event")),
        false => format!("INCOMPLETE: {}", missing(report)),
    };
    let pause = format!(
        "longest pause {}",
        duration(report.profile.completeness.longest_pause_us.saturating_mul(1000))
    );
    let mut lines = vec![
        format!("pid {}: {}", metadata.pid, Plain(&metadata.command_line.join(" "))),
        format!(
            "  Python {} on {}, recorded for {}; ended: {}",
            Plain(&metadata.python.version),
            Plain(&metadata.host),
            duration(report.profile.completeness.duration_ns),
            report.profile.completeness.end_reason.name().replace('_', " ")
        ),
    ];
    let both = format!("  {complete}; {pause}");
    match both.chars().count() <= WIDTH {
        true => lines.push(both),
        false => lines.extend([format!("  {complete};"), format!("  {pause}")]),
    }
    lines
}

/// What is recorded, and what is not.
fn missing(report: &StatsReport<'_>) -> String {
    let lost = report.profile.lost_events();
    let mut text = format!("{} and {} lost", plural(report.profile.totals.events, "event"), count(lost));
    for (value, thing, text_of) in [
        (report.profile.gaps().len() as u64, "gap", " in "),
        (report.profile.completeness.damaged_chunks, "damaged chunk", ", "),
    ] {
        if value > 0 {
            text += &format!("{text_of}{}", plural(value, thing));
        }
    }
    text
}

fn resident(report: &StatsReport<'_>) -> Vec<String> {
    let resident = &report.profile.resident;
    let Some(Ends { first, last }) = resident.ends() else {
        return vec!["Resident set   unknown".to_owned()];
    };
    let mut lines = vec![format!(
        "Resident set   {} at the attach, {} at the end, most {}",
        bytes(first),
        bytes(last),
        bytes(resident.peak_bytes())
    )];
    if let Some(explained) = resident.explained() {
        let percent = |part: u64| part as f64 * 100.0 / last.max(1) as f64;
        let row = |(label, part): (&str, u64)| format!("{label} {} ({:.0} %)", bytes(part), percent(part));
        let rows = explained.rows().map(row);
        lines.push(format!("  of it        {}, {},", rows[0], rows[1]));
        lines.push(format!("               {}, {}", rows[2], rows[3]));
    }
    lines.extend(growth(report));
    lines.extend(allocators(report));
    lines
}

/// On one line, or two.
fn growth(report: &StatsReport<'_>) -> Vec<String> {
    const LABEL: &str = "  a minute     ";
    let resident = &report.profile.resident;
    let is_target = |growth: &&Growth| growth.category != "prof" && growth.bytes_per_minute != 0;
    let one = |Growth { category, bytes_per_minute, .. }: &Growth| {
        let category = Plain(category).to_string().replace('_', " ");
        format!("{category} {}", signed_bytes(*bytes_per_minute))
    };
    let grown: Vec<_> = resident.growth().iter().filter(is_target).map(one).collect();
    let said = match (resident.growth().is_empty(), grown.is_empty()) {
        (true, _) => "by category: unknown".to_owned(),
        _ if resident.span_ns() < SHORTEST_NS => "too short a time to tell".to_owned(),
        (_, true) => format!("no growth in {}", duration(resident.span_ns())),
        _ => {
            let (first, rest) = join(LABEL, &grown);
            let (second, _) = join(&" ".repeat(LABEL.len()), rest);
            return if rest.is_empty() { vec![first] } else { vec![first + ",", second] };
        }
    };
    vec![format!("{LABEL}{said}")]
}

/// As many of `items` behind `start` as fit on the line with commas, and the others.
fn join<'t>(start: &str, items: &'t [String]) -> (String, &'t [String]) {
    let mut line = start.to_owned();
    for (index, item) in items.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        if line.chars().count() + separator.len() + item.chars().count() + ",".len() > WIDTH {
            return (line, &items[index..]);
        }
        line = line + separator + item;
    }
    (line, &[])
}

/// What malloc could give to somebody else, with what pymalloc has.
fn allocators(report: &StatsReport<'_>) -> Option<String> {
    let malloc = report.profile.resident.malloc().map(|(_, arena)| {
        let MallocArena { system_bytes, free_bytes, is_partial, .. } = arena;
        let at_least = if is_partial { "≥ " } else { "" };
        format!("malloc {}, {at_least}{} of it free", bytes(system_bytes), bytes(free_bytes))
    });
    let pymalloc = report.profile.resident.pymalloc().map(|(first, last)| {
        let grown = i128::from(last.arenas) - i128::from(first.arenas);
        format!("pymalloc {}, {grown:+}", plural(last.arenas, "arena"))
    });
    let said: Vec<_> = [malloc, pymalloc].into_iter().flatten().collect();
    (!said.is_empty()).then(|| format!("  allocators   {}", said.join("; ")))
}

fn heap(report: &StatsReport<'_>) -> String {
    let totals = &report.profile.totals;
    let (peak, at) = (totals.peak_bytes, totals.peak_at);
    let peak = match peak {
        0 => "nothing".to_owned(),
        _ => format!("{} at the peak after {}", bytes(peak), duration(report.profile.nanos(at))),
    };
    format!("Recorded heap  {peak}; {} freed", plural(totals.unmatched_frees, "older block"))
}

fn held(report: &StatsReport<'_>) -> Vec<String> {
    let held = report.profile.total(View::Leaks).bytes;
    let mut lines = vec![match report.profile.gaps().is_empty() {
        true => format!("Still holding memory: {} in all", bytes(held)),
        false => format!(
            "Still holding memory: at most {}, {} of it since the last gap",
            bytes(held),
            bytes(report.profile.total(View::LateLeaks).bytes)
        ),
    }];
    if report.live_sites.is_empty() {
        lines.push("  nothing".to_owned());
    }
    lines.extend(report.live_sites.iter().take(HELD).flat_map(|site| held_by(site, held)));
    lines
}

fn held_by(site: &HeldSite<'_>, held: u64) -> [String; 2] {
    let percent = site.bytes as f64 * 100.0 / held.max(1) as f64;
    let head = format!("{:>11} {percent:>5.1} %  ", bytes(site.bytes));
    let indent = head.chars().count();
    let leaf = site.stack.first().map_or(NO_PYTHON.to_owned(), |place| place.short(WIDTH - indent));
    let label = match site.arena_bytes {
        0 => String::new(),
        all if all >= site.bytes => " (pymalloc arenas)".to_owned(),
        part => format!(" ({} pymalloc arenas)", bytes(part)),
    };
    let when = site.when.map_or(String::new(), |when| format!(", {}", when.tell()));
    let blocks = format!("{:indent$}{}{label}{when}", "", plural(site.blocks, "block"));
    [head + &leaf, callers(blocks, site.stack.get(1..).unwrap_or_default())]
}

/// As many callers behind `line` as fit, the last of them shortened; a mark says that
/// there are more.
fn callers(mut line: String, stack: &[Place<'_>]) -> String {
    const MORE: &str = " …";
    for (index, place) in stack.iter().enumerate() {
        let mark = if index + 1 < stack.len() { MORE.chars().count() } else { 0 };
        let room = WIDTH.saturating_sub(line.chars().count() + " < ".len() + mark);
        if place.plain().chars().count() > room && room < CALLER_MIN {
            return line + MORE;
        }
        line = line + " < " + &place.short(room);
    }
    line
}

fn churn(report: &StatsReport<'_>) -> Vec<String> {
    let Sum { bytes: made, .. } = report.profile.total(View::Allocations);
    let soon = report.profile.total(View::Temporary).bytes as f64 * 100.0 / made.max(1) as f64;
    let mut lines = vec![format!("Allocated and freed again most; {soon:.0} % of all bytes freed at once")];
    let line = |Churn { bytes: size, blocks, place }: &Churn<'_>| {
        let head = format!("{:>11} {:>11}×  ", bytes(*size), count(*blocks));
        let room = WIDTH - head.chars().count();
        let place = place.as_ref().map_or(NO_PYTHON.to_owned(), |place| place.short(room));
        head + &place
    };
    lines.extend(report.churn.iter().take(CHURN).map(line));
    if report.churn.is_empty() {
        lines.push("  nothing".to_owned());
    }
    lines
}

fn notes(report: &StatsReport<'_>) -> Vec<String> {
    let gaps = report.longest_gaps(1);
    let mut lines: Vec<_> = gaps.iter().map(|gap| format!("Longest gap: {}", report.tell_gap(gap))).collect();
    if report.unproven_lost_frees() > 0 {
        let frees = plural(report.unproven_lost_frees(), "free");
        lines.push(format!("{frees} missing: what is shown as still held may be freed"));
    }
    lines.extend(estimates::told(&report.profile).into_iter().flatten());
    if let Some(text) = small_objects::seen_only_as(report.profile.metadata) {
        lines.extend([text.to_owned(), small_objects::REMEDY.to_owned()]);
    }
    let gone = report
        .profile
        .completeness
        .losses
        .truncated_stacks
        .saturating_add(report.profile.completeness.losses.unreadable_stacks);
    let soft = report.profile.notes.len() as u64;
    if gone > 0 || soft > 0 {
        let (stacks, notes) = (plural(gone, "stack"), plural(soft, "note"));
        lines.push(format!("{stacks} cut or unreadable, {notes}: `prof stats` tells."));
    }
    lines
}

/// Cut to `width` columns.
fn fit(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.trim_end().to_owned();
    }
    line.chars().take(width - 1).chain(['…']).collect()
}
