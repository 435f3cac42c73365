//! The history of a recording for the page, by its sites.

use hashbrown::HashMap;
use serde::Serialize;

use crate::analysis::{HeldFrom, Intervals, SiteId, Span, Sum};
use crate::report::profile::Profile;

/// The recording in intervals, called bins on the page.
#[derive(Debug, Serialize)]
pub struct OverTime {
    bins: usize,
    bin_ns: f64,
    /// The most heap bytes in each.
    heap: Vec<u64>,
    held: HeldColumns,
    kept: KeptColumns,
}

/// What a site held at the moment of each bin's largest heap, where that changed.
#[derive(Debug, Default, Serialize)]
struct HeldColumns {
    site: Vec<u32>,
    bin: Vec<u16>,
    bytes: Vec<u64>,
    blocks: Vec<u64>,
}

/// What was allocated in one bin and freed in a later one; the number of bins stands for never.
#[derive(Debug, Default, Serialize)]
struct KeptColumns {
    site: Vec<u32>,
    born: Vec<u16>,
    freed: Vec<u16>,
    bytes: Vec<u64>,
    blocks: Vec<u64>,
}

impl OverTime {
    /// `sites` has the page's site of each row of the profile.
    pub fn new(profile: &Profile<'_>, sites: &[u32]) -> Option<OverTime> {
        let history = profile.history.as_ref()?;
        let site_of = |site: SiteId| sites[profile.row_of_site[site.0 as usize] as usize];
        let ticks = profile.metadata.clock.ticks_per_second.max(1);
        Some(OverTime {
            bins: history.heap.len(),
            bin_ns: history.width_ticks as f64 * 1e9 / ticks as f64,
            heap: history.heap.clone(),
            held: held(history, site_of),
            kept: kept(history, site_of),
        })
    }
}

/// Several sites of the history may be one on the page: their steps are added up.
fn held(history: &Intervals, site_of: impl Fn(SiteId) -> u32) -> HeldColumns {
    let mut steps: Vec<(u32, &HeldFrom)> =
        history.held.iter().map(|step| (site_of(step.site), step)).collect();
    steps.sort_by_key(|(site, step)| (*site, step.interval));
    let mut columns = HeldColumns::default();
    for of_site in steps.chunk_by(|(a, _), (b, _)| a == b) {
        let mut parts: HashMap<SiteId, Sum> = HashMap::new();
        let mut sum = Sum::default();
        for at_once in of_site.chunk_by(|(_, a), (_, b)| a.interval == b.interval) {
            for (_, step) in at_once {
                let old = parts.insert(step.site, step.held).unwrap_or_default();
                sum.bytes = sum.bytes.saturating_sub(old.bytes);
                sum.blocks = sum.blocks.saturating_sub(old.blocks);
                sum.add(step.held);
            }
            columns.site.push(at_once[0].0);
            columns.bin.push(at_once[0].1.interval);
            columns.bytes.push(sum.bytes);
            columns.blocks.push(sum.blocks);
        }
    }
    columns
}

fn kept(history: &Intervals, site_of: impl Fn(SiteId) -> u32) -> KeptColumns {
    let mut spans: HashMap<(u32, u16, u16), Sum> = HashMap::new();
    for &(Span { site, born, freed }, sum) in &history.kept {
        let freed = if freed == Span::NEVER { history.heap.len() as u16 } else { freed };
        spans.entry((site_of(site), born, freed)).or_default().add(sum);
    }
    let mut spans: Vec<_> = spans.into_iter().collect();
    spans.sort_unstable_by_key(|&(span, _)| span);
    let mut columns = KeptColumns::default();
    for ((site, born, freed), sum) in spans {
        columns.site.push(site);
        columns.born.push(born);
        columns.freed.push(freed);
        columns.bytes.push(sum.bytes);
        columns.blocks.push(sum.blocks);
    }
    columns
}
