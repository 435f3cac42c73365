//! What is known about the node that the cursor is at, and the source around its line.

use hashbrown::HashMap;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use std::cmp::Reverse;
use std::hash::Hash;

use super::{Scene, WIDE};
use crate::explore::snippet::Snippet;
use crate::explore::state::State;
use crate::explore::theme::Theme;
use crate::explore::tree::{Label, Node, Tree};
use crate::model::{Kind, ThreadSerial};
use crate::report::{NO_PYTHON, Plain, Row, bytes, count, plural};

/// Columns of the names of the facts.
const NAMES: usize = 12;

/// Draws them: the source beside the facts, or below them where the screen is wide.
pub fn details(frame: &mut Frame<'_>, area: Rect, state: &State<'_>, scene: &Scene<'_>) {
    if area.is_empty() {
        return;
    }
    let is_wide = frame.area().width >= WIDE;
    let block = Block::new().borders(if is_wide { Borders::LEFT } else { Borders::TOP });
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if state.outline.selected() == Tree::ROOT {
        let facts = scene.facts.more.iter().map(|(name, text)| fact(name, text, scene.theme));
        let facts = Paragraph::new(facts.collect::<Vec<_>>()).wrap(Wrap { trim: false });
        return frame.render_widget(facts, inner);
    }
    let facts = facts(state);
    let [left, right] = match is_wide {
        true => {
            Layout::vertical([Constraint::Length(facts.len() as u16 + 1), Constraint::Fill(1)]).areas(inner)
        }
        false => Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(1).areas(inner),
    };
    let has_source = state.spot().is_some();
    let room = if has_source { left } else { inner };
    frame.render_widget(Paragraph::new(lines(facts, usize::from(room.width), scene.theme)), room);
    if has_source {
        frame.render_widget(Paragraph::new(source(scene.source, right, scene.theme)), right);
    }
}

type Fact = (&'static str, String);

fn lines(facts: Vec<Fact>, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let room = width.saturating_sub(NAMES + 1);
    let line = |(name, text): Fact| {
        let is_long = text.chars().count() > room;
        let text = match name {
            "Function" | "Location" if is_long => middle_cut(&text, room),
            _ if is_long => text.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
            _ => text,
        };
        fact(name, &text, theme)
    };
    facts.into_iter().map(line).collect()
}

fn fact(name: &str, text: &str, theme: Theme) -> Line<'static> {
    Line::from(vec![Span::styled(format!(" {name:<NAMES$}"), theme.faint()), Span::raw(text.to_owned())])
}

/// The beginning and the end of what is too long: of a path both say something.
fn middle_cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    let end = width.saturating_sub(1) * 2 / 3;
    let begin = width.saturating_sub(1) - end;
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(length - end)).collect()
}

fn facts(state: &State<'_>) -> Vec<Fact> {
    let node = state.outline.tree.node(state.outline.selected());
    let mut facts = place(node, state);
    let all = state.outline.tree.node(Tree::ROOT).total.bytes;
    facts.push(("Size", format!("{}, {} of all", bytes(node.total.bytes), percent(node.total.bytes, all))));
    facts.push(("Allocations", count(node.total.blocks)));
    // In an inverted tree all belongs to the callers at the ends.
    if node.own != node.total && !state.shape.is_inverted {
        let own = plural(node.own.blocks, "allocation");
        facts.push(("Its own", format!("{} in {own}", bytes(node.own.bytes))));
    }
    let shares = Shares::of(state);
    facts.push(("Threads", shares.threads));
    facts.push(("Allocators", shares.kinds));
    facts
}

fn place(node: &Node, state: &State<'_>) -> Vec<Fact> {
    match node.label {
        Label::Spot(spot) => {
            let place = state.material.spot(spot).place;
            let file = if place.file.is_empty() { "?".to_owned() } else { place.at() };
            vec![("Function", Plain(&place.function).to_string()), ("Location", file)]
        }
        Label::Thread(serial) => vec![("Thread", state.material.thread(serial).to_owned())],
        Label::NoPython => vec![("Function", NO_PYTHON.to_owned())],
        Label::Below => vec![("Places", format!("{}, each too small for a line", count(node.places)))],
        Label::All => Vec::new(),
    }
}

fn percent(part: u64, all: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / all.max(1) as f64)
}

/// Who allocated what of a node, in words.
struct Shares {
    threads: String,
    kinds: String,
}

impl Shares {
    fn of(state: &State<'_>) -> Shares {
        let (mut threads, mut kinds) = (HashMap::<ThreadSerial, u64>::new(), HashMap::<Kind, u64>::new());
        for number in state.outline.tree.rows(state.outline.selected()) {
            let row: &Row = &state.material.rows[number as usize];
            let bytes = state.shape.view.of(&row.figures).bytes;
            add(&mut threads, row.thread, bytes);
            add(&mut kinds, row.kind, bytes);
        }
        Shares {
            threads: listed(threads, |thread| state.material.thread(thread).to_owned()),
            kinds: listed(kinds, |kind| kind.name().to_owned()),
        }
    }
}

fn add<K: Hash + Eq>(shares: &mut HashMap<K, u64>, key: K, bytes: u64) {
    let share = shares.entry(key).or_default();
    *share = share.saturating_add(bytes);
}

/// How many there are, and the largest by name.
fn listed<K>(shares: HashMap<K, u64>, name: impl Fn(K) -> String) -> String {
    const NAMED: usize = 3;
    let all = shares.values().fold(0, |all: u64, &share| all.saturating_add(share));
    let mut named: Vec<_> = shares.into_iter().map(|(key, share)| (Reverse(share), name(key))).collect();
    if let [(_, only)] = &named[..] {
        return only.clone();
    }
    named.sort();
    let all_names = count(named.len() as u64);
    let shown =
        named.into_iter().take(NAMED).map(|(Reverse(share), name)| format!("{name} {}", percent(share, all)));
    format!("{all_names}: {}", shown.collect::<Vec<_>>().join(", "))
}

/// As many lines around the one in question as there is room.
fn source(snippet: &Snippet, area: Rect, theme: Theme) -> Vec<Line<'static>> {
    let lines = match snippet {
        Snippet::Absent(why) => return vec![Line::styled(format!("({why})"), theme.faint())],
        Snippet::Lines { lines, .. } => lines,
    };
    let at = lines.iter().position(|(number, _)| snippet.is_at(*number)).unwrap_or(0);
    let height = usize::from(area.height);
    let first = at.saturating_sub(height / 2).min(lines.len().saturating_sub(height));
    let shown = &lines[first..(first + height).min(lines.len())];
    let margin = margin(shown);
    let line = |(number, text): &(u32, String)| {
        line_of_source(*number, text.get(margin..).unwrap_or_default(), snippet.is_at(*number), theme)
    };
    shown.iter().map(line).collect()
}

/// Columns that all lines with something in them leave empty.
fn margin(lines: &[(u32, String)]) -> usize {
    let empty = |(_, text): &(u32, String)| text.len() - text.trim_start_matches(' ').len();
    lines.iter().filter(|(_, text)| !text.trim().is_empty()).map(empty).min().unwrap_or(0)
}

fn line_of_source(number: u32, text: &str, is_it: bool, theme: Theme) -> Line<'static> {
    let (mark, style) = if is_it { ('>', theme.strong()) } else { (' ', theme.faint()) };
    Line::from(vec![Span::styled(format!("{mark}{number:>5} "), style), Span::styled(text.to_owned(), style)])
}
