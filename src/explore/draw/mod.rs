//! The screen, drawn from the state.
//!
//! ```text
//!  narrow             wide
//!  ┌──────────────┐   ┌───────────────────────┐
//!  │ header       │   │ header                │
//!  │ tree         │   │ tree        │ details │
//!  │ facts│source │   │             │ source  │
//!  │ footer       │   │ footer                │
//!  └──────────────┘   └───────────────────────┘
//! ```

mod details;
mod frame;
mod help;
mod lines;

pub use lines::{Lines, columns, name};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use super::facts::Facts;
use super::snippet::Snippet;
use super::state::{Mode, State};
use super::theme::Theme;
use super::tree::Node;

/// From so many columns on, the details stand beside the tree.
const WIDE: u16 = 120;
/// With fewer rows there are no details below it.
const LOW: u16 = 14;

/// Where what is.
#[derive(Clone, Copy, Debug)]
pub struct Areas {
    header: Rect,
    /// The names of the tree's columns.
    columns: Rect,
    /// The lines of the tree.
    pub lines: Rect,
    details: Rect,
    footer: Rect,
}

/// What is drawn besides the state.
pub struct Scene<'s> {
    /// Of the recording.
    pub facts: &'s Facts,
    /// The source around the place of the cursor.
    pub source: &'s Snippet,
    /// How it looks.
    pub theme: Theme,
}

impl Areas {
    /// On a screen of this size.
    pub fn new(screen: Rect, facts: &Facts, state: &State<'_>) -> Areas {
        let header = Constraint::Length(frame::header_height(facts, state));
        let rows = Layout::vertical([header, Constraint::Min(1), Constraint::Length(1)]);
        let [header, middle, footer] = rows.areas(screen);
        let [tree, details] = match (screen.width >= WIDE, screen.height >= LOW) {
            (true, _) => Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(middle),
            (false, true) => Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(middle),
            (false, false) => [middle, Rect::ZERO],
        };
        let [columns, lines] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(tree);
        Areas { header, columns, lines, details, footer }
    }
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, areas: &Areas, state: &State<'_>, scene: &Scene<'_>) {
    frame::header(frame, areas.header, state, scene);
    columns(frame, areas.columns, scene.theme);
    let name = |node: &Node, width| name(node, state.material, width);
    let lines = Lines { outline: &state.outline, name: &name, search: &state.search, theme: scene.theme };
    lines.draw(frame, areas.lines);
    details::details(frame, areas.details, state, scene);
    frame::footer(frame, areas.footer, state, scene.theme);
    if state.mode == Mode::Help {
        help::help(frame, scene.theme);
    }
}
