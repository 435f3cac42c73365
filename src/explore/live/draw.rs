//! The screen, drawn from the state.
//!
//! ```text
//!  title
//!  figures, two lines, and warnings
//!  heap graph │ resident graph
//!  table, or tree
//!  keys, or what was said
//! ```

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Padding, Paragraph, Sparkline};
use std::time::Duration;

use super::state::{Mode, Order, Role, State};
use super::tree;
use crate::explore::draw::{self, Lines};
use crate::explore::outline::Outline;
use crate::explore::search::Search;
use crate::explore::theme::Theme;
use crate::explore::tree::Node;
use crate::report::{LiveRow, Plain, Snapshot, bytes, count, duration, plural, signed_bytes};

/// With fewer rows there is no graph.
const LOW: u16 = 16;
/// Lines of a graph with its title.
const GRAPH: u16 = 4;
/// From so many columns on, all figures have a column.
const ROOMY: u16 = 78;
/// Columns for the name of a thread.
const THREAD: u16 = 24;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, theme: Theme) {
    let warnings = warnings(state);
    let graph = if frame.area().height >= LOW { GRAPH } else { 0 };
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(warnings.len() as u16),
        Constraint::Length(graph),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [title, figures, missing, graphs, columns, table, footer] = rows.areas(frame.area());
    state.fit(table.height.into());
    let width = usize::from(title.width);
    frame.render_widget(Line::styled(format!(" {:<width$}", state.title), theme.bar()), title);
    frame.render_widget(Paragraph::new(figures_of(state, theme)), figures);
    let warnings: Vec<_> =
        warnings.into_iter().map(|text| Line::styled(format!(" {text}"), theme.warning())).collect();
    frame.render_widget(Paragraph::new(warnings), missing);
    draw_graphs(frame, graphs, &state.snapshot, theme);
    if !draw_tree(frame, columns, table, state, theme) {
        frame.render_widget(Line::styled(names(state, columns.width), theme.strong()), columns);
        draw_table(frame, table, state, theme);
    }
    draw_footer(frame, footer, state, theme);
    if state.mode == Mode::Help {
        draw_help(frame, state.role, theme);
    }
}

fn figures_of(state: &State, theme: Theme) -> Vec<Line<'static>> {
    let now = &state.snapshot;
    let heap = format!(" {} live", bytes(now.live.bytes));
    let mark = now.marked_ns.map_or(String::new(), |at| format!(" · mark at {}", duration(at)));
    let more = format!(
        " in {} · peak {} · resident {}{mark}",
        plural(now.live.blocks, "block"),
        bytes(now.peak_bytes),
        bytes(now.resident_bytes)
    );
    let pause = match now.longest_pause_us {
        Some(pause_us) => format!(" · pause {}", duration(pause_us.saturating_mul(1000))),
        None => String::new(),
    };
    let stands = match (&now.end, state.is_paused) {
        (Some(reason), _) => format!("ended ({})", reason.name().replace('_', " ")),
        (None, true) => "HELD STILL".to_owned(),
        (None, false) => "recording".to_owned(),
    };
    let rate = format!(
        " {} · {} · {} allocations/s · {} · {} lost{pause}",
        stands,
        duration(now.at_ns),
        count(state.allocations_per_second),
        plural(now.threads as u64, "thread"),
        count(now.lost),
    );
    vec![Line::from(vec![Span::styled(heap, theme.strong()), Span::raw(more)]), Line::raw(rate)]
}

fn warnings(state: &State) -> Vec<String> {
    /// The recorder writes each second.
    const QUIET: Duration = Duration::from_secs(4);
    /// Less is read within a moment.
    const MUCH_BYTES: u64 = 4 << 20;
    let now = &state.snapshot;
    let mut warnings = Vec::new();
    if now.end.is_none() && state.quiet >= QUIET {
        let seconds = state.quiet.as_secs();
        warnings.push(format!("QUIET: nothing new for {seconds} s; its prof was killed, or is stopped"));
    }
    if now.lost > 0 || now.damaged > 0 {
        let damaged = plural(now.damaged, "damaged part");
        warnings.push(format!(
            "INCOMPLETE: {} lost, {damaged}: live is an upper bound",
            plural(now.lost, "event")
        ));
    }
    if now.behind_bytes > MUCH_BYTES {
        warnings.push(format!("BEHIND: {} of the capture are still to be read", bytes(now.behind_bytes)));
    }
    warnings
}

fn draw_graphs(frame: &mut Frame<'_>, area: Rect, now: &Snapshot, theme: Theme) {
    let [heap, resident] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    for (area, title, series) in [
        (heap, format!(" heap, up to {} ", bytes(most(&now.heap_series))), &now.heap_series),
        (resident, format!(" resident, up to {} ", bytes(most(&now.resident_series))), &now.resident_series),
    ] {
        let data = stretched(series, usize::from(area.width.saturating_sub(2)));
        let graph = Sparkline::default().data(data).style(theme.share(0.2));
        let block = Block::new().title(title).padding(Padding::horizontal(1));
        frame.render_widget(graph.block(block), area);
    }
}

fn most(series: &[u64]) -> u64 {
    series.iter().copied().max().unwrap_or(0)
}

/// All of a series in so many columns: of several values in one column the largest.
fn stretched(series: &[u64], columns: usize) -> Vec<u64> {
    if series.is_empty() || columns == 0 {
        return Vec::new();
    }
    let column = |at: usize| {
        let begin = at * series.len() / columns;
        let end = ((at + 1) * series.len() / columns).max(begin + 1);
        most(&series[begin..end])
    };
    (0..columns).map(column).collect()
}

/// Whether there is room for all columns beside the names.
fn is_roomy(state: &State, width: u16) -> bool {
    width >= if state.grouping.by_thread { ROOMY + THREAD } else { ROOMY }
}

fn names(state: &State, width: u16) -> String {
    let mark =
        |order: Order, name: &str| if state.order == order { format!("{name}▾") } else { name.to_owned() };
    let what = if state.grouping.by_function { "Function (file)" } else { "Function (file:line)" };
    let mut text = format!(" {:>10}", mark(Order::Own, "Own"));
    if is_roomy(state, width) {
        text.push_str(&format!(" {:>10} {:>9}", mark(Order::Total, "Total"), mark(Order::Blocks, "Blocks")));
        text.push_str(&format!(" {:>11}", mark(Order::Made, "Made")));
    }
    text.push_str(&format!(" {:>11}  {what}", mark(Order::Growth, "Growth")));
    text
}

/// Draws the tree if it is what is shown.
fn draw_tree(frame: &mut Frame<'_>, titles: Rect, area: Rect, state: &mut State, theme: Theme) -> bool {
    let Some(outline) = &mut state.outline else { return false };
    outline.fit(area.y, area.height);
    let name = |node: &Node, width| tree::name(node, &state.snapshot.rows, width);
    draw::columns(frame, titles, theme);
    Lines { outline, name: &name, search: &Search::default(), theme }.draw(frame, area);
    true
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let on_screen = state.shown.iter().enumerate().skip(state.top);
    for ((index, &row), area) in on_screen.zip(area.rows()) {
        frame.render_widget(line(&state.snapshot.rows[row], state, area.width, theme), area);
        if index == state.cursor {
            frame.buffer_mut().set_style(area, theme.bar());
        }
    }
}

fn line(row: &LiveRow, state: &State, width: u16, theme: Theme) -> Line<'static> {
    let share = row.own.bytes as f64 / state.snapshot.live.bytes.max(1) as f64;
    let mut spans = vec![Span::styled(format!(" {:>10}", bytes(row.own.bytes)), theme.share(share))];
    if is_roomy(state, width) {
        let (total, blocks, made) = (bytes(row.total_bytes), count(row.own.blocks), count(row.made));
        spans.push(Span::raw(format!(" {total:>10} {blocks:>9} {made:>11}")));
    }
    spans.push(Span::raw(format!(" {:>11}  ", signed_bytes(row.growth_bytes))));
    if let Some(thread) = &row.thread {
        spans.push(Span::styled(format!("{} · ", Plain(thread)), theme.faint()));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    spans.push(Span::raw(tree::short(row, usize::from(width).saturating_sub(used))));
    Line::from(spans)
}

fn draw_footer(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let filter = if state.filter.is_empty() { String::new() } else { Plain(&state.filter).to_string() };
    let text = match state.mode {
        Mode::Filter => format!(" Filter: {filter}▏  Enter keeps it, Esc drops it"),
        _ if !state.said.is_empty() => format!(" {}", state.said),
        _ if !filter.is_empty() => format!(" /{filter}  Esc shows all"),
        _ => {
            let leaving = state.role.leaving();
            let of_form = match state.outline.is_some() {
                true => "→ ← open, close  f functions  t table  / filter",
                false => "s sort  f functions  t tree  / filter  m mark",
            };
            format!(" {of_form}  w page  ? help  q {leaving}")
        }
    };
    let at = if state.shown.is_empty() { 0 } else { state.cursor + 1 };
    let (at, all) = state.outline.as_ref().map_or((at, state.shown.len()), Outline::position);
    let position = format!(" {at}/{all} ");
    let room = usize::from(area.width).saturating_sub(position.chars().count());
    let text: String = text.chars().take(room).collect();
    frame.render_widget(Line::styled(format!("{text:<room$}{position}"), theme.bar()), area);
}

fn draw_help(frame: &mut Frame<'_>, role: Role, theme: Theme) {
    let keys = role.help().map(|(keys, what)| {
        Line::from(vec![Span::styled(format!(" {keys:<9}"), theme.strong()), Span::raw(format!(" {what} "))])
    });
    let lines: Vec<_> = keys.collect();
    let width = lines.iter().map(Line::width).max().unwrap_or(0) as u16 + 2;
    let area = frame.area().centered(Constraint::Max(width), Constraint::Max(lines.len() as u16 + 2));
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" Keys (any key closes this) ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
