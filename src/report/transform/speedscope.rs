//! speedscope's JSON: two profiles, bytes and allocations.
//!
//! A sample is a stack with its weight. speedscope draws samples in their order and joins
//! neighbours that have callers in common, so stacks come as in a flame graph, the
//! heaviest first. <https://www.speedscope.app/file-format-schema.json>

use serde::Serialize;
use std::io::{self, Write};

use super::caveats::INCOMPLETE;
use super::tree::Tree;
use super::{List, Transform, plain};
use crate::report::place::Place;

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<S: Serialize, P: Serialize> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: String,
    name: String,
    active_profile_index: u32,
    shared: Shared<S>,
    profiles: P,
}

#[derive(Serialize)]
struct Shared<S: Serialize> {
    frames: S,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled<S: Serialize, W: Serialize> {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: S,
    weights: W,
}

#[derive(Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

pub(super) fn write(transform: &Transform<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let tree = Tree::new(&transform.profile.stacks, transform.rows());
    let sums = tree.sums(transform.rows(), |row| transform.view.of(&row.figures));
    let bytes = Weights::new(&tree, sums.iter().map(|sum| sum.bytes));
    let blocks = Weights::new(&tree, sums.iter().map(|sum| sum.blocks));
    let file = File {
        schema: SCHEMA,
        exporter: format!("prof {}", plain(&transform.profile.metadata.prof_version)),
        name: transform.title(),
        active_profile_index: transform.blocks.into(),
        shared: Shared { frames: List(|| tree.places().iter().map(|place| frame(place))) },
        profiles: (
            bytes.sampled(&tree, name(transform, "bytes"), "bytes"),
            blocks.sampled(&tree, name(transform, "allocations"), "none"),
        ),
    };
    serde_json::to_writer(&mut *out, &file)?;
    writeln!(out)
}

/// What each stack has itself, from left to right.
struct Weights {
    order: Vec<u32>,
    /// By node.
    weights: Vec<u64>,
}

impl Weights {
    fn new(tree: &Tree<'_, '_>, weights: impl Iterator<Item = u64>) -> Weights {
        let weights: Vec<_> = weights.collect();
        let mut order = tree.in_order(&weights);
        order.retain(|&node| weights[node as usize] > 0);
        Weights { order, weights }
    }

    fn sampled<'t>(
        &'t self,
        tree: &'t Tree<'_, '_>,
        name: String,
        unit: &'static str,
    ) -> Sampled<impl Serialize + 't, impl Serialize + 't> {
        Sampled {
            r#type: "sampled",
            name,
            unit,
            start_value: 0,
            end_value: self.weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight)),
            samples: List(|| self.order.iter().map(|&node| stack(tree, node))),
            weights: List(|| self.order.iter().map(|&node| self.weights[node as usize])),
        }
    }
}

/// The only text that speedscope shows above the graph. It has little room.
fn name(transform: &Transform<'_, '_>, what: &str) -> String {
    let view = transform.view.name().replace('_', " ");
    let caveats = transform.caveats();
    match caveats.iter().find(|caveat| caveat.starts_with(INCOMPLETE)) {
        None => format!("{view}: {what}"),
        Some(caveat) => format!("{view}: {what} ({})", caveat.split(';').next().unwrap_or(caveat)),
    }
}

/// The places of a stack, root first.
fn stack(tree: &Tree<'_, '_>, node: u32) -> Vec<u32> {
    let mut path: Vec<_> = tree.path(node).collect();
    path.reverse();
    path
}

fn frame(place: &Place<'_>) -> Frame {
    let line = (place.line > 0).then_some(place.line);
    Frame { name: plain(&place.function), file: plain(place.file), line }
}
