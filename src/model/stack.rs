//! Call stacks, each stored once.
//!
//! ```text
//!   StackId 0 ── <module>:20 ── main:7 ── parse:3      a trie from the root;
//!                                   └──── write:9      a stack is the node of its leaf
//! ```
//!
//! Nodes are hash-consed: equal stacks have equal ids. Parents come before children.

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};
use std::hash::BuildHasher;

use super::{CodeId, StackId};

/// A place in a code object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Whose code runs.
    pub code: CodeId,
    /// Offset of its instruction in bytes, -1 before the first.
    pub offset: i32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: StackId,
    frame: Frame,
}

/// The interner.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Kept>", into = "Vec<Kept>")]
pub struct Stacks {
    nodes: Vec<Node>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    refused: u64,
}

impl Default for Stacks {
    fn default() -> Self {
        let root = Node { parent: StackId::EMPTY, frame: Frame::default() };
        Stacks {
            nodes: vec![root],
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            refused: 0,
        }
    }
}

/// A stack as it stands in a file, in the order of the ids from 1 on: parent, code object,
/// offset.
type Kept = (u32, u32, i32);

impl From<Stacks> for Vec<Kept> {
    fn from(stacks: Stacks) -> Vec<Kept> {
        let kept = |Node { parent, frame }: &Node| (parent.0, frame.code.0, frame.offset);
        stacks.nodes[1..].iter().map(kept).collect()
    }
}

impl TryFrom<Vec<Kept>> for Stacks {
    type Error = &'static str;

    fn try_from(kept: Vec<Kept>) -> Result<Stacks, &'static str> {
        let mut stacks = Stacks::new();
        for (parent, code, offset) in kept {
            let id = stacks.len();
            let frame = Frame { code: CodeId(code), offset };
            let is_next = (parent as usize) < id && stacks.push(StackId(parent), frame).0 as usize == id;
            is_next.then_some(()).ok_or("stacks are in disorder")?;
        }
        Ok(stacks)
    }
}

impl Stacks {
    /// The most nodes; a forged capture could otherwise fill the memory.
    const MAX_NODES: usize = 1 << 26;

    /// With only the empty stack.
    pub fn new() -> Self {
        Self::default()
    }

    /// The stack that `frame`, called from `parent`, makes. Once the interner is
    /// full, an unknown frame is left out and counted.
    #[inline]
    pub fn push(&mut self, parent: StackId, frame: Frame) -> StackId {
        let hash = self.hash(parent, frame);
        let nodes = &self.nodes;
        let same = |&id: &u32| nodes[id as usize].parent == parent && nodes[id as usize].frame == frame;
        match self.index.find(hash, same) {
            Some(&id) => StackId(id),
            None => self.insert(hash, Node { parent, frame }),
        }
    }

    #[cold]
    fn insert(&mut self, hash: u64, node: Node) -> StackId {
        if self.nodes.len() >= Self::MAX_NODES {
            self.refused += 1;
            return node.parent;
        }
        let id = self.nodes.len() as u32;
        self.nodes.push(node);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index.insert_unique(hash, id, |&id| hash_node(hasher, nodes[id as usize]));
        StackId(id)
    }

    /// The stack without its leaf; `None` for the empty stack.
    #[inline]
    pub fn parent(&self, stack: StackId) -> Option<StackId> {
        if stack == StackId::EMPTY { None } else { self.nodes.get(stack.0 as usize).map(|node| node.parent) }
    }

    /// The leaf; `None` for the empty stack.
    pub fn leaf(&self, stack: StackId) -> Option<Frame> {
        if stack == StackId::EMPTY { None } else { self.nodes.get(stack.0 as usize).map(|node| node.frame) }
    }

    /// The frames of a stack, leaf first.
    pub fn frames(&self, stack: StackId) -> impl Iterator<Item = Frame> + '_ {
        let mut at = stack;
        std::iter::from_fn(move || {
            let frame = self.leaf(at)?;
            at = self.parent(at)?;
            Some(frame)
        })
    }

    /// Distinct stacks, inner ones and the empty one included. Every id is below this.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is only the empty stack.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Frames left out because the interner was full.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    #[inline]
    fn hash(&self, parent: StackId, frame: Frame) -> u64 {
        hash_node(&self.hasher, Node { parent, frame })
    }
}

#[inline]
fn hash_node(hasher: &DefaultHashBuilder, node: Node) -> u64 {
    let place = u64::from(node.frame.code.0) << 32 | u64::from(node.frame.offset as u32);
    hasher.hash_one((place, node.parent.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(code: u32, offset: i32) -> Frame {
        Frame { code: CodeId(code), offset }
    }

    #[test]
    fn equal_stacks_have_equal_ids() {
        let mut stacks = Stacks::new();
        let build = |stacks: &mut Stacks| {
            [frame(1, 4), frame(2, -1)].into_iter().fold(StackId::EMPTY, |at, frame| stacks.push(at, frame))
        };
        let first = build(&mut stacks);
        assert_eq!(build(&mut stacks), first);
        assert_eq!(stacks.len(), 3);
        assert_eq!(stacks.frames(first).collect::<Vec<_>>(), [frame(2, -1), frame(1, 4)]);
        assert_ne!(stacks.push(StackId::EMPTY, frame(2, -1)), first, "another parent is another stack");
    }

    #[test]
    fn thousands_of_nodes_stay_apart() {
        let mut stacks = Stacks::new();
        let ids: Vec<_> = (0..5000).map(|n| stacks.push(StackId(n / 2), frame(n, 2 * n as i32))).collect();
        for (n, &id) in ids.iter().enumerate() {
            assert_eq!(stacks.leaf(id), Some(frame(n as u32, 2 * n as i32)));
        }
    }

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 12);
    }
}
