//! The stacks of rows with numbers for everything, as other programs want them.
//!
//! ```text
//!  places  0 main app.py:7   1 add cache.py:3   2 (no Python stack)
//!  nodes   0 ─ place 0       1 ─ place 1, below 0        2 ─ place 2
//! ```
//!
//! Only what the rows need is numbered. Parents come before their children.

use hashbrown::HashMap;
use std::borrow::Cow;
use std::cmp::Reverse;

use crate::analysis::Sum;
use crate::model::StackId;
use crate::report::merged::Merged;
use crate::report::place::{NO_PYTHON, Place};
use crate::report::profile::Row;

/// Where no Python ran.
static NOWHERE: Place<'static> = Place { function: Cow::Borrowed(NO_PYTHON), file: "", line: 0 };

/// Stacks of rows.
pub(super) struct Tree<'p, 'a> {
    stacks: &'p Merged<'a>,
    places: Vec<&'p Place<'a>>,
    nodes: Vec<Node>,
    place_numbers: HashMap<&'p Place<'a>, u32>,
    node_numbers: HashMap<StackId, u32>,
}

/// A stack: a place that was called from another stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The number of its leaf's place.
    pub place: u32,
    /// The node of its callers; `None` at the root.
    pub parent: Option<u32>,
}

impl<'p, 'a> Tree<'p, 'a> {
    /// Of rows with these stacks. Every row has a node, also without Python.
    pub fn new(stacks: &'p Merged<'a>, rows: impl Iterator<Item = &'p Row>) -> Tree<'p, 'a> {
        let mut tree = Tree {
            stacks,
            places: Vec::new(),
            nodes: Vec::new(),
            place_numbers: HashMap::new(),
            node_numbers: HashMap::new(),
        };
        rows.for_each(|row| tree.add(row.stack));
        tree
    }

    /// All places.
    pub fn places(&self) -> &[&'p Place<'a>] {
        &self.places
    }

    /// All stacks.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of a row's stack.
    pub fn node(&self, row: &Row) -> u32 {
        self.node_numbers[&row.stack]
    }

    /// The places of a node, leaf first.
    pub fn path(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let at = |node: u32| self.nodes[node as usize];
        std::iter::successors(Some(at(node)), move |node| node.parent.map(at)).map(|node| node.place)
    }

    /// What each node has itself.
    pub fn sums<'r>(&self, rows: impl Iterator<Item = &'r Row>, of: impl Fn(&Row) -> Sum) -> Vec<Sum> {
        let mut sums = vec![Sum::default(); self.nodes.len()];
        rows.for_each(|row| sums[self.node(row) as usize].add(of(row)));
        sums
    }

    /// The nodes as a flame graph has them from left to right: callers directly before what
    /// they call, the heaviest first.
    pub fn in_order(&self, own: &[u64]) -> Vec<u32> {
        let mut total = own.to_vec();
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if let Some(parent) = node.parent {
                total[parent as usize] = total[parent as usize].saturating_add(total[index]);
            }
        }
        let parent = |node: u32| self.nodes[node as usize].parent;
        let mut siblings: Vec<u32> = (0..self.nodes.len() as u32).collect();
        siblings.sort_by_key(|&node| (parent(node), Reverse(total[node as usize]), node));
        let children = |of: Option<u32>| {
            let start = siblings.partition_point(|&node| parent(node) < of);
            let length = siblings[start..].partition_point(|&node| parent(node) == of);
            siblings[start..start + length].iter().rev()
        };
        let mut waiting: Vec<u32> = children(None).copied().collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(node) = waiting.pop() {
            order.push(node);
            waiting.extend(children(Some(node)));
        }
        order
    }

    fn add(&mut self, stack: StackId) {
        let mut missing = Vec::new();
        let mut at = stack;
        while !self.node_numbers.contains_key(&at) && (at != StackId::EMPTY || missing.is_empty()) {
            missing.push(at);
            at = self.stacks.parent(at);
        }
        for stack in missing.into_iter().rev() {
            let callers = self.stacks.parent(stack);
            let parent = if callers == StackId::EMPTY { None } else { Some(self.node_numbers[&callers]) };
            let place = self.place(self.stacks.leaf(stack).unwrap_or(&NOWHERE));
            self.node_numbers.insert(stack, self.nodes.len() as u32);
            self.nodes.push(Node { place, parent });
        }
    }

    fn place(&mut self, place: &'p Place<'a>) -> u32 {
        *self.place_numbers.entry(place).or_insert_with(|| {
            self.places.push(place);
            self.places.len() as u32 - 1
        })
    }
}
