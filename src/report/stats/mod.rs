//! The figures of a capture, ready to be shown.

mod json;
mod screen;
mod screen_json;
mod text;

use hashbrown::HashMap;
use std::io::{self, Write};

use super::Format;
use super::merged::Merged;
use super::place::{LineResolver, Place, Places};
use super::resident::{self, ResidentReport};
use super::units::{duration, plural};
use crate::analysis::{Bin, Gap, Site, Stats};
use crate::capture::Reader;
use crate::model::{Effect, EndReason, Kind, Losses, Metadata, Note, StackId, Tick};

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
    peak_sites: Vec<HeldSite<'a>>,
    live_sites: Vec<HeldSite<'a>>,
    churn: Vec<Churn<'a>>,
    resident: ResidentReport,
}

/// A stack that held memory at some moment.
pub struct HeldSite<'a> {
    /// Bytes held.
    pub bytes: u64,
    /// Blocks held.
    pub blocks: u64,
    /// Bytes of them that are arenas of pymalloc for certain.
    pub arena_bytes: u64,
    /// Leaf first; empty where no Python ran.
    pub stack: Vec<Place<'a>>,
}

/// What a location allocated that was freed again.
pub struct Churn<'a> {
    /// Bytes.
    pub bytes: u64,
    /// Blocks.
    pub blocks: u64,
    /// Where; `None` where no Python ran.
    pub place: Option<Place<'a>>,
}

impl<'a> StatsReport<'a> {
    /// Reads all events of a capture. `top` is how many entries the lists have.
    pub fn new(reader: &'a Reader, lines: LineResolver<'a>, top: usize) -> StatsReport<'a> {
        let metadata = reader.metadata();
        let mut stats = Stats::new(metadata);
        let mut events = reader.events();
        let mut occupancy = resident::occupancy(reader.rss(), &metadata.clock);
        for event in events.by_ref() {
            occupancy.before(event.at, &stats.live);
            stats.add(&event);
        }
        let mut places = Places::new(reader, lines);
        let merged = Merged::new(events.stacks(), &mut places);
        let resident = ResidentReport::new(reader.rss(), &occupancy.finish(&stats.live));
        let mut sites = merge(stats.peak.sites(), &merged);
        for (stack, bytes) in resident.arena_bytes(stats.live.mappings()) {
            sites.entry(merged.of(stack)).or_default().arena_bytes += bytes;
        }
        let (top_by_size, top_by_count) = top_locations(&sites, &merged, top);
        let peak_sites = held(&sites, &merged, top, |sums| (sums.peak_bytes, sums.peak_blocks, 0));
        let live_sites =
            held(&sites, &merged, top, |sums| (sums.live_bytes, sums.live_blocks, sums.arena_bytes));
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
            end_unix_ns: if end.unix_ns > 0 {
                end.unix_ns
            } else {
                metadata.started_unix_ns.saturating_add(duration_ns)
            },
            duration_ns,
            longest_pause_us: end.longest_pause_us,
            losses: losses(end.losses, &stats),
            damaged_chunks: events.damaged_chunks().saturating_add(end.losses.chunks),
            unresolved_codes: places.unresolved(),
            bins: stats.sizes.bins(BINS),
            by_kind: by_kind(&stats),
            metadata,
            stats,
            top_by_size,
            top_by_count,
            peak_sites,
            live_sites,
            churn: churn(&sites, &merged, top),
            resident,
        }
    }

    /// The figures.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text { width } => text::write(self, width, out),
            Format::Json => json::write(self, out),
        }
    }

    /// The answers that are wanted first; as text on one screen.
    pub fn write_screen(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text { .. } => screen::write(self, out),
            Format::Json => screen_json::write(self, out),
        }
    }

    /// Where the memory was at the peak, most first.
    pub fn peak_sites(&self) -> &[HeldSite<'a>] {
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

    /// The longest gaps, in the order of time.
    fn longest_gaps(&self, most: usize) -> Vec<Gap> {
        let mut gaps = self.gaps().to_vec();
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.to.0.saturating_sub(gap.from.0)));
        gaps.truncate(most);
        gaps.sort_by_key(|gap| gap.from);
        gaps
    }

    /// When, how long, how many.
    fn tell_gap(&self, gap: &Gap) -> String {
        let [from, to] = [gap.from, gap.to].map(|at| self.nanos(at));
        format!(
            "{} from {} to {}: {} and {} missing",
            duration(to - from),
            duration(from),
            duration(to),
            plural(gap.allocations, "allocation"),
            plural(gap.frees, "free")
        )
    }

    /// Frees that are missing and were not found out by a new allocation at their address.
    fn unproven_lost_frees(&self) -> u64 {
        self.losses.frees.saturating_sub(self.stats.live.lost_frees())
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
    let gives_back = |kind: Kind| matches!(kind.effect(), Effect::Frees | Effect::Unmaps);
    let mut counts: Vec<_> = stats.counts().filter(|(kind, _)| !gives_back(*kind)).collect();
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
    live_bytes: u64,
    live_blocks: u64,
    arena_bytes: u64,
}

impl Sums {
    fn add(&mut self, more: Sums) {
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.allocations += more.allocations;
        self.peak_bytes = self.peak_bytes.saturating_add(more.peak_bytes);
        self.peak_blocks += more.peak_blocks;
        self.live_bytes = self.live_bytes.saturating_add(more.live_bytes);
        self.live_blocks += more.live_blocks;
    }
}

impl From<Site> for Sums {
    fn from(site: Site) -> Sums {
        let Site { bytes, allocations, peak_bytes, peak_blocks, live_bytes, live_blocks, .. } = site;
        Sums { bytes, allocations, peak_bytes, peak_blocks, live_bytes, live_blocks, arena_bytes: 0 }
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

/// The stacks that held most: `pick` gives bytes, blocks and bytes of arenas.
fn held<'a>(
    sites: &HashMap<StackId, Sums>,
    merged: &Merged<'a>,
    top: usize,
    pick: fn(&Sums) -> (u64, u64, u64),
) -> Vec<HeldSite<'a>> {
    let mut held: Vec<_> = sites.iter().map(|(stack, sums)| (*stack, pick(sums))).collect();
    held.retain(|(_, (bytes, ..))| *bytes > 0);
    held.sort_by_key(|&(stack, (bytes, ..))| (std::cmp::Reverse(bytes), stack));
    held.truncate(top);
    let resolve = |(stack, (bytes, blocks, arena_bytes))| HeldSite {
        bytes,
        blocks,
        arena_bytes,
        stack: merged.frames(stack).cloned().collect(),
    };
    held.into_iter().map(resolve).collect()
}

/// The locations of which most bytes were freed again.
fn churn<'a>(sites: &HashMap<StackId, Sums>, merged: &Merged<'a>, top: usize) -> Vec<Churn<'a>> {
    let mut by_place: HashMap<Option<&Place<'a>>, (u64, u64)> = HashMap::new();
    for (&stack, sums) in sites {
        let (bytes, blocks) = by_place.entry(merged.leaf(stack)).or_default();
        *bytes = bytes.saturating_add(sums.bytes.saturating_sub(sums.live_bytes));
        *blocks += sums.allocations.saturating_sub(sums.live_blocks);
    }
    let mut churn: Vec<_> = by_place.into_iter().filter(|(_, (bytes, _))| *bytes > 0).collect();
    churn.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    churn.truncate(top);
    let entry =
        |(place, (bytes, blocks)): (Option<&Place<'a>>, _)| Churn { bytes, blocks, place: place.cloned() };
    churn.into_iter().map(entry).collect()
}
