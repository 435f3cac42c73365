//! A tree as lines on the screen: which of its nodes are open, which line the cursor is at.

use super::tree::{NodeId, Tree};

/// A tree, and what is seen of it.
#[derive(Debug)]
pub struct Outline {
    /// The tree.
    pub tree: Tree,
    /// The nodes that have a line, from top to bottom.
    lines: Vec<NodeId>,
    /// By node.
    is_open: Vec<bool>,
    /// In [`Outline::lines`].
    cursor: usize,
    /// The first line on the screen.
    top: usize,
    /// Lines on the screen, and the row of the first.
    height: usize,
    first_row: u16,
}

impl Outline {
    /// At the root; the largest places are in sight.
    pub fn new(tree: Tree) -> Outline {
        let is_open = open_largest(&tree);
        let mut outline =
            Outline { tree, lines: Vec::new(), is_open, cursor: 0, top: 0, height: 1, first_row: 0 };
        outline.list();
        outline
    }

    /// Says where on the screen the lines are.
    pub fn fit(&mut self, first_row: u16, height: u16) {
        (self.first_row, self.height) = (first_row, usize::from(height).max(1));
        self.scroll();
    }

    /// The nodes on the screen, and whether the cursor is there.
    pub fn on_screen(&self) -> impl Iterator<Item = (NodeId, bool)> + '_ {
        let lines = self.lines.iter().enumerate().skip(self.top).take(self.height);
        lines.map(|(at, &id)| (id, at == self.cursor))
    }

    /// The node that the cursor is at.
    pub fn selected(&self) -> NodeId {
        self.lines[self.cursor]
    }

    /// Whether the children of a node are shown.
    pub fn is_open(&self, node: NodeId) -> bool {
        self.is_open[node.index()]
    }

    /// The line of the cursor and how many lines there are.
    pub fn position(&self) -> (usize, usize) {
        (self.cursor + 1, self.lines.len())
    }

    /// Moves the cursor by so many lines.
    pub fn step(&mut self, lines: isize) {
        self.go(self.cursor.saturating_add_signed(lines));
    }

    /// Moves the cursor by so many screens.
    pub fn page(&mut self, screens: isize) {
        self.step(screens * self.height as isize);
    }

    /// Puts the cursor at a line, or at the last.
    pub fn go(&mut self, line: usize) {
        self.cursor = line.min(self.lines.len() - 1);
        self.scroll();
    }

    fn scroll(&mut self) {
        let last = self.lines.len().saturating_sub(self.height);
        let lowest = (self.cursor + 1).saturating_sub(self.height);
        self.top = self.top.clamp(lowest, self.cursor).min(last);
    }

    /// Shows or hides what is below the line in this row of the screen.
    pub fn click(&mut self, row: u16) {
        let Some(line) = row.checked_sub(self.first_row).map(|row| self.top + usize::from(row)) else {
            return;
        };
        if line >= self.lines.len().min(self.top + self.height) {
            return;
        }
        self.go(line);
        self.toggle();
    }

    /// Shows what is below, or goes there.
    pub fn open(&mut self) {
        let selected = self.selected();
        match self.is_open(selected) {
            false => self.set_open(selected, true),
            true if self.tree.node(selected).children.is_empty() => {}
            true => self.step(1),
        }
    }

    /// Hides what is below, or goes to the parent.
    pub fn close(&mut self) {
        let selected = self.selected();
        match self.is_open(selected) && !self.tree.node(selected).children.is_empty() {
            true => self.set_open(selected, false),
            false => self.reveal(self.tree.node(selected).parent),
        }
    }

    /// Shows or hides what is below.
    pub fn toggle(&mut self) {
        self.set_open(self.selected(), !self.is_open(self.selected()));
    }

    /// Shows all below for as long as there is only one way to go.
    pub fn open_run(&mut self) {
        let mut at = self.selected();
        self.is_open[at.index()] = true;
        while let [only] = self.tree.node(at).children[..] {
            at = only;
            self.is_open[at.index()] = true;
        }
        self.list();
    }

    fn set_open(&mut self, node: NodeId, is_open: bool) {
        self.is_open[node.index()] = is_open;
        self.list();
    }

    /// Brings the lines up to date; the cursor stays at its line.
    fn list(&mut self) {
        self.lines = self.tree.outline(|node| self.is_open(node));
        self.go(self.cursor);
    }

    /// Puts the cursor at a node, wherever that is.
    pub fn reveal(&mut self, node: NodeId) {
        for above in self.tree.ancestors(node).skip(1) {
            self.is_open[above.index()] = true;
        }
        self.list();
        let line = self.lines.iter().position(|&line| line == node);
        self.go(line.expect("all above it are open"));
    }

    /// Shows another tree. What was open stays open, and the cursor at its node, where
    /// `counterpart` finds them in the other one.
    pub fn replace(
        &mut self,
        tree: Tree,
        keeps_open: bool,
        counterpart: impl Fn(&Tree, &Tree, NodeId) -> NodeId,
    ) {
        let selected = counterpart(&self.tree, &tree, self.selected());
        let mut is_open = open_largest(&tree);
        if keeps_open {
            // Callers last: where a node is gone its caller may be its counterpart.
            for id in self.tree.outline(|_| true).into_iter().rev() {
                let found = counterpart(&self.tree, &tree, id);
                if tree.node(found).label == self.tree.node(id).label {
                    is_open[found.index()] = self.is_open(id);
                }
            }
        }
        (self.tree, self.is_open) = (tree, is_open);
        self.reveal(selected);
    }
}

/// Every first child is open, so that opening a node shows the largest place below it.
fn open_largest(tree: &Tree) -> Vec<bool> {
    let mut is_open = vec![false; tree.len()];
    is_open[Tree::ROOT.index()] = true;
    for id in tree.outline(|_| true) {
        if let Some(first) = tree.node(id).children.first() {
            is_open[first.index()] = true;
        }
    }
    is_open
}
