//! What stands above and below: which recording and view, what is missing, which keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Scene;
use crate::explore::facts::Facts;
use crate::explore::state::{Mode, State};
use crate::explore::theme::Theme;
use crate::explore::tree::Tree;
use crate::report::{Plain, View, plural};

/// Lines of the header.
pub fn header_height(facts: &Facts, state: &State<'_>) -> u16 {
    2 + warnings(facts, state).len() as u16
}

/// Draws it.
pub fn header(frame: &mut Frame<'_>, area: Rect, state: &State<'_>, scene: &Scene<'_>) {
    let mut lines = vec![
        Line::styled(format!(" {:<1$}", scene.facts.title, usize::from(area.width)), scene.theme.bar()),
        shown(state, scene.theme),
    ];
    let warnings = warnings(scene.facts, state);
    lines.extend(warnings.into_iter().map(|text| Line::styled(format!(" {text}"), scene.theme.warning())));
    for (line, row) in lines.into_iter().zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

/// Which memory, how much of it, and in which form.
fn shown(state: &State<'_>, theme: Theme) -> Line<'static> {
    let (shape, total) = (state.shape, state.outline.tree.node(Tree::ROOT).total);
    let title = shape.view.title(total.bytes, state.material.has_gaps);
    let mut form = format!(" · {}", plural(total.blocks, "allocation"));
    for (is_so, text) in [
        (shape.by_thread, "by thread"),
        (shape.is_inverted, "inverted: callers below"),
        (shape.hides_imports, "import system hidden"),
        (!shape.hides_plumbing, "uninteresting frames shown"),
    ] {
        if is_so {
            form.push_str(" · ");
            form.push_str(text);
        }
    }
    Line::from(vec![Span::styled(format!(" {title}"), theme.strong()), Span::raw(form)])
}

fn warnings(facts: &Facts, state: &State<'_>) -> Vec<String> {
    let mut warnings = facts.incomplete.clone();
    if state.shape.view == View::Leaks && state.material.has_gaps {
        warnings.push(
            "UPPER BOUND: frees may be missing; v shows what was allocated after the last gap".to_owned(),
        );
    }
    warnings
}

/// Draws the last line: what is typed, what was found, or the keys.
pub fn footer(frame: &mut Frame<'_>, area: Rect, state: &State<'_>, theme: Theme) {
    let (line, lines) = state.outline.position();
    let text = match &state.mode {
        Mode::Typing(text) => format!(" Search: {}▏  Enter finds, Esc leaves it", typed(text)),
        _ if !state.search.text.is_empty() => found(state),
        _ => " ↑↓ →← move  e run  / search  v view  s threads  r invert  ? help  q quit".to_owned(),
    };
    let position = format!(" {line}/{lines} ");
    let room = usize::from(area.width).saturating_sub(position.chars().count());
    let text: String = text.chars().take(room).collect();
    frame.render_widget(Line::styled(format!("{text:<room$}{position}"), theme.bar()), area);
}

fn found(state: &State<'_>) -> String {
    let (all, text) = (state.search.len(), typed(&state.search.text));
    let hits = plural(all as u64, "hit");
    match state.search.number(state.outline.selected()) {
        Some(number) => format!(" /{text}: hit {number} of {all}  n next, N before, Esc ends the search"),
        None if all == 0 => format!(" /{text}: nothing found  Esc ends the search"),
        None => format!(" /{text}: {hits}  n next, N before, Esc ends the search"),
    }
}

fn typed(text: &str) -> String {
    if text.is_empty() { String::new() } else { Plain(text).to_string() }
}
