//! What is on the screen, and how keys change it. No terminal, no drawing.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::keys::{Action, action};
use super::material::{Material, SpotId};
use super::outline::Outline;
use super::search::Search;
use super::shape::Shape;
use super::tree::{Label, NodeId, Tree};
use crate::report::View;

/// Lines that a turn of the mouse wheel moves.
const WHEEL: isize = 3;

/// What is shown and chosen.
pub struct State<'p> {
    /// What the tree is made of.
    pub material: &'p Material<'p>,
    /// Which tree it is.
    pub shape: Shape,
    /// The tree, and what is seen of it.
    pub outline: Outline,
    /// What is looked for.
    pub search: Search,
    /// Who gets the keys.
    pub mode: Mode,
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
        let outline = Outline::new(shape.tree(material));
        State { material, shape, outline, search: Search::default(), mode: Mode::Browse }
    }

    /// The place that the cursor is at.
    pub fn spot(&self) -> Option<SpotId> {
        match self.outline.tree.node(self.outline.selected()).label {
            Label::Spot(spot) => Some(spot),
            _ => None,
        }
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
            MouseEventKind::ScrollUp => self.outline.step(-WHEEL),
            MouseEventKind::ScrollDown => self.outline.step(WHEEL),
            MouseEventKind::Down(MouseButton::Left) => self.outline.click(mouse.row),
            _ => {}
        }
        Outcome::Stay
    }

    /// Does what a key asks for.
    pub fn act(&mut self, action: Action) -> Outcome {
        match action {
            Action::Up => self.outline.step(-1),
            Action::Down => self.outline.step(1),
            Action::PageUp => self.outline.page(-1),
            Action::PageDown => self.outline.page(1),
            Action::Home => self.outline.go(0),
            Action::End => self.outline.go(usize::MAX),
            Action::Open => self.outline.open(),
            Action::Close => self.outline.close(),
            Action::Toggle => self.outline.toggle(),
            Action::OpenRun => self.outline.open_run(),
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
        let material = self.material;
        let counterpart = |old: &Tree, new: &Tree, id: NodeId| {
            let node = old.node(id);
            let path = node.sample.map(|row| shape.path(material, row)).unwrap_or_default();
            match node.label {
                Label::All => Tree::ROOT,
                label => new.find(&path, label),
            }
        };
        let keeps_open = shape.is_inverted == self.shape.is_inverted;
        self.outline.replace(shape.tree(material), keeps_open, counterpart);
        self.shape = shape;
        self.search = Search::new(std::mem::take(&mut self.search.text), &self.outline.tree, self.material);
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
        self.search = Search::new(text, &self.outline.tree, self.material);
        if !self.search.has(self.outline.selected()) {
            self.go_to_hit(true);
        }
    }

    /// To the hit next to the cursor, and round at the end.
    fn go_to_hit(&mut self, is_forward: bool) {
        let mut all = self.outline.tree.outline(|_| true);
        if !is_forward {
            all.reverse();
        }
        let Some(here) = all.iter().position(|&id| id == self.outline.selected()) else { return };
        let mut after = all[here + 1..].iter().chain(&all[..=here]);
        let found = after.find(|&&id| self.search.has(id)).copied();
        if let Some(hit) = found {
            self.outline.reveal(hit);
        }
    }
}
