//! What is offered, and what keys do to it. Knows no terminal.
//!
//! The selection is a process, not a line: it moves with its process, and when that ends nothing
//! is selected, so that Enter never takes another one than was seen.

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use signal_hook::consts::SIGINT;

use super::{Offer, Picked, Seen};

/// Lines that one turn of the wheel moves.
const WHEEL: usize = 3;

/// What is to be done outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Stay,
    /// End with this.
    Leave(Picked),
    /// Back to the shell for a while.
    Suspend,
}

/// An offer, and what two looks tell of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is offered.
    pub offer: Offer,
    /// By how much its resident set grew since the look before.
    pub growth_bytes: i64,
}

/// A process: its pid and its start.
type Id = (i32, u64);

impl Row {
    fn id(&self) -> Id {
        (self.offer.pid, self.offer.start_ticks)
    }

    fn is_free(&self) -> bool {
        self.offer.obstacle.is_none()
    }

    /// Whether pid, user or command have all these words.
    fn has(&self, words: &[String]) -> bool {
        let Offer { pid, user, command, .. } = &self.offer;
        let text = format!("{pid}\n{user}\n{command}").to_lowercase();
        words.iter().all(|word| text.contains(word))
    }
}

/// All of it.
pub struct State {
    /// All that is there.
    pub rows: Vec<Row>,
    /// What else there is to say.
    pub note: Option<String>,
    /// Only rows with these words are shown.
    pub filter: String,
    /// Rows as they are shown.
    pub shown: Vec<usize>,
    /// Said last.
    pub said: String,
    /// The first one on the screen.
    pub top: usize,
    selected: Option<Id>,
    /// Where the selection is, or was before its process ended.
    cursor: usize,
    height: usize,
    first_line: u16,
}

impl State {
    /// With what was seen first. If only one of those that can be recorded is the user's own, that
    /// is selected; else the first of them.
    pub fn new(first: Seen) -> State {
        let mut state = State {
            rows: Vec::new(),
            note: None,
            filter: String::new(),
            shown: Vec::new(),
            said: String::new(),
            top: 0,
            selected: None,
            cursor: 0,
            height: 1,
            first_line: 0,
        };
        state.take(first);
        let mut own = state.rows.iter().filter(|row| row.offer.is_own && row.is_free());
        let only = own.next().filter(|_| own.next().is_none()).map(Row::id);
        state.select_first(only);
        state
    }

    /// Takes what was seen later.
    pub fn take(&mut self, seen: Seen) {
        let before = std::mem::take(&mut self.rows);
        let row = |offer: Offer| {
            let same = |row: &&Row| row.id() == (offer.pid, offer.start_ticks);
            let old_bytes =
                before.iter().find(same).map_or(offer.resident_bytes, |row| row.offer.resident_bytes);
            Row { growth_bytes: offer.resident_bytes.wrapping_sub(old_bytes) as i64, offer }
        };
        self.rows = seen.offers.into_iter().map(row).collect();
        self.note = seen.note;
        self.arrange();
        if let Some((pid, _)) = self.selected.take_if(|id| !self.rows.iter().any(|row| row.id() == *id)) {
            self.said = format!("process {pid} has ended; ↑ ↓ select another one");
        }
    }

    /// The list has so many lines on the screen, from this one on.
    pub fn fit(&mut self, first_line: u16, height: u16) {
        (self.first_line, self.height) = (first_line, usize::from(height).max(1));
        let last = self.shown.len().saturating_sub(self.height);
        let lowest = (self.cursor + 1).saturating_sub(self.height);
        self.top = self.top.clamp(lowest, self.cursor).min(last);
    }

    /// The selected row, and where it is among those that are shown.
    pub fn selected(&self) -> Option<(usize, &Row)> {
        let at = self.position(self.selected?)?;
        Some((at, &self.rows[self.shown[at]]))
    }

    /// Takes a key or another event of the terminal.
    pub fn on(&mut self, event: &Event) -> Outcome {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                self.said.clear();
                self.on_key(*key)
            }
            Event::Mouse(mouse) => {
                self.on_mouse(*mouse);
                Outcome::Stay
            }
            _ => Outcome::Stay,
        }
    }

    fn on_key(&mut self, key: KeyEvent) -> Outcome {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Outcome::Leave(Picked::Signal(SIGINT)),
            KeyCode::Char('z') if is_control => return Outcome::Suspend,
            KeyCode::Char('u') if is_control => self.set_filter(String::new()),
            KeyCode::Char(_) if is_control => {}
            KeyCode::Enter => return self.choose(),
            KeyCode::Esc if self.filter.is_empty() => return Outcome::Leave(Picked::Nothing),
            KeyCode::Esc => self.set_filter(String::new()),
            KeyCode::Char(typed) => self.set_filter(format!("{}{typed}", self.filter)),
            KeyCode::Backspace => {
                let mut text = self.filter.clone();
                text.pop();
                self.set_filter(text);
            }
            KeyCode::Up => self.go(self.cursor.saturating_sub(self.is_selected().into())),
            KeyCode::Down => self.go(self.cursor + usize::from(self.is_selected())),
            KeyCode::PageUp => self.go(self.cursor.saturating_sub(self.height)),
            KeyCode::PageDown => self.go(self.cursor + self.height),
            KeyCode::Home => self.go(0),
            KeyCode::End => self.go(usize::MAX),
            _ => {}
        }
        Outcome::Stay
    }

    fn on_mouse(&mut self, mouse: MouseEvent) {
        match mouse.kind {
            MouseEventKind::ScrollUp => self.go(self.cursor.saturating_sub(WHEEL)),
            MouseEventKind::ScrollDown => self.go(self.cursor + WHEEL),
            MouseEventKind::Down(MouseButton::Left) => {
                let line = mouse.row.checked_sub(self.first_line).map(usize::from);
                let line = line.filter(|&line| line < self.height.min(self.shown.len() - self.top));
                line.into_iter().for_each(|line| self.go(self.top + line));
            }
            _ => {}
        }
    }

    /// Ends with the selected process if it can be recorded.
    fn choose(&mut self) -> Outcome {
        let why = match self.selected() {
            None => "nothing is selected; ↑ ↓ select a process".to_owned(),
            Some((_, Row { offer: Offer { pid, start_ticks, obstacle, .. }, .. })) => match obstacle {
                None => return Outcome::Leave(Picked::Process(*pid, *start_ticks)),
                Some(why) => format!("cannot be recorded: {why}"),
            },
        };
        self.said = why;
        Outcome::Stay
    }

    fn is_selected(&self) -> bool {
        self.selected.is_some()
    }

    fn go(&mut self, to: usize) {
        self.cursor = to.min(self.shown.len().saturating_sub(1));
        self.selected = self.shown.get(self.cursor).map(|&row| self.rows[row].id());
    }

    fn set_filter(&mut self, text: String) {
        self.filter = text;
        self.arrange();
        self.select_first(self.selected);
    }

    /// Selects this one if it is shown, else the first that can be recorded, else the first.
    fn select_first(&mut self, wanted: Option<Id>) {
        let free = || self.shown.iter().position(|&row| self.rows[row].is_free());
        let at = wanted.and_then(|id| self.position(id)).or_else(free);
        self.go(at.unwrap_or(0));
    }

    /// Filters; the cursor goes with its process.
    fn arrange(&mut self) {
        let words: Vec<_> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        self.shown = (0..self.rows.len()).filter(|&row| self.rows[row].has(&words)).collect();
        let at = self.selected.and_then(|id| self.position(id));
        self.cursor = at.unwrap_or(self.cursor).min(self.shown.len().saturating_sub(1));
    }

    fn position(&self, id: Id) -> Option<usize> {
        self.shown.iter().position(|&row| self.rows[row].id() == id)
    }
}
