//! `prof stats` for people.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use super::{HeldSite, StatsReport};
use crate::analysis::Sum;
use crate::model::{EndReason, MallocArena};
use crate::report::place::{NO_PYTHON, Place, tail};
use crate::report::plain::Plain;
use crate::report::resident::{Ends, Growth};
use crate::report::units::{bytes, count, duration, plural};
use crate::report::view::View;
use crate::report::{estimates, small_objects};

/// Frames shown of a stack.
const FRAMES: usize = 8;
/// Processes shown, those that allocated most.
const PROCESSES: usize = 20;
/// Gaps shown, the longest.
const GAPS: usize = 5;
/// Notes shown of each capture.
const NOTES: usize = 20;
const BAR_WIDTH: u64 = 32;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPARK_WIDTH: usize = 60;

pub(super) fn write(report: &StatsReport<'_>, width: usize, out: &mut dyn Write) -> io::Result<()> {
    write_head(report, out)?;
    write_completeness(report, out)?;
    write_totals(report, out)?;
    write_processes(report, out)?;
    write_resident(report, out)?;
    write_sizes(report, out)?;
    write_kinds(report, out)?;
    let mut page = Page { width, out };
    write_top("Top locations by size", &report.top_by_size, bytes, &mut page)?;
    write_top("Top locations by number of allocations", &report.top_by_count, count, &mut page)?;
    write_modules("Top modules by size", &report.modules_by_size, bytes, &mut page)?;
    write_modules("Top modules by number of allocations", &report.modules_by_count, count, &mut page)?;
    write_temporary(report, &mut page)?;
    write_peak(report, &mut page)?;
    write_leaks(report, &mut page)
}

/// Where there are several.
fn write_processes(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    if report.processes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nProcesses: {}", report.processes.len())?;
    writeln!(
        out,
        "  {:>8}  {:>8}  {:>12}  {:>12}  {:>12}  {:>12}",
        "process", "pid", "allocations", "allocated", "at the peak", "at the end"
    )?;
    for sums in report.processes.iter().take(PROCESSES) {
        let number = format!("#{}", sums.process);
        let [allocated, peak, held] = [sums.bytes, sums.peak_bytes, sums.held_bytes].map(bytes);
        let (pid, blocks) = (sums.pid, count(sums.allocations));
        writeln!(
            out,
            "  {number:>8}  {pid:>8}  {blocks:>12}  {allocated:>12}  {peak:>12}  {held:>12}{}",
            sums.fate()
        )?;
    }
    match report.processes.len().saturating_sub(PROCESSES) {
        0 => Ok(()),
        more => writeln!(out, "  … and {more} that allocated less"),
    }
}

/// Where lines are shortened.
struct Page<'o> {
    width: usize,
    out: &'o mut dyn Write,
}

impl Page<'_> {
    /// A place behind so many columns.
    fn place(&self, place: &Place<'_>, indent: usize) -> String {
        place.short(self.width.saturating_sub(indent))
    }

    /// The same where there may be none.
    fn place_or_none(&self, place: Option<&Place<'_>>, indent: usize) -> String {
        place.map_or_else(|| NO_PYTHON.to_owned(), |place| self.place(place, indent))
    }
}

fn write_peak(report: &StatsReport<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let peak = report.profile.totals.peak_bytes;
    writeln!(page.out, "\nTop allocation sites at the peak of {}", bytes(peak))?;
    if report.peak_sites.is_empty() {
        writeln!(page.out, "  none")?;
    }
    report.peak_sites.iter().try_for_each(|site| write_site(site, peak, page))
}

fn write_leaks(report: &StatsReport<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let leaked = report.profile.total(View::Leaks);
    let title = match report.profile.gaps().is_empty() {
        true => format!("Leaked: {} not freed by the end", bytes(leaked.bytes)),
        false => format!(
            "Leaked: at most {} not freed by the end, {} of it allocated after the last gap",
            bytes(leaked.bytes),
            bytes(report.profile.total(View::LateLeaks).bytes)
        ),
    };
    writeln!(page.out, "\n{title}")?;
    if report.live_sites.is_empty() {
        writeln!(page.out, "  none")?;
    }
    report.live_sites.iter().try_for_each(|site| write_site(site, leaked.bytes, page))
}

fn write_temporary(report: &StatsReport<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let Sum { bytes: size, blocks } = report.profile.total(View::Temporary);
    let within = plural(report.profile.temporary_within.into(), "further allocation");
    let title = format!("Temporary: {} in {}, freed within {within}", bytes(size), plural(blocks, "block"));
    write_top(&title, &report.temporary, bytes, page)
}

fn write_modules(
    title: &str,
    top: &[(String, u64)],
    unit: fn(u64) -> String,
    page: &mut Page<'_>,
) -> io::Result<()> {
    writeln!(page.out, "\n{title}")?;
    for (name, value) in top {
        let name = tail(&Plain(name).to_string(), page.width.saturating_sub(16));
        writeln!(page.out, "  {:>12}  {name}", unit(*value))?;
    }
    if top.is_empty() { writeln!(page.out, "  none") } else { Ok(()) }
}

fn write_head(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let metadata = report.profile.metadata;
    let python = &metadata.python;
    let started = UNIX_EPOCH + Duration::from_nanos(metadata.started_unix_ns);
    writeln!(out, "Recording of pid {}: {}", metadata.pid, Plain(&metadata.command_line.join(" ")))?;
    writeln!(
        out,
        "  {} {}, {}; {} on {}",
        Plain(&python.implementation),
        Plain(&python.version),
        Plain(&python.allocator),
        Plain(&metadata.libc),
        Plain(&metadata.host)
    )?;
    writeln!(
        out,
        "  {}, {}; ended: {}",
        humantime::format_rfc3339_seconds(started),
        duration(report.profile.completeness.duration_ns),
        report.profile.completeness.end_reason.name().replace('_', " ")
    )
}

fn write_completeness(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let lost = report.profile.lost_events();
    let pause = duration(report.profile.completeness.longest_pause_us.saturating_mul(1000));
    let complete = lost == 0
        && report.profile.completeness.damaged_chunks == 0
        && report.profile.completeness.end_reason != EndReason::Unfinished;
    match complete {
        true => writeln!(out, "  complete: no event lost; longest pause {pause}")?,
        false => writeln!(
            out,
            "  INCOMPLETE: {} lost in {}, {} damaged; longest pause {pause}",
            plural(lost, "event"),
            plural(report.profile.gaps().len() as u64, "gap"),
            plural(report.profile.completeness.damaged_chunks, "chunk")
        )?,
    }
    for gap in report.longest_gaps(GAPS) {
        writeln!(out, "  gap: {}", report.tell_gap(&gap))?;
    }
    for (value, thing, text) in [
        (report.unproven_lost_frees(), "free", "missing: what is shown as held may be freed"),
        (report.profile.completeness.losses.unwritten, "event", "missing at the end: the disk was full"),
        (report.profile.completeness.losses.truncated_stacks, "stack", "cut at the root"),
        (report.profile.completeness.losses.unreadable_stacks, "stack", "that could not be read"),
        (report.profile.completeness.unresolved_codes as u64, "function", "without a description"),
        (report.profile.completeness.losses.cut_texts, "name or line table", "too long and cut"),
        (report.profile.totals.lost_frees, "free", "missing for certain: the block was allocated again"),
    ] {
        if value > 0 {
            writeln!(out, "  note: {} {text}", plural(value, thing))?;
        }
    }
    let native = report.profile.native.map(|native| native.told());
    for (value, text) in native.into_iter().flatten().filter(|(value, _)| *value > 0) {
        writeln!(out, "  note: {} {text}", plural(value, "allocation"))?;
    }
    if let Some([first, second]) = estimates::told(&report.profile) {
        writeln!(out, "  note: {first}\n        {second}")?;
    }
    if let Some(text) = small_objects::seen_only_as(report.profile.metadata) {
        writeln!(out, "  note: {text}\n        {}", small_objects::REMEDY)?;
    }
    for note in report.profile.notes.iter().take(NOTES) {
        writeln!(out, "  note ({}): {}", note.kind.name().replace('_', " "), Plain(&note.text))?;
    }
    match report.profile.notes.len().saturating_sub(NOTES) {
        0 => Ok(()),
        more => writeln!(out, "  and {} more", plural(more as u64, "note")),
    }
}

fn write_totals(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let totals = &report.profile.totals;
    let (peak, at) = (totals.peak_bytes, totals.peak_at);
    let when =
        if peak > 0 { format!(" after {}", duration(report.profile.nanos(at))) } else { String::new() };
    let (live, blocks) = (totals.live.bytes, totals.live.blocks);
    writeln!(out)?;
    for (label, value) in [
        ("Allocations", count(totals.allocations())),
        ("Deallocations", count(totals.deallocations())),
        ("Older blocks freed", count(totals.unmatched_frees)),
        ("Bytes allocated", bytes(totals.made.bytes)),
        ("Peak", bytes(peak) + &when),
        ("Live at the end", format!("{} in {}", bytes(live), plural(blocks, "block"))),
        ("Thread stacks", bytes(totals.stack_bytes)),
        ("Live over time", sparkline(totals.timeline.intervals().0)),
    ] {
        writeln!(out, "{label:<19}{value}")?;
    }
    Ok(())
}

fn write_resident(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let resident = &report.profile.resident;
    let Some(Ends { first, last, .. }) = resident.ends() else { return Ok(()) };
    writeln!(out, "\nResident set       {} at the attach, {} at the end", bytes(first), bytes(last))?;
    for (label, value) in resident.explained().map(|explained| explained.rows()).into_iter().flatten() {
        writeln!(out, "  {label:<17}{}", bytes(value))?;
    }
    for Growth { category, first, last, .. } in resident.growth() {
        let category = Plain(category).to_string().replace('_', " ");
        writeln!(out, "  {category:<17}{:>12} → {:>12}", bytes(*first), bytes(*last))?;
    }
    if let Some((arenas, MallocArena { system_bytes, free_bytes, is_partial, .. })) = resident.malloc() {
        writeln!(
            out,
            "  {:<17}{} with {} from the system, {}{} of it free",
            "malloc",
            plural(arenas as u64, "arena"),
            bytes(system_bytes),
            if is_partial { "at least " } else { "" },
            bytes(free_bytes)
        )?;
    }
    match resident.pymalloc() {
        Some((_, last)) => writeln!(
            out,
            "  {:<17}{}, {} of {} pools used",
            "pymalloc",
            plural(last.arenas, "arena"),
            count(last.used_pools),
            count(last.used_pools.saturating_add(last.free_pools))
        ),
        None if resident.explained().is_some() => writeln!(out, "  {:<17}arenas unknown", "pymalloc"),
        None => Ok(()),
    }
}

/// The most of each part, scaled to the most of all.
fn sparkline(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let width = values.len().min(SPARK_WIDTH);
    let part = |n: usize| &values[n * values.len() / width..(n + 1) * values.len() / width];
    let height = |part: &[u64]| part.iter().copied().max().unwrap_or(0) as f64 / most;
    (0..width).map(|n| SPARKS[(height(part(n)) * 7.0).round() as usize]).collect()
}

fn write_sizes(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nSizes")?;
    let most = report.bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
    let digits = count(most).len();
    for bin in &report.bins {
        let width = (u128::from(bin.count) * u128::from(BAR_WIDTH)).div_ceil(u128::from(most)) as usize;
        let line =
            format!("  ≤ {:>10}  {:>digits$}  {}", bytes(bin.max_bytes), count(bin.count), "█".repeat(width));
        writeln!(out, "{}", line.trim_end())?;
    }
    if report.bins.is_empty() { writeln!(out, "  none") } else { Ok(()) }
}

fn write_kinds(report: &StatsReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nBy allocator")?;
    for &(kind, n) in &report.by_kind {
        writeln!(out, "  {:<16}{:>16}", kind.name(), count(n))?;
    }
    if report.by_kind.is_empty() { writeln!(out, "  none") } else { Ok(()) }
}

fn write_top(
    title: &str,
    top: &[(Option<Place<'_>>, u64)],
    unit: fn(u64) -> String,
    page: &mut Page<'_>,
) -> io::Result<()> {
    writeln!(page.out, "\n{title}")?;
    for (place, value) in top {
        let place = page.place_or_none(place.as_ref(), 16);
        writeln!(page.out, "  {:>12}  {place}", unit(*value))?;
    }
    if top.is_empty() { writeln!(page.out, "  none") } else { Ok(()) }
}

fn write_site(site: &HeldSite<'_>, peak: u64, page: &mut Page<'_>) -> io::Result<()> {
    const INDENT: usize = 24;
    let percent = site.bytes as f64 * 100.0 / peak.max(1) as f64;
    let leaf = page.place_or_none(site.stack.first(), INDENT);
    writeln!(page.out, "  {:>12} {percent:>5.1} %  {leaf}", bytes(site.bytes))?;
    let when = site.when.map_or(String::new(), |when| format!(", {}", when.tell()));
    writeln!(page.out, "{:INDENT$}{}{when}", "", plural(site.blocks, "block"))?;
    for place in site.stack.iter().skip(1).take(FRAMES - 1) {
        let place = page.place(place, INDENT);
        writeln!(page.out, "{:INDENT$}{place}", "")?;
    }
    match site.stack.len().saturating_sub(FRAMES) {
        0 => Ok(()),
        more => writeln!(page.out, "{:INDENT$}… {} more", "", plural(more as u64, "frame")),
    }
}
