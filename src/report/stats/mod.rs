//! The figures of a capture, ready to be shown.

mod json;
mod text;

use hashbrown::HashMap;
use std::io::{self, Write};

use super::merged::Merged;
use super::place::{LineResolver, Place, Places};
use crate::analysis::{Bin, Gap, Site, Stats};
use crate::capture::Reader;
use crate::model::{EndReason, Kind, Losses, Metadata, Note, StackId, Tick};

/// Bins of the histogram of sizes.
const BINS: u32 = 10;

/// Everything that `prof stats` shows.
pub struct StatsReport<'a> {
    metadata: &'a Metadata,
    notes: &'a [Note],
    end_reason: EndReason,
    end_unix_ns: u64,
    duration_ns: u64,
    longest_pause_us: u64,
    losses: Losses,
    damaged_chunks: u64,
    unresolved_codes: usize,
    stats: Stats,
    bins: Vec<Bin>,
    by_kind: Vec<(Kind, u64)>,
    top_by_size: Vec<(Option<Place<'a>>, u64)>,
    top_by_count: Vec<(Option<Place<'a>>, u64)>,
    peak_sites: Vec<PeakSite<'a>>,
}

/// A stack that held memory at the peak.
pub struct PeakSite<'a> {
    /// Bytes held.
    pub bytes: u64,
    /// Blocks held.
    pub blocks: u64,
    /// Leaf first; empty where no Python ran.
    pub stack: Vec<Place<'a>>,
}

impl<'a> StatsReport<'a> {
    /// Reads all events of a capture. `top` is how many entries the lists have.
    pub fn new(reader: &'a Reader, lines: LineResolver<'a>, top: usize) -> StatsReport<'a> {
        let metadata = reader.metadata();
        let mut stats = Stats::new(metadata);
        let mut events = reader.events();
        for event in events.by_ref() {
            stats.add(&event);
        }
        let mut places = Places::new(reader, lines);
        let merged = Merged::new(events.stacks(), &mut places);
        let sites = merge(stats.peak.sites(), &merged);
        let (top_by_size, top_by_count) = top_locations(&sites, &merged, top);
        let peak_sites = peak_sites(&sites, &merged, top);
        let end = reader.end().cloned().unwrap_or_default();
        let latest = metadata.clock.nanos(stats.latest());
        let sampled = reader.rss().last().map_or(0, |sample| sample.t_ns);
        let duration_ns = match end.unix_ns.checked_sub(metadata.started_unix_ns) {
            Some(whole) if end.unix_ns > 0 => whole,
            _ => latest.max(sampled),
        };
        StatsReport {
            notes: reader.notes(),
            end_reason: end.reason,
            end_unix_ns: if end.unix_ns > 0 { end.unix_ns } else { metadata.started_unix_ns + duration_ns },
            duration_ns,
            longest_pause_us: end.longest_pause_us,
            losses: losses(end.losses, &stats),
            damaged_chunks: events.damaged_chunks(),
            unresolved_codes: places.unresolved(),
            bins: stats.sizes.bins(BINS),
            by_kind: by_kind(&stats),
            metadata,
            stats,
            top_by_size,
            top_by_count,
            peak_sites,
        }
    }

    /// One JSON object, as described in `docs/json.md`.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        json::write(self, out)
    }

    /// For a terminal.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        text::write(self, out)
    }

    /// For a terminal: only where the memory was at the peak.
    pub fn write_peak(&self, out: &mut dyn Write) -> io::Result<()> {
        text::write_peak(self, out)
    }

    /// Where the memory was at the peak, most first.
    pub fn peak_sites(&self) -> &[PeakSite<'a>] {
        &self.peak_sites
    }

    /// The figures themselves.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Events that are known to be missing.
    pub fn lost_events(&self) -> u64 {
        self.losses.events()
    }

    fn gaps(&self) -> &[Gap] {
        self.stats.gaps.all()
    }

    fn nanos(&self, at: Tick) -> u64 {
        self.metadata.clock.nanos(at)
    }
}

/// The ring's counters hold what no thread came back to report; without them (the
/// attacher was killed) the stream's own reports are what is known.
fn losses(counted: Losses, stats: &Stats) -> Losses {
    let (allocations, frees) = stats.gaps.totals();
    Losses { allocations: counted.allocations.max(allocations), frees: counted.frees.max(frees), ..counted }
}

fn by_kind(stats: &Stats) -> Vec<(Kind, u64)> {
    let mut counts: Vec<_> =
        stats.counts().filter(|(kind, _)| !matches!(kind, Kind::Free | Kind::Munmap)).collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts
}

/// What the stacks of one merged stack allocated together.
#[derive(Clone, Copy, Default)]
struct Sums {
    bytes: u64,
    allocations: u64,
    peak_bytes: u64,
    peak_blocks: u64,
}

impl Sums {
    fn add(&mut self, more: Sums) {
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.allocations += more.allocations;
        self.peak_bytes = self.peak_bytes.saturating_add(more.peak_bytes);
        self.peak_blocks += more.peak_blocks;
    }
}

impl From<Site> for Sums {
    fn from(site: Site) -> Sums {
        let Site { bytes, allocations, peak_bytes, peak_blocks, .. } = site;
        Sums { bytes, allocations, peak_bytes, peak_blocks }
    }
}

fn merge(sites: impl Iterator<Item = (StackId, Site)>, merged: &Merged<'_>) -> HashMap<StackId, Sums> {
    let mut sums: HashMap<StackId, Sums> = HashMap::new();
    for (stack, site) in sites {
        sums.entry(merged.of(stack)).or_default().add(site.into());
    }
    sums
}

type Top<'a> = Vec<(Option<Place<'a>>, u64)>;

/// The locations (`None`: no Python) that allocated most bytes, and most often.
fn top_locations<'a>(sites: &HashMap<StackId, Sums>, merged: &Merged<'a>, top: usize) -> (Top<'a>, Top<'a>) {
    let mut by_place: HashMap<Option<&Place<'a>>, Sums> = HashMap::new();
    for (&stack, sums) in sites {
        by_place.entry(merged.leaf(stack)).or_default().add(*sums);
    }
    let by = |pick: fn(&Sums) -> u64| largest(by_place.iter().map(|(place, sums)| (*place, pick(sums))), top);
    (by(|sums| sums.bytes), by(|sums| sums.allocations))
}

/// Most first; equals by name, so that the order is the same every time.
fn largest<'p, 'a: 'p>(all: impl Iterator<Item = (Option<&'p Place<'a>>, u64)>, top: usize) -> Top<'a> {
    let mut entries: Vec<_> = all.filter(|(_, value)| *value > 0).collect();
    entries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    entries.truncate(top);
    entries.into_iter().map(|(place, value)| (place.cloned(), value)).collect()
}

fn peak_sites<'a>(sites: &HashMap<StackId, Sums>, merged: &Merged<'a>, top: usize) -> Vec<PeakSite<'a>> {
    let mut held: Vec<_> = sites.iter().filter(|(_, sums)| sums.peak_bytes > 0).collect();
    held.sort_by_key(|(stack, sums)| (std::cmp::Reverse(sums.peak_bytes), **stack));
    held.truncate(top);
    let resolve = |(stack, sums): (&StackId, &Sums)| PeakSite {
        bytes: sums.peak_bytes,
        blocks: sums.peak_blocks,
        stack: merged.frames(*stack).cloned().collect(),
    };
    held.into_iter().map(resolve).collect()
}
