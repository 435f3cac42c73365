//! Which key does what.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for while the tree is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To the line above.
    Up,
    /// To the line below.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the first line.
    Home,
    /// To the last line.
    End,
    /// Show what is below, or go there.
    Open,
    /// Hide what is below, or go to the parent.
    Close,
    /// Show or hide what is below.
    Toggle,
    /// Show all below for as long as there is only one way to go.
    OpenRun,
    /// Leave frames of the import system out, or not.
    Imports,
    /// Leave frames out that only start something else, or not.
    Plumbing,
    /// Threads as the first level, or not.
    ByThread,
    /// Callees first, or callers.
    Invert,
    /// The next view.
    NextView,
    /// The view before.
    PreviousView,
    /// Type a text to look for.
    Search,
    /// To the next place where it was found.
    NextHit,
    /// To the one before.
    PreviousHit,
    /// Show what the keys do.
    Help,
    /// Leave off what was begun last: a search, or all.
    Escape,
    /// End.
    Quit,
    /// Back to the shell for a while.
    Suspend,
}

/// The keys with what they do, for people.
pub const HELP: [(&str, &str); 16] = [
    ("↑ ↓  k j", "line up, line down (also the mouse wheel)"),
    ("→  l", "show what is below, or go there"),
    ("←  h", "hide what is below, or go to the parent"),
    ("Enter Space", "show or hide what is below (also a click)"),
    ("e", "show all below while there is only one way to go"),
    ("PgUp PgDn", "screen up, screen down"),
    ("Home End  g G", "first line, last line"),
    ("v V", "next view, view before: peak, leaks, temporary, all"),
    ("s", "split by thread, or not"),
    ("r", "what allocated first and its callers below, or back"),
    ("i", "hide frames of the import system, or show them"),
    ("u", "show frames of runpy and of starting threads, or hide them"),
    ("/", "search in functions, files and threads; Esc ends it"),
    ("n N", "next hit, hit before"),
    ("Ctrl-Z", "back to the shell; `fg` continues"),
    ("q Esc", "quit"),
];

/// What a key asks for, if anything.
pub fn action(key: KeyEvent) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('z') => Some(Action::Suspend),
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('b') => Some(Action::PageUp),
            KeyCode::Char('f') => Some(Action::PageDown),
            _ => None,
        };
    }
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Down),
        KeyCode::PageUp => Some(Action::PageUp),
        KeyCode::PageDown => Some(Action::PageDown),
        KeyCode::Home | KeyCode::Char('g') => Some(Action::Home),
        KeyCode::End | KeyCode::Char('G') => Some(Action::End),
        KeyCode::Right | KeyCode::Char('l') => Some(Action::Open),
        KeyCode::Left | KeyCode::Char('h') => Some(Action::Close),
        KeyCode::Enter | KeyCode::Char(' ') => Some(Action::Toggle),
        KeyCode::Char('e') => Some(Action::OpenRun),
        KeyCode::Char('i') => Some(Action::Imports),
        KeyCode::Char('u') => Some(Action::Plumbing),
        KeyCode::Char('s') => Some(Action::ByThread),
        KeyCode::Char('r') => Some(Action::Invert),
        KeyCode::Char('v') => Some(Action::NextView),
        KeyCode::Char('V') => Some(Action::PreviousView),
        KeyCode::Char('/') => Some(Action::Search),
        KeyCode::Char('n') => Some(Action::NextHit),
        KeyCode::Char('N') => Some(Action::PreviousHit),
        KeyCode::Char('?') => Some(Action::Help),
        KeyCode::Esc => Some(Action::Escape),
        KeyCode::Char('q') => Some(Action::Quit),
        _ => None,
    }
}
