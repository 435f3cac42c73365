//! What is looked at, and what keys do to it. Knows no terminal.

use hashbrown::HashSet;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::time::Duration;

use super::tree::{counterpart, tree};
use crate::explore::outline::Outline;
use crate::report::{Grouping, LiveRow, Snapshot};

/// What the figures are sorted by, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Live bytes of its own.
    #[default]
    Own,
    /// Live bytes with what it called.
    Total,
    /// Live blocks.
    Blocks,
    /// Allocations made.
    Made,
    /// Growth since the mark.
    Growth,
}

impl Order {
    /// In the order in which `s` goes through them.
    pub const ALL: [Order; 5] = [Order::Own, Order::Total, Order::Blocks, Order::Made, Order::Growth];

    fn next(self) -> Order {
        let at = Order::ALL.iter().position(|&order| order == self).unwrap_or(0);
        Order::ALL[(at + 1) % Order::ALL.len()]
    }

    /// Of a row.
    fn key(self, row: &LiveRow) -> i128 {
        match self {
            Order::Own => row.own.bytes.into(),
            Order::Total => row.total_bytes.into(),
            Order::Blocks => row.own.blocks.into(),
            Order::Made => row.made.into(),
            Order::Growth => row.growth_bytes.into(),
        }
    }
}

/// What keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Looking.
    Look,
    /// Typing a filter; it applies at once.
    Filter,
    /// Reading the help.
    Help,
}

/// Whose recording it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// That of another prof.
    Viewer,
    /// Our own: it ends with the view.
    Recorder,
}

impl Role {
    /// The command that it belongs to.
    pub fn command(self) -> &'static str {
        match self {
            Role::Viewer => "live",
            Role::Recorder => "attach",
        }
    }

    /// The keys with what they do, for people.
    pub fn help(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_role: &[_] = match self {
            Role::Viewer => &[
                ("Ctrl-Z", "back to the shell; `fg` continues"),
                ("q Ctrl-C", "quit the view; the recording goes on"),
            ],
            Role::Recorder => &[("q Ctrl-C", "end the recording, and print the report")],
        };
        HELP.iter().chain(of_role).copied()
    }

    /// What `q` does, in a word.
    pub fn leaving(self) -> &'static str {
        match self {
            Role::Viewer => "quit",
            Role::Recorder => "end",
        }
    }
}

/// What is to be done outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Stay,
    /// End.
    Quit,
    /// Back to the shell for a while.
    Suspend,
    /// Growth counts from now on.
    Mark,
    /// Growth counts from the start.
    Unmark,
    /// Rows are made in another way.
    Regroup,
    /// A page is wanted.
    Write,
}

/// The keys that do the same in all roles.
const HELP: [(&str, &str); 13] = [
    ("↑ ↓  k j", "row up, row down (PgUp PgDn Home End too)"),
    ("s", "sort by the next column"),
    ("f", "rows are functions, or lines of functions"),
    ("t", "a tree of callers and what they called, or the table"),
    ("→ ←  l h", "tree: show or hide what is below (Enter too)"),
    ("e", "tree: show all below while there is only one way to go"),
    ("T", "threads apart, or merged"),
    ("/", "show only rows with a text; Enter keeps it, Esc drops it"),
    ("m", "set the mark: growth counts from here"),
    ("M", "remove the mark: growth counts from the start"),
    ("Space p", "hold the figures still, or go on; the recording goes on"),
    ("w", "write the HTML page of what is recorded so far"),
    ("?", "this help"),
];

/// All of it.
pub struct State {
    /// What is watched.
    pub title: String,
    /// Whose recording it is.
    pub role: Role,
    /// How rows are made.
    pub grouping: Grouping,
    /// How they are sorted.
    pub order: Order,
    /// Only rows with this are shown.
    pub filter: String,
    /// What keys are for.
    pub mode: Mode,
    /// Whether the figures stand still.
    pub is_paused: bool,
    /// For so long nothing new was in the capture.
    pub quiet: Duration,
    /// The figures.
    pub snapshot: Snapshot,
    /// Rates a second since the snapshot before.
    pub allocations_per_second: u64,
    /// Said last.
    pub said: String,
    /// Rows of the snapshot, as they are shown.
    pub shown: Vec<usize>,
    /// The same as a tree, while that is shown.
    pub outline: Option<Outline>,
    /// Which of them the cursor is on.
    pub cursor: usize,
    /// The first one on the screen.
    pub top: usize,
    height: usize,
}

impl State {
    /// With nothing seen yet.
    pub fn new(title: String, role: Role) -> State {
        State {
            title,
            role,
            grouping: Grouping::default(),
            order: Order::default(),
            filter: String::new(),
            mode: Mode::Look,
            is_paused: false,
            quiet: Duration::ZERO,
            snapshot: Snapshot::default(),
            allocations_per_second: 0,
            said: String::new(),
            shown: Vec::new(),
            outline: None,
            cursor: 0,
            top: 0,
            height: 1,
        }
    }

    /// Takes newer figures. The cursor stays on its row if that is still there.
    pub fn take(&mut self, snapshot: Snapshot) {
        let (made, nanos) = (
            snapshot.allocations.saturating_sub(self.snapshot.allocations),
            snapshot.at_ns.saturating_sub(self.snapshot.at_ns),
        );
        if let Some(rate) = (u128::from(made) * 1_000_000_000).checked_div(u128::from(nanos)) {
            self.allocations_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
        }
        let selected = self.selected().cloned();
        self.snapshot = snapshot;
        self.arrange(selected);
    }

    /// Says something in the last line, until the next key.
    pub fn say(&mut self, text: String) {
        self.said = text;
    }

    /// So many rows are on the screen.
    pub fn fit(&mut self, height: usize) {
        self.height = height.max(1);
        let lowest_top = (self.cursor + 1).saturating_sub(self.height);
        self.top = self.top.clamp(lowest_top, self.cursor.max(lowest_top));
        self.top = self.top.min(self.shown.len().saturating_sub(self.height)).max(lowest_top);
    }

    /// The row of the cursor.
    pub fn selected(&self) -> Option<&LiveRow> {
        self.snapshot.rows.get(*self.shown.get(self.cursor)?)
    }

    /// Takes a key or another event of the terminal.
    pub fn on(&mut self, event: &Event) -> Outcome {
        let Event::Key(key) = event else { return Outcome::Stay };
        if key.kind == KeyEventKind::Release {
            return Outcome::Stay;
        }
        self.said.clear();
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Outcome::Quit,
                KeyCode::Char('z') if self.role == Role::Viewer => Outcome::Suspend,
                KeyCode::Char('z') => {
                    self.say("Ctrl-Z would stop the recording too; q ends it".to_owned());
                    Outcome::Stay
                }
                _ => Outcome::Stay,
            };
        }
        match self.mode {
            Mode::Look => self.look(*key),
            Mode::Filter => self.type_filter(*key),
            Mode::Help => {
                self.mode = Mode::Look;
                Outcome::Stay
            }
        }
    }

    fn look(&mut self, key: KeyEvent) -> Outcome {
        match key.code {
            KeyCode::Char('q') => return Outcome::Quit,
            KeyCode::Char('m') => return Outcome::Mark,
            KeyCode::Char('M') => return Outcome::Unmark,
            KeyCode::Char('w') => return Outcome::Write,
            KeyCode::Char('f') => {
                self.grouping.by_function = !self.grouping.by_function;
                return self.regroup();
            }
            KeyCode::Char('t') => {
                self.grouping.has_paths = !self.grouping.has_paths;
                return self.regroup();
            }
            KeyCode::Char('T') => {
                self.grouping.by_thread = !self.grouping.by_thread;
                return self.regroup();
            }
            KeyCode::Char('s') if self.outline.is_some() => {
                self.say("the tree goes by live bytes; t shows the table".to_owned());
            }
            KeyCode::Char('s') => {
                self.order = self.order.next();
                self.arrange(None);
                self.cursor = 0;
            }
            KeyCode::Char(' ' | 'p') => self.is_paused = !self.is_paused,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Esc => self.set_filter(String::new()),
            code => match &mut self.outline {
                Some(outline) => walk(outline, code),
                None => self.walk(code),
            },
        }
        Outcome::Stay
    }

    fn walk(&mut self, code: KeyCode) {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.go(self.cursor.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.go(self.cursor + 1),
            KeyCode::PageUp => self.go(self.cursor.saturating_sub(self.height)),
            KeyCode::PageDown => self.go(self.cursor + self.height),
            KeyCode::Home => self.go(0),
            KeyCode::End => self.go(usize::MAX),
            _ => {}
        }
    }

    fn type_filter(&mut self, key: KeyEvent) -> Outcome {
        let mut text = self.filter.clone();
        match key.code {
            KeyCode::Enter => self.mode = Mode::Look,
            KeyCode::Esc => {
                self.mode = Mode::Look;
                text.clear();
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(typed) => text.push(typed),
            _ => {}
        }
        self.set_filter(text);
        Outcome::Stay
    }

    fn set_filter(&mut self, text: String) {
        if text != self.filter {
            self.filter = text;
            let selected = self.selected().cloned();
            self.arrange(selected);
        }
    }

    fn go(&mut self, to: usize) {
        self.cursor = to.min(self.shown.len().saturating_sub(1));
    }

    /// Filters and sorts.
    fn arrange(&mut self, selected: Option<LiveRow>) {
        let (rows, order) = (&self.snapshot.rows, self.order);
        let wanted = self.filter.to_lowercase();
        let has_it = |text: &str| text.to_lowercase().contains(&wanted);
        let is_shown = |row: &LiveRow| {
            has_it(&row.function) || has_it(&row.file) || row.thread.as_deref().is_some_and(has_it)
        };
        self.shown = (0..rows.len()).filter(|&row| wanted.is_empty() || is_shown(&rows[row])).collect();
        let name = |row: &LiveRow| (row.function.clone(), row.file.clone(), row.line, row.thread.clone());
        self.shown.sort_by_cached_key(|&row| (-order.key(&rows[row]), name(&rows[row])));
        let same = |&row: &usize| selected.as_ref().is_some_and(|old| name(old) == name(&rows[row]));
        match self.shown.iter().position(same) {
            // At the top one wants to see what comes to the top.
            Some(at) if self.cursor > 0 => self.cursor = at,
            _ => self.go(self.cursor),
        }
        if self.grouping.has_paths {
            self.grow();
        }
    }

    /// Makes the tree anew, of what is shown. What is open and the cursor stay, by their paths.
    fn grow(&mut self) {
        let shown: HashSet<_> = self.shown.iter().map(|&row| row as u32).collect();
        let tree = tree(&self.snapshot, |path| path.rows.iter().any(|row| shown.contains(row)));
        match &mut self.outline {
            Some(outline) => outline.replace(tree, true, counterpart),
            None => self.outline = Some(Outline::new(tree)),
        }
    }

    /// Rows have other numbers: what is kept of the tree would mean others.
    fn regroup(&mut self) -> Outcome {
        self.outline = None;
        Outcome::Regroup
    }
}

/// Goes through the tree.
fn walk(outline: &mut Outline, code: KeyCode) {
    match code {
        KeyCode::Up | KeyCode::Char('k') => outline.step(-1),
        KeyCode::Down | KeyCode::Char('j') => outline.step(1),
        KeyCode::PageUp => outline.page(-1),
        KeyCode::PageDown => outline.page(1),
        KeyCode::Home => outline.go(0),
        KeyCode::End => outline.go(usize::MAX),
        KeyCode::Right | KeyCode::Char('l') => outline.open(),
        KeyCode::Left | KeyCode::Char('h') => outline.close(),
        KeyCode::Enter => outline.toggle(),
        KeyCode::Char('e') => outline.open_run(),
        _ => {}
    }
}
