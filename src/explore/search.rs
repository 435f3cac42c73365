//! Finding nodes by name.

use std::ops::Range;

use super::material::Material;
use super::tree::{Label, NodeId, Tree};
use crate::report::{NO_PYTHON, Plain};

/// A text that is looked for, and where it was found.
#[derive(Debug, Default)]
pub struct Search {
    /// As typed.
    pub text: String,
    /// Nodes with it in function, file or thread, from top to bottom; hidden ones too.
    hits: Vec<NodeId>,
    /// By node.
    is_hit: Vec<bool>,
}

impl Search {
    /// Looks for `text`; upper and lower case are the same unless it has an upper one.
    pub fn new(text: String, tree: &Tree, material: &Material<'_>) -> Search {
        if text.is_empty() {
            return Search::default();
        }
        let is_exact = is_exact(&text);
        let has_it = |name: String| {
            let name = if is_exact { name } else { name.to_lowercase() };
            name.contains(&text)
        };
        let is_hit = |id: &NodeId| name(tree.node(*id).label, material).is_some_and(has_it);
        let hits: Vec<_> = tree.outline(|_| true).into_iter().filter(is_hit).collect();
        let mut is_hit = vec![false; tree.len()];
        for hit in &hits {
            is_hit[hit.index()] = true;
        }
        Search { text, hits, is_hit }
    }

    /// Whether a node is a hit.
    pub fn has(&self, node: NodeId) -> bool {
        self.is_hit.get(node.index()).copied().unwrap_or(false)
    }

    /// How many hits there are.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// The number of a hit, from 1.
    pub fn number(&self, node: NodeId) -> Option<usize> {
        self.hits.iter().position(|&hit| hit == node).map(|at| at + 1)
    }

    /// The parts of a text that are what is looked for, as ranges of bytes.
    pub fn parts(&self, shown: &str) -> Vec<Range<usize>> {
        if self.text.is_empty() {
            return Vec::new();
        }
        // Where lower case has another length the positions would be those of another text.
        let lower = shown.to_lowercase();
        let is_exact = is_exact(&self.text) || lower.len() != shown.len();
        let shown = if is_exact { shown } else { &lower };
        shown.match_indices(&self.text).map(|(at, found)| at..at + found.len()).collect()
    }
}

fn is_exact(text: &str) -> bool {
    text.chars().any(char::is_uppercase)
}

/// What a node is called, as far as one may look for it.
fn name(label: Label, material: &Material<'_>) -> Option<String> {
    match label {
        Label::All | Label::Below => None,
        Label::Thread(serial) => Some(material.thread(serial).to_owned()),
        Label::NoPython => Some(NO_PYTHON.to_owned()),
        Label::Spot(spot) => {
            let place = material.spot(spot).place;
            Some(format!("{} {}", Plain(&place.function), place.file))
        }
    }
}
