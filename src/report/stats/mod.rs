//! The figures of a capture, ready to be shown.

mod json;
mod modules;
mod processes;
mod screen;
mod screen_json;
mod text;
mod when;

pub use when::INTERVALS;

use hashbrown::HashMap;
use std::cmp::Reverse;
use std::io::{self, Write};

use self::modules::top_modules;
use self::processes::ProcessSums;
use self::when::{Births, When};
use super::Format;
use super::merged::Merged;
use super::place::Place;
use super::profile::Profile;
use super::units::{duration, plural};
use crate::analysis::{Bin, Figures, Gap, Sum, Totals};
use crate::model::{Effect, Kind, StackId};

/// Bins of the histogram of sizes.
const BINS: u32 = 10;

/// Everything that `prof stats` shows.
pub struct StatsReport<'a> {
    profile: Profile<'a>,
    bins: Vec<Bin>,
    by_kind: Vec<(Kind, u64)>,
    top_by_size: Top<Option<Place<'a>>>,
    top_by_count: Top<Option<Place<'a>>>,
    modules_by_size: Top<String>,
    modules_by_count: Top<String>,
    temporary: Top<Option<Place<'a>>>,
    peak_sites: Vec<HeldSite<'a>>,
    live_sites: Vec<HeldSite<'a>>,
    churn: Vec<Churn<'a>>,
    processes: Vec<ProcessSums>,
}

/// A stack that held memory at some moment.
pub struct HeldSite<'a> {
    /// Bytes held.
    pub bytes: u64,
    /// Blocks held.
    pub blocks: u64,
    /// Bytes of them that are arenas of pymalloc for certain.
    pub arena_bytes: u64,
    /// When it was allocated.
    when: Option<When>,
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
    /// Of a capture that was read. `top` is how many entries the lists have.
    pub fn new(profile: Profile<'a>, top: usize) -> StatsReport<'a> {
        let stacks = &profile.stacks;
        let sites = by_stack(&profile);
        let births = Births::new(&profile);
        let places = |pick: fn(&Figures) -> u64| top_places(&sites, stacks, top, pick);
        let [modules_by_size, modules_by_count] = top_modules(&sites, stacks, top);
        StatsReport {
            bins: profile.totals.sizes.bins(BINS),
            by_kind: by_kind(&profile.totals),
            top_by_size: places(|figures| figures.made.bytes),
            top_by_count: places(|figures| figures.made.blocks),
            modules_by_size,
            modules_by_count,
            temporary: places(|figures| figures.temporary.bytes),
            peak_sites: held(
                &sites,
                top,
                |figures| figures.peak,
                |stack, sum| HeldSite::new(stack, sum, stacks),
            ),
            live_sites: held(
                &sites,
                top,
                |figures| figures.kept,
                |stack, sum| HeldSite {
                    arena_bytes: profile.arena_bytes.get(&stack).copied().unwrap_or(0),
                    when: births.of(stack),
                    ..HeldSite::new(stack, sum, stacks)
                },
            ),
            churn: churn(&sites, stacks, top),
            processes: processes::sums(&profile),
            profile,
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

    /// The capture.
    pub fn profile(&self) -> &Profile<'a> {
        &self.profile
    }

    /// The longest gaps, in the order of time.
    fn longest_gaps(&self, most: usize) -> Vec<Gap> {
        let mut gaps = self.profile.gaps().to_vec();
        gaps.sort_by_key(|gap| Reverse(gap.to.0.saturating_sub(gap.from.0)));
        gaps.truncate(most);
        gaps.sort_by_key(|gap| gap.from);
        gaps
    }

    /// When, how long, how many.
    fn tell_gap(&self, gap: &Gap) -> String {
        let [from, to] = [gap.from, gap.to].map(|at| self.profile.nanos(at));
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
        self.profile.completeness.losses.frees.saturating_sub(self.profile.totals.lost_frees)
    }
}

fn by_kind(totals: &Totals) -> Vec<(Kind, u64)> {
    let gives_back = |kind: Kind| matches!(kind.effect(), Effect::Frees | Effect::Unmaps);
    let mut counts: Vec<_> = totals.counts.iter().copied().filter(|(kind, _)| !gives_back(*kind)).collect();
    counts.sort_by_key(|&(_, count)| Reverse(count));
    counts
}

/// What each stack allocated, all threads and kinds together.
fn by_stack(profile: &Profile<'_>) -> HashMap<StackId, Figures> {
    let mut sums: HashMap<StackId, Figures> = HashMap::new();
    for row in &profile.rows {
        sums.entry(row.stack).or_default().add(&row.figures);
    }
    sums
}

/// Most first.
type Top<T> = Vec<(T, u64)>;

/// The locations (`None`: no Python) with most of something.
fn top_places<'a>(
    sites: &HashMap<StackId, Figures>,
    stacks: &Merged<'a>,
    top: usize,
    pick: fn(&Figures) -> u64,
) -> Top<Option<Place<'a>>> {
    let mut by_place: HashMap<Option<&Place<'a>>, u64> = HashMap::new();
    for (&stack, figures) in sites {
        let sum = by_place.entry(stacks.leaf(stack)).or_default();
        *sum = sum.saturating_add(pick(figures));
    }
    largest(by_place.into_iter(), top).into_iter().map(|(place, value)| (place.cloned(), value)).collect()
}

/// Equals by name, so that the order is the same every time.
fn largest<T: Ord>(all: impl Iterator<Item = (T, u64)>, top: usize) -> Top<T> {
    let mut entries: Vec<_> = all.filter(|(_, value)| *value > 0).collect();
    entries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    entries.truncate(top);
    entries
}

/// The stacks that held most.
fn held<'a>(
    sites: &HashMap<StackId, Figures>,
    top: usize,
    pick: fn(&Figures) -> Sum,
    site: impl Fn(StackId, Sum) -> HeldSite<'a>,
) -> Vec<HeldSite<'a>> {
    let mut held: Vec<_> = sites.iter().map(|(stack, figures)| (*stack, pick(figures))).collect();
    held.retain(|(_, sum)| sum.bytes > 0);
    held.sort_by_key(|&(stack, sum)| (Reverse(sum.bytes), stack));
    held.truncate(top);
    held.into_iter().map(|(stack, sum)| site(stack, sum)).collect()
}

impl<'a> HeldSite<'a> {
    fn new(stack: StackId, sum: Sum, stacks: &Merged<'a>) -> HeldSite<'a> {
        HeldSite {
            bytes: sum.bytes,
            blocks: sum.blocks,
            arena_bytes: 0,
            when: None,
            stack: stacks.frames(stack).cloned().collect(),
        }
    }
}

/// The locations of which most bytes were freed again.
fn churn<'a>(sites: &HashMap<StackId, Figures>, stacks: &Merged<'a>, top: usize) -> Vec<Churn<'a>> {
    let mut by_place: HashMap<Option<&Place<'a>>, (u64, u64)> = HashMap::new();
    for (&stack, Figures { made, kept, .. }) in sites {
        let (bytes, blocks) = by_place.entry(stacks.leaf(stack)).or_default();
        *bytes = bytes.saturating_add(made.bytes.saturating_sub(kept.bytes));
        *blocks += made.blocks.saturating_sub(kept.blocks);
    }
    let mut churn: Vec<_> = by_place.into_iter().filter(|(_, (bytes, _))| *bytes > 0).collect();
    churn.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    churn.truncate(top);
    let entry =
        |(place, (bytes, blocks)): (Option<&Place<'a>>, _)| Churn { bytes, blocks, place: place.cloned() };
    churn.into_iter().map(entry).collect()
}
