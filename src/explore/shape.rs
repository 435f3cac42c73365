//! Which tree is wanted, and how the rows of a profile become one.

use std::cmp::Reverse;

use super::material::{Layer, Material, SpotId};
use super::tree::{Label, NodeId, Tree};
use crate::analysis::Sum;
use crate::model::{StackId, ThreadSerial};
use crate::report::{Row, View};

/// The tree that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Which memory.
    pub view: View,
    /// So many places have nodes of their own; the rest is summed up where it belongs.
    pub biggest: usize,
    /// Whether threads are the first level.
    pub by_thread: bool,
    /// Whether what allocated is at the top, and below it its callers.
    pub is_inverted: bool,
    /// Whether frames of the import system are left out.
    pub hides_imports: bool,
    /// Whether frames are left out that only start something else.
    pub hides_plumbing: bool,
}

/// All rows of one place: a stack, of a thread if threads are told apart.
struct Site<'r> {
    key: Key,
    rows: &'r [u32],
    sum: Sum,
}

type Key = (StackId, Option<ThreadSerial>);

impl Shape {
    /// Makes the tree.
    pub fn tree(&self, material: &Material<'_>) -> Tree {
        let mut rows = self.rows(material);
        rows.sort_unstable_by_key(|&row| (self.key(&material.rows[row as usize]), row));
        let key = |row: &u32| self.key(&material.rows[*row as usize]);
        let mut sites: Vec<_> =
            rows.chunk_by(|a, b| key(a) == key(b)).map(|rows| self.site(material, rows)).collect();
        sites.sort_by_key(|site| (Reverse((site.sum.bytes, site.sum.blocks)), site.key));
        let (large, small) = sites.split_at(self.biggest.min(sites.len()));
        let mut tree = Tree::new();
        for site in large {
            let path = self.path_of(material, site.key);
            let node = path.iter().fold(Tree::ROOT, |at, &label| tree.grow(at, label));
            tree.give(node, site.rows, site.sum);
        }
        for site in small {
            let node = self.node_of_small(material, site, &mut tree);
            tree.give(node, site.rows, site.sum);
        }
        tree.finish();
        tree
    }

    /// The path of a row from the root.
    pub fn path(&self, material: &Material<'_>, row: u32) -> Vec<Label> {
        self.path_of(material, self.key(&material.rows[row as usize]))
    }

    /// The rows that have something of the view.
    fn rows(&self, material: &Material<'_>) -> Vec<u32> {
        let all = (0..).zip(material.rows);
        all.filter(|(_, row)| !self.view.of(&row.figures).is_zero()).map(|(number, _)| number).collect()
    }

    fn key(&self, row: &Row) -> Key {
        (row.stack, self.by_thread.then_some(row.thread))
    }

    fn site<'r>(&self, material: &Material<'_>, rows: &'r [u32]) -> Site<'r> {
        let mut sum = Sum::default();
        for &row in rows {
            sum.add(self.view.of(&material.rows[row as usize].figures));
        }
        Site { key: self.key(&material.rows[rows[0] as usize]), rows, sum }
    }

    /// The node on its path, if a larger place has made it; else what sums up the small
    /// ones below the last node that its path has.
    fn node_of_small(&self, material: &Material<'_>, site: &Site<'_>, tree: &mut Tree) -> NodeId {
        let path = self.path_of(material, site.key);
        match tree.follow(&path) {
            (node, steps) if steps == path.len() => node,
            (node, _) => tree.grow(node, Label::Below),
        }
    }

    fn path_of(&self, material: &Material<'_>, (stack, thread): Key) -> Vec<Label> {
        let mut path: Vec<_> = thread.map(Label::Thread).into_iter().collect();
        let begin = path.len();
        let frames = (material.path)(stack);
        let is_shown = |spot: &SpotId| match material.spot(*spot).layer {
            Layer::Program => true,
            Layer::Import => !self.hides_imports,
            Layer::Plumbing => !self.hides_plumbing,
        };
        path.extend(frames.iter().copied().filter(is_shown).map(Label::Spot));
        if path.len() == begin {
            // Where all frames are left out the innermost one stays.
            path.push(frames.first().map_or(Label::NoPython, |&leaf| Label::Spot(leaf)));
        }
        if !self.is_inverted {
            path[begin..].reverse();
        }
        path
    }
}
