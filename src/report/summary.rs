//! `prof summary`: what each function held when the heap was largest.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use std::cmp::Reverse;
use std::io::{self, Write};

use super::Format;
use super::json;
use super::merged::Merged;
use super::place::{LineResolver, Place, Places};
use super::small_objects;
use super::units::{bytes, count};
use crate::analysis::Stats;
use crate::capture::Reader;
use crate::model::EndReason;

/// What the functions are sorted by, most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Bytes allocated by the function itself.
    #[default]
    Own,
    /// Bytes allocated by it and by what it called.
    Total,
    /// Blocks allocated by the function itself.
    Count,
}

/// The functions of a capture.
#[derive(Serialize)]
pub struct SummaryReport {
    peak_bytes: u64,
    peak_time_ns: u64,
    lost_events: u64,
    damaged_chunks: u64,
    end_reason: &'static str,
    domains: bool,
    #[serde(skip)]
    small_objects: Option<&'static str>,
    functions: Vec<Row>,
}

/// One function at the peak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    function: String,
    file: String,
    own_bytes: u64,
    total_bytes: u64,
    count: u64,
}

/// Bytes and blocks of its own, bytes in all.
#[derive(Clone, Copy, Default)]
struct Sums {
    own_bytes: u64,
    total_bytes: u64,
    count: u64,
}

/// A function's name and file; `None` where no Python ran.
type Key<'p> = Option<(&'p str, &'p str)>;

impl SummaryReport {
    /// Reads all events of a capture; `top` functions are kept.
    pub fn new(reader: &Reader, lines: LineResolver<'_>, order: Order, top: usize) -> SummaryReport {
        let metadata = reader.metadata();
        let mut stats = Stats::new(metadata);
        let mut events = reader.events();
        events.by_ref().for_each(|event| stats.add(&event));
        let merged = Merged::new(events.stacks(), &mut Places::new(reader, lines));
        let (peak_bytes, peak_at) = stats.peak.peak();
        let end = reader.end().cloned().unwrap_or_default();
        SummaryReport {
            peak_bytes,
            peak_time_ns: metadata.clock.nanos(peak_at),
            lost_events: end.losses.events().max(lost(&stats)),
            damaged_chunks: events.damaged_chunks().saturating_add(end.losses.chunks),
            end_reason: end.reason.name(),
            domains: metadata.domains,
            small_objects: small_objects::seen_only_as(metadata),
            functions: rows(&stats, &merged, order, top),
        }
    }

    /// A table, or one JSON object.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text { width } => self.write_text(width, out),
            Format::Json => writeln!(out, "{}", json::pretty(self)?),
        }
    }

    fn write_text(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let peak = self.peak_bytes;
        writeln!(out, "At the peak of {}", bytes(peak))?;
        if self.lost_events > 0 || self.damaged_chunks > 0 || self.end_reason == EndReason::Unfinished.name()
        {
            let lost = count(self.lost_events);
            writeln!(out, "INCOMPLETE: {lost} events lost, {} chunks damaged", self.damaged_chunks)?;
        }
        if let Some(text) = self.small_objects {
            writeln!(out, "{text}\n{}", small_objects::REMEDY)?;
        }
        writeln!(out, "{:>11} {:>7}  {:>11} {:>7}  {:>11}  function", "own", "", "total", "", "count")?;
        for row in &self.functions {
            let percent = |part: u64| format!("{:.1} %", part as f64 * 100.0 / peak.max(1) as f64);
            let (own, total) = (row.own_bytes, row.total_bytes);
            let place = Place { function: row.function.as_str().into(), file: &row.file, line: 0 };
            let figures = format!(
                "{:>11} {:>7}  {:>11} {:>7}  {:>11}  ",
                bytes(own),
                percent(own),
                bytes(total),
                percent(total),
                count(row.count)
            );
            let room = width.saturating_sub(figures.chars().count());
            writeln!(out, "{figures}{}", place.short_function(room))?;
        }
        if self.functions.is_empty() { writeln!(out, "  nothing was recorded") } else { Ok(()) }
    }
}

fn lost(stats: &Stats) -> u64 {
    let (allocations, frees) = stats.gaps.totals();
    allocations.saturating_add(frees)
}

fn rows(stats: &Stats, merged: &Merged<'_>, order: Order, top: usize) -> Vec<Row> {
    let sums = sums(stats, merged);
    let mut rows: Vec<_> = sums.into_iter().collect();
    let rank = |sums: &Sums| match order {
        Order::Own => (sums.own_bytes, sums.total_bytes),
        Order::Total => (sums.total_bytes, sums.own_bytes),
        Order::Count => (sums.count, sums.own_bytes),
    };
    rows.sort_by_key(|&(key, sums)| (Reverse(rank(&sums)), key));
    rows.truncate(top);
    let row = |(key, Sums { own_bytes, total_bytes, count }): (Key<'_>, Sums)| {
        let (function, file) = key.unwrap_or(("(no Python stack)", ""));
        Row { function: function.to_owned(), file: file.to_owned(), own_bytes, total_bytes, count }
    };
    rows.into_iter().map(row).collect()
}

fn sums<'p>(stats: &Stats, merged: &'p Merged<'_>) -> HashMap<Key<'p>, Sums> {
    let mut sums: HashMap<Key<'p>, Sums> = HashMap::new();
    let mut seen = HashSet::new();
    for (stack, site) in stats.peak.sites().filter(|(_, site)| site.peak_blocks > 0) {
        let stack = merged.of(stack);
        let own = sums.entry(merged.leaf(stack).map(key)).or_default();
        own.own_bytes = own.own_bytes.saturating_add(site.peak_bytes);
        own.count += site.peak_blocks;
        // A function that calls itself held its memory once.
        seen.clear();
        seen.extend(merged.frames(stack).map(|place| Some(key(place))));
        if seen.is_empty() {
            seen.insert(None);
        }
        for &function in &seen {
            let total = sums.entry(function).or_default();
            total.total_bytes = total.total_bytes.saturating_add(site.peak_bytes);
        }
    }
    sums
}

fn key<'p>(place: &'p Place<'_>) -> (&'p str, &'p str) {
    (&place.function, place.file)
}
