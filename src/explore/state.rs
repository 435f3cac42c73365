//! What is on the screen, and how keys change it. No terminal, no drawing.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::keys::{Action, action};
use super::material::{Material, SpotId};
use super::search::Search;
use super::shape::Shape;
use super::tree::{Label, NodeId, Tree};
use crate::report::View;

/// Lines that a turn of the mouse wheel moves.
const WHEEL: usize = 3;

/// What is shown and chosen.
pub struct State<'p> {
    /// What the tree is made of.
    pub material: &'p Material<'p>,
    /// Which tree it is.
    pub shape: Shape,
    /// The tree.
    pub tree: Tree,
    /// What is looked for.
    pub search: Search,
    /// Who gets the keys.
    pub mode: Mode,
    /// The nodes that have a line, from top to bottom.
    lines: Vec<NodeId>,
    /// By node.
    is_open: Vec<bool>,
    /// In [`State::lines`].
    cursor: usize,
    /// The first line on the screen.
    top: usize,
    /// Lines on the screen, and the row of the first.
    height: usize,
    first_row: u16,
}

/// Who gets the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The tree.
    Browse,
    /// The text to look for, as typed so far.
    Typing(String),
    /// The explanation of the keys.
    Help,
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Draw.
    Stay,
    /// End.
    Quit,
    /// Back to the shell for a while.
    Suspend,
}

impl<'p> State<'p> {
    /// At the root; the largest places are in sight.
    pub fn new(material: &'p Material<'p>, shape: Shape) -> State<'p> {
        let tree = shape.tree(material);
        let mut state = State {
            material,
            shape,
            is_open: open_largest(&tree),
            tree,
            search: Search::default(),
            mode: Mode::Browse,
            lines: Vec::new(),
            cursor: 0,
            top: 0,
            height: 1,
            first_row: 0,
        };
        state.list();
        state
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

    /// The place that the cursor is at.
    pub fn spot(&self) -> Option<SpotId> {
        match self.tree.node(self.selected()).label {
            Label::Spot(spot) => Some(spot),
            _ => None,
        }
    }

    /// Whether the children of a node are shown.
    pub fn is_open(&self, node: NodeId) -> bool {
        self.is_open[node.index()]
    }

    /// The line of the cursor and how many lines there are.
    pub fn position(&self) -> (usize, usize) {
        (self.cursor + 1, self.lines.len())
    }

    /// Takes what came from the terminal.
    pub fn on(&mut self, event: &Event) -> Outcome {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.on_key(*key),
            Event::Mouse(mouse) => self.on_mouse(*mouse),
            _ => Outcome::Stay,
        }
    }

    fn on_key(&mut self, key: KeyEvent) -> Outcome {
        let wanted = action(key);
        match &mut self.mode {
            Mode::Typing(_) if wanted == Some(Action::Suspend) => return Outcome::Suspend,
            Mode::Typing(text) => {
                let text = std::mem::take(text);
                self.type_key(text, key);
            }
            Mode::Help => {
                self.mode = Mode::Browse;
                return if wanted == Some(Action::Suspend) { Outcome::Suspend } else { Outcome::Stay };
            }
            Mode::Browse => return wanted.map_or(Outcome::Stay, |action| self.act(action)),
        }
        Outcome::Stay
    }

    fn on_mouse(&mut self, mouse: MouseEvent) -> Outcome {
        if self.mode != Mode::Browse {
            return Outcome::Stay;
        }
        match mouse.kind {
            MouseEventKind::ScrollUp => self.go(self.cursor.saturating_sub(WHEEL)),
            MouseEventKind::ScrollDown => self.go(self.cursor + WHEEL),
            MouseEventKind::Down(MouseButton::Left) => self.click(mouse.row),
            _ => {}
        }
        Outcome::Stay
    }

    /// Does what a key asks for.
    pub fn act(&mut self, action: Action) -> Outcome {
        match action {
            Action::Up => self.go(self.cursor.saturating_sub(1)),
            Action::Down => self.go(self.cursor + 1),
            Action::PageUp => self.go(self.cursor.saturating_sub(self.height)),
            Action::PageDown => self.go(self.cursor + self.height),
            Action::Home => self.go(0),
            Action::End => self.go(usize::MAX),
            Action::Open => self.open(),
            Action::Close => self.close(),
            Action::Toggle => self.set_open(self.selected(), !self.is_open(self.selected())),
            Action::OpenRun => self.open_run(),
            Action::Imports => self.reshape(Shape { hides_imports: !self.shape.hides_imports, ..self.shape }),
            Action::Plumbing => {
                self.reshape(Shape { hides_plumbing: !self.shape.hides_plumbing, ..self.shape });
            }
            Action::ByThread => self.reshape(Shape { by_thread: !self.shape.by_thread, ..self.shape }),
            Action::Invert => self.reshape(Shape { is_inverted: !self.shape.is_inverted, ..self.shape }),
            Action::NextView => self.turn(1),
            Action::PreviousView => self.turn(-1),
            Action::Search => self.mode = Mode::Typing(String::new()),
            Action::NextHit => self.go_to_hit(true),
            Action::PreviousHit => self.go_to_hit(false),
            Action::Help => self.mode = Mode::Help,
            Action::Escape if !self.search.text.is_empty() => self.search = Search::default(),
            Action::Escape | Action::Quit => return Outcome::Quit,
            Action::Suspend => return Outcome::Suspend,
        }
        Outcome::Stay
    }

    fn go(&mut self, line: usize) {
        self.cursor = line.min(self.lines.len() - 1);
        self.scroll();
    }

    fn scroll(&mut self) {
        let last = self.lines.len().saturating_sub(self.height);
        let lowest = (self.cursor + 1).saturating_sub(self.height);
        self.top = self.top.clamp(lowest, self.cursor).min(last);
    }

    fn click(&mut self, row: u16) {
        let Some(line) = row.checked_sub(self.first_row).map(|row| self.top + usize::from(row)) else {
            return;
        };
        if line >= self.lines.len().min(self.top + self.height) {
            return;
        }
        self.go(line);
        self.act(Action::Toggle);
    }

    fn open(&mut self) {
        let selected = self.selected();
        match self.is_open(selected) {
            false => self.set_open(selected, true),
            true if self.tree.node(selected).children.is_empty() => {}
            true => self.go(self.cursor + 1),
        }
    }

    fn close(&mut self) {
        let selected = self.selected();
        match self.is_open(selected) && !self.tree.node(selected).children.is_empty() {
            true => self.set_open(selected, false),
            false => self.reveal(self.tree.node(selected).parent),
        }
    }

    fn open_run(&mut self) {
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
    fn reveal(&mut self, node: NodeId) {
        for above in self.tree.ancestors(node).skip(1) {
            self.is_open[above.index()] = true;
        }
        self.list();
        let line = self.lines.iter().position(|&line| line == node);
        self.go(line.expect("all above it are open"));
    }

    /// Another view; that of the leaks after the last gap only where there was one.
    fn turn(&mut self, by: isize) {
        let is_offered = |view: &View| *view != View::LateLeaks || self.material.has_gaps;
        let views: Vec<_> = View::ALL.into_iter().filter(is_offered).collect();
        let at = views.iter().position(|&view| view == self.shape.view).unwrap_or(1);
        let next = (at as isize + by).rem_euclid(views.len() as isize) as usize;
        self.reshape(Shape { view: views[next], ..self.shape });
    }

    /// Makes another tree. What was open stays open, and the cursor at its place, as far
    /// as the new tree has them.
    fn reshape(&mut self, shape: Shape) {
        let tree = shape.tree(self.material);
        let counterpart = |id: NodeId| {
            let node = self.tree.node(id);
            let path = node.sample.map(|row| shape.path(self.material, row)).unwrap_or_default();
            match node.label {
                Label::All => Tree::ROOT,
                label => tree.find(&path, label),
            }
        };
        let selected = counterpart(self.selected());
        let mut is_open = open_largest(&tree);
        if shape.is_inverted == self.shape.is_inverted {
            for id in self.tree.outline(|_| true) {
                let found = counterpart(id);
                if tree.node(found).label == self.tree.node(id).label {
                    is_open[found.index()] = self.is_open(id);
                }
            }
        }
        (self.tree, self.shape, self.is_open) = (tree, shape, is_open);
        self.search = Search::new(std::mem::take(&mut self.search.text), &self.tree, self.material);
        self.reveal(selected);
    }

    fn type_key(&mut self, mut text: String, key: KeyEvent) {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.mode = match key.code {
            KeyCode::Esc => Mode::Browse,
            KeyCode::Char('c') if is_control => Mode::Browse,
            KeyCode::Char('u') if is_control => Mode::Typing(String::new()),
            KeyCode::Enter => {
                self.look_for(text);
                Mode::Browse
            }
            KeyCode::Backspace if text.pop().is_none() => Mode::Browse,
            KeyCode::Char(typed) if !is_control => {
                text.push(typed);
                Mode::Typing(text)
            }
            _ => Mode::Typing(text),
        };
    }

    fn look_for(&mut self, text: String) {
        self.search = Search::new(text, &self.tree, self.material);
        if !self.search.has(self.selected()) {
            self.go_to_hit(true);
        }
    }

    /// To the hit next to the cursor, and round at the end.
    fn go_to_hit(&mut self, is_forward: bool) {
        let mut all = self.tree.outline(|_| true);
        if !is_forward {
            all.reverse();
        }
        let Some(here) = all.iter().position(|&id| id == self.selected()) else { return };
        let mut after = all[here + 1..].iter().chain(&all[..=here]);
        let found = after.find(|&&id| self.search.has(id)).copied();
        if let Some(hit) = found {
            self.reveal(hit);
        }
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
