//! What the page is about, as its program reads it. The names are those of the JSON.

use serde::Serialize;
use std::collections::BTreeMap;

use super::Page;
use super::columns::Columns;
use super::details::Details;
use super::over_time::OverTime;
use super::tree::{NodeColumns, PlaceColumns, Side, ThreadEntry, Tree};
use crate::report::Source;

#[derive(Serialize)]
pub struct Data<'p> {
    start: StartData,
    /// One, or the earlier and the later one.
    recordings: Vec<Details<'p>>,
    strings: Vec<&'p str>,
    places: PlaceColumns,
    nodes: NodeColumns,
    threads: Vec<ThreadEntry>,
    kinds: Vec<&'static str>,
    sites: Columns,
    temporary_within: u32,
    resident: Resident,
    time: Option<OverTime>,
    /// Lines by the number of their file and their own.
    source: BTreeMap<u32, BTreeMap<u32, String>>,
}

#[derive(Serialize)]
struct StartData {
    view: &'static str,
    inverted: bool,
    split_threads: bool,
    table: bool,
}

/// Samples of the resident set.
#[derive(Serialize)]
struct Resident {
    t_ns: Vec<u64>,
    bytes: Vec<u64>,
}

impl<'p> Data<'p> {
    pub fn new(page: &'p Page<'_, '_>) -> Data<'p> {
        let profile = page.profile;
        let mut tree = Tree::new(page.before.is_some());
        let sites = tree.add(profile, Side::After);
        let mut recordings = vec![Details::new(profile, page.file)];
        let mut time = None;
        match page.before {
            Some((before, file)) => {
                tree.add(before, Side::Before);
                recordings.insert(0, Details::new(before, file));
            }
            None => time = OverTime::new(profile, &sites),
        }
        let samples = || profile.samples.iter().filter(|sample| sample.resident_bytes > 0);
        Data {
            start: StartData {
                view: page.start.view.name(),
                inverted: page.start.inverted,
                split_threads: page.start.split_threads,
                table: page.start.table,
            },
            recordings,
            source: if page.with_source {
                Source::new(profile.metadata).of(tree.lines())
            } else {
                BTreeMap::new()
            },
            strings: tree.strings,
            places: tree.places,
            nodes: tree.nodes,
            threads: tree.threads,
            kinds: tree.kinds,
            sites: Columns {
                sites: tree.sites,
                is_comparison: page.before.is_some(),
                has_gaps: !profile.gaps().is_empty(),
            },
            temporary_within: profile.temporary_within,
            resident: Resident {
                t_ns: samples().map(|sample| sample.t_ns).collect(),
                bytes: samples().map(|sample| sample.resident_bytes).collect(),
            },
            time,
        }
    }
}
