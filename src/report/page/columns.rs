//! The figures of all sites, a column each.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::tree::PageSite;
use crate::analysis::{Figures, Sum};

/// Of each view its columns.
type Column = (&'static str, &'static str, fn(&Figures) -> Sum);

const COLUMNS: [Column; 4] = [
    ("allocations", "bytes", |figures| figures.made),
    ("peak_blocks", "peak_bytes", |figures| figures.peak),
    ("leaked_blocks", "leaked_bytes", |figures| figures.kept),
    ("temporary_blocks", "temporary_bytes", |figures| figures.temporary),
];
const LATE: Column = ("late_blocks", "late_bytes", |figures| figures.late);

/// The sites of a page.
pub struct Columns {
    pub sites: Vec<PageSite>,
    /// Whether there are figures of an earlier recording.
    pub is_comparison: bool,
    /// Whether there was a gap.
    pub has_gaps: bool,
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let column = |pick: fn(&PageSite) -> u32| self.sites.iter().map(pick).collect::<Vec<_>>();
        map.serialize_entry("node", &column(|site| site.node))?;
        map.serialize_entry("thread", &column(|site| site.thread))?;
        map.serialize_entry("kind", &column(|site| site.kind))?;
        self.figures("", |site| &site.figures, &mut map)?;
        if self.is_comparison {
            self.figures("before_", |site| &site.before, &mut map)?;
        }
        map.end()
    }
}

impl Columns {
    fn figures<M: SerializeMap>(
        &self,
        prefix: &str,
        of: fn(&PageSite) -> &Figures,
        map: &mut M,
    ) -> Result<(), M::Error> {
        let late = [LATE];
        let all = COLUMNS.iter().chain(late.iter().filter(|_| self.has_gaps));
        for (blocks, bytes, pick) in all {
            let sums = || self.sites.iter().map(|site| pick(of(site)));
            map.serialize_entry(
                &format!("{prefix}{blocks}"),
                &sums().map(|sum| sum.blocks).collect::<Vec<_>>(),
            )?;
            map.serialize_entry(
                &format!("{prefix}{bytes}"),
                &sums().map(|sum| sum.bytes).collect::<Vec<_>>(),
            )?;
        }
        Ok(())
    }
}
