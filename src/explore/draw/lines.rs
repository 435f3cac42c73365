//! The lines of the tree.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::explore::material::Material;
use crate::explore::outline::Outline;
use crate::explore::search::Search;
use crate::explore::theme::Theme;
use crate::explore::tree::{Label, Node, NodeId, Tree};
use crate::report::{NO_PYTHON, bytes, count, plural};

/// From so many columns on, allocations have a column.
const ROOMY: u16 = 90;
/// Narrower ones have no share.
const CRAMPED: u16 = 50;

/// The names of the columns.
pub fn columns(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let mut names = format!("  {:>10}", "Size");
    if area.width >= CRAMPED {
        names.push_str(&format!(" {:>7}", "Share"));
    }
    if area.width >= ROOMY {
        names.push_str(&format!(" {:>12}", "Allocations"));
    }
    names.push_str("  Function (file:line)");
    frame.render_widget(Line::styled(names, theme.strong()), area);
}

/// What lines are drawn from.
pub struct Lines<'a> {
    /// The tree, and what is seen of it.
    pub outline: &'a Outline,
    /// What a node is called, in so many columns if that is possible.
    pub name: &'a dyn Fn(&Node, usize) -> String,
    /// What is looked for.
    pub search: &'a Search,
    /// How it looks.
    pub theme: Theme,
}

impl Lines<'_> {
    /// Draws those that are in sight.
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect) {
        // So deep lines are moved to the left until the one of the cursor has room.
        let indent = self.outline.tree.node(self.outline.selected()).indent;
        let moved = indent.saturating_sub(area.width / 3);
        for ((id, is_selected), row) in self.outline.on_screen().zip(area.rows()) {
            frame.render_widget(self.line(id, moved, row.width), row);
            if is_selected {
                frame.buffer_mut().set_style(row, self.theme.bar());
            }
        }
    }

    fn line(&self, id: NodeId, moved: u16, width: u16) -> Line<'static> {
        let node = self.outline.tree.node(id);
        let is_hit = self.search.has(id);
        let mut spans = vec![Span::raw(if is_hit { "* " } else { "  " })];
        spans.extend(self.figures(node, width));
        spans.push(Span::raw(self.indent(id, moved)));
        let used: usize = spans.iter().map(Span::width).sum();
        let name = (self.name)(node, usize::from(width).saturating_sub(used));
        let style = match node.label {
            Label::All | Label::Thread(_) => self.theme.strong(),
            Label::Below => self.theme.faint(),
            _ => Style::new(),
        };
        spans.extend(marked(&name, is_hit.then_some(self.search), style, self.theme.hit()));
        Line::from(spans)
    }

    fn figures(&self, node: &Node, width: u16) -> Vec<Span<'static>> {
        let all = self.outline.tree.node(Tree::ROOT).total.bytes;
        let part = node.total.bytes as f64 / all.max(1) as f64;
        let mut spans = vec![Span::raw(format!("{:>10}", bytes(node.total.bytes)))];
        if width >= CRAMPED {
            spans.push(Span::styled(format!(" {:>5.1} %", part * 100.0), self.theme.share(part)));
        }
        if width >= ROOMY {
            spans.push(Span::raw(format!(" {:>12}", count(node.total.blocks))));
        }
        spans
    }

    /// Room, and the mark of what can be opened or closed.
    fn indent(&self, id: NodeId, moved: u16) -> String {
        let node = self.outline.tree.node(id);
        let mark = match (node.children.is_empty(), self.outline.is_open(id)) {
            (true, _) => '·',
            (false, true) => '▾',
            (false, false) => '▸',
        };
        match node.indent.checked_sub(moved) {
            Some(columns) => format!("  {:1$}{mark} ", "", usize::from(columns)),
            None => format!(" ‹{mark} "),
        }
    }
}

/// What a node is called, in so many columns if that is possible.
pub fn name(node: &Node, material: &Material<'_>, width: usize) -> String {
    match node.label {
        Label::All => "all".to_owned(),
        Label::Thread(serial) => format!("thread {}", material.thread(serial)),
        Label::NoPython => NO_PYTHON.to_owned(),
        Label::Spot(spot) => material.spot(spot).place.short(width),
        Label::Below => format!(
            "{} from {} below the threshold",
            plural(node.total.blocks, "allocation"),
            plural(node.places, "place")
        ),
    }
}

/// A name in which what was found stands out.
fn marked(name: &str, search: Option<&Search>, style: Style, hit: Style) -> Vec<Span<'static>> {
    let (mut spans, mut at) = (Vec::new(), 0);
    for part in search.map(|search| search.parts(name)).unwrap_or_default() {
        spans.push(Span::styled(name[at..part.start].to_owned(), style));
        spans.push(Span::styled(name[part.clone()].to_owned(), hit));
        at = part.end;
    }
    spans.push(Span::styled(name[at..].to_owned(), style));
    spans
}
