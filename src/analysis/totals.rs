//! What is left of a recording, or of a window of it, once its events are folded: plain
//! figures, as an aggregated capture keeps them.

use serde::{Deserialize, Serialize};

use super::gaps::Gaps;
use super::ledger::{Figures, Sum};
use super::sampled::Sampled;
use super::site::Site;
use super::sizes::Sizes;
use super::timeline::Timeline;
use crate::model::{Effect, Kind, StackId, ThreadSerial, Tick};

/// The figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Calls recorded.
    pub events: u64,
    /// The latest moment seen.
    pub latest: Tick,
    /// All that was allocated on the heap, with the bytes that were asked for.
    pub made: Sum,
    /// What is allocated on the heap at the end.
    pub live: Sum,
    /// The most heap bytes that were allocated at one time.
    pub peak_bytes: u64,
    /// The last time when they were.
    pub peak_at: Tick,
    /// Bytes of thread stacks mapped at the end.
    pub stack_bytes: u64,
    /// Frees of blocks that were not seen allocated: mostly older than the recording.
    pub unmatched_frees: u64,
    /// Frees that are missing for certain: their block was allocated again.
    pub lost_frees: u64,
    /// Calls of each kind that was recorded.
    #[serde(with = "by_kind")]
    pub counts: Vec<(Kind, u64)>,
    /// How it was sampled, if only samples were recorded: figures of blocks are estimates.
    pub sampled: Option<Sampled>,
    /// How large allocations were.
    pub sizes: Sizes,
    /// Live heap bytes over time.
    pub timeline: Timeline,
    /// Where events are missing.
    pub gaps: Gaps,
    /// What each site did.
    #[serde(with = "by_site")]
    pub sites: Vec<(Site, Figures)>,
}

impl Totals {
    /// Calls that made heap memory. Thread stacks are only in [`Totals::counts`].
    pub fn allocations(&self) -> u64 {
        self.made.blocks
    }

    /// Calls that only gave memory back.
    pub fn deallocations(&self) -> u64 {
        let gives_back = |kind: Kind| matches!(kind.effect(), Effect::Frees | Effect::Unmaps);
        let counts = self.counts.iter().filter(|(kind, _)| gives_back(*kind));
        counts.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }
}

fn kind(number: u64) -> Option<Kind> {
    u8::try_from(number).ok().and_then(Kind::from_tag)
}

/// `[kind, count]` each.
mod by_kind {
    use super::{Kind, kind};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(counts: &[(Kind, u64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(counts.iter().map(|&(kind, count)| [kind as u64, count]))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Kind, u64)>, D::Error> {
        let counts = Vec::<[u64; 2]>::deserialize(from)?.into_iter();
        let count = |[number, count]: [u64; 2]| Some((kind(number)?, count));
        counts.map(|entry| count(entry).ok_or_else(|| D::Error::custom("no kind"))).collect()
    }
}

/// `[stack, thread, kind, bytes, blocks, …]` each: made, temporary, at the peak, live, live
/// and younger than the last gap.
mod by_site {
    use super::{Figures, Site, StackId, Sum, ThreadSerial, kind};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    type Row = [u64; 13];

    pub fn serialize<S: Serializer>(sites: &[(Site, Figures)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(sites.iter().map(|(site, figures)| row(*site, figures)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Site, Figures)>, D::Error> {
        let rows = Vec::<Row>::deserialize(from)?.into_iter();
        rows.map(|row| site(row).ok_or_else(|| D::Error::custom("no site"))).collect()
    }

    fn row(site: Site, figures: &Figures) -> Row {
        let Figures { made, temporary, peak, live, late, .. } = *figures;
        let mut row = [u64::from(site.stack.0), u64::from(site.thread.0), site.kind as u64].to_vec();
        row.extend([made, temporary, peak, live, late].iter().flat_map(|sum| [sum.bytes, sum.blocks]));
        row.try_into().expect("three numbers and five pairs")
    }

    fn site([stack, thread, number, rest @ ..]: Row) -> Option<(Site, Figures)> {
        let stack = StackId(stack.try_into().ok()?);
        let thread = ThreadSerial(thread.try_into().ok()?);
        let site = Site { stack, thread, kind: kind(number)?, interval: 0 };
        let sum = |n: usize| Sum { bytes: rest[2 * n], blocks: rest[2 * n + 1] };
        let [made, temporary, peak, live, late] = [0, 1, 2, 3, 4].map(sum);
        Some((site, Figures { made, temporary, peak, live, kept: live, late, before: Sum::default() }))
    }
}
