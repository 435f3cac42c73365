//! The tree that is shown: callers above what they call, or the other way round.
//!
//! ```text
//!  All ── [Thread] ── main:7 ── parse:3                  a node is a path from the root
//!                        ├───── write:9
//!                        └───── Below: 40 places that are too small to be shown each
//! ```
//!
//! What a node has, and what is below it, adds up to its total; the root's is all.

use hashbrown::HashMap;
use std::cmp::Reverse;

use super::material::SpotId;
use crate::analysis::Sum;
use crate::model::ThreadSerial;

/// A node of a [`Tree`]. Parents have smaller numbers than their children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// The root.
    All,
    /// All of a thread.
    Thread(ThreadSerial),
    /// A frame.
    Spot(SpotId),
    /// What no Python asked for.
    NoPython,
    /// Small ones that have no nodes of their own.
    Below,
}

/// A frame within its callers, or something like it.
#[derive(Debug)]
pub struct Node {
    /// What it stands for.
    pub label: Label,
    /// Its caller; in an inverted tree what it called. The root's is itself.
    pub parent: NodeId,
    /// The largest first, what is below the threshold last.
    pub children: Vec<NodeId>,
    /// With all below it.
    pub total: Sum,
    /// Without.
    pub own: Sum,
    /// The rows of [`Node::own`].
    pub rows: Vec<u32>,
    /// How many places those rows are; of interest for [`Label::Below`].
    pub places: u64,
    /// A row on this node's path: that of the largest place.
    pub sample: Option<u32>,
    /// Columns by which it is indented: one where it is an only child, else two.
    pub indent: u16,
}

/// A tree of nodes.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    index: HashMap<(NodeId, Label), NodeId>,
}

impl Tree {
    /// The node of [`Label::All`].
    pub const ROOT: NodeId = NodeId(0);

    /// With nothing but its root.
    pub(super) fn new() -> Tree {
        Tree { nodes: vec![Node::new(Label::All, Tree::ROOT)], index: HashMap::new() }
    }

    /// A node of this tree.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The children of a node for which `is_open` says so, and theirs: what is drawn, from
    /// top to bottom.
    pub fn outline(&self, is_open: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let (mut shown, mut next) = (Vec::new(), vec![Tree::ROOT]);
        while let Some(id) = next.pop() {
            shown.push(id);
            if is_open(id) {
                next.extend(self.node(id).children.iter().rev());
            }
        }
        shown
    }

    /// The child with this label.
    pub fn child(&self, parent: NodeId, label: Label) -> Option<NodeId> {
        self.index.get(&(parent, label)).copied()
    }

    /// The deepest node that a path from the root leads to, and how many steps that were.
    pub fn follow(&self, path: &[Label]) -> (NodeId, usize) {
        let (mut at, mut steps) = (Tree::ROOT, 0);
        while let Some(child) = path.get(steps).and_then(|&label| self.child(at, label)) {
            (at, steps) = (child, steps + 1);
        }
        (at, steps)
    }

    /// The node with this label on a path; where there is none, the last that the path has.
    pub fn find(&self, path: &[Label], label: Label) -> NodeId {
        let (last, _) = self.follow(path);
        self.ancestors(last).find(|&id| self.node(id).label == label).unwrap_or(last)
    }

    /// A node, its parent, and so on to the root.
    pub fn ancestors(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut next = Some(node);
        std::iter::from_fn(move || {
            let id = next?;
            next = (id != Tree::ROOT).then(|| self.node(id).parent);
            Some(id)
        })
    }

    /// All rows of a node and of those below it.
    pub fn rows(&self, node: NodeId) -> impl Iterator<Item = u32> + '_ {
        let mut next = vec![node];
        let nodes = std::iter::from_fn(move || {
            let id = next.pop()?;
            next.extend(&self.node(id).children);
            Some(id)
        });
        nodes.flat_map(|id| self.node(id).rows.iter().copied())
    }

    /// The child with this label, made if there is none.
    pub(super) fn grow(&mut self, parent: NodeId, label: Label) -> NodeId {
        let next = NodeId(self.nodes.len() as u32);
        let id = *self.index.entry((parent, label)).or_insert(next);
        if id == next {
            self.nodes.push(Node::new(label, parent));
            self.nodes[parent.0 as usize].children.push(id);
        }
        id
    }

    /// Gives a node the rows of one place.
    pub(super) fn give(&mut self, id: NodeId, rows: &[u32], sum: Sum) {
        let node = &mut self.nodes[id.0 as usize];
        node.own.add(sum);
        node.rows.extend(rows);
        node.places += 1;
        node.sample = node.sample.or(rows.first().copied());
    }

    /// Adds everything up once all rows were given.
    pub(super) fn finish(&mut self) {
        self.add_up();
        self.sort();
        self.indent();
    }

    fn add_up(&mut self) {
        for at in (0..self.nodes.len()).rev() {
            let node = &mut self.nodes[at];
            node.total.add(node.own);
            let (total, parent) = (node.total, node.parent);
            if at > 0 {
                self.nodes[parent.0 as usize].total.add(total);
            }
        }
    }

    fn sort(&mut self) {
        for at in (0..self.nodes.len()).rev() {
            let mut children = std::mem::take(&mut self.nodes[at].children);
            children.sort_by_key(|&child| {
                let node = self.node(child);
                (node.label == Label::Below, Reverse((node.total.bytes, node.total.blocks)), child.0)
            });
            // A node without rows of its own lies on the path of its largest child.
            if let Some(&first) = children.first() {
                let sample = self.node(first).sample;
                self.nodes[at].sample = self.nodes[at].sample.or(sample);
            }
            self.nodes[at].children = children;
        }
    }

    fn indent(&mut self) {
        for at in 1..self.nodes.len() {
            let parent = self.node(self.nodes[at].parent);
            let step = if parent.children.len() == 1 { 1 } else { 2 };
            self.nodes[at].indent = parent.indent.saturating_add(step);
        }
    }
}

impl NodeId {
    /// As the index of something that each node has.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Node {
    fn new(label: Label, parent: NodeId) -> Node {
        Node {
            label,
            parent,
            children: Vec::new(),
            total: Sum::default(),
            own: Sum::default(),
            rows: Vec::new(),
            places: 0,
            sample: None,
            indent: 0,
        }
    }
}
