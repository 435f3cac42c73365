//! The screen, drawn from the state.
//!
//! ```text
//!  title
//!  filter
//!  the processes, one a line; dim with ✗ if they cannot be recorded
//!  ── more of the selected one ──
//!  note, if any
//!  keys, or what was said
//! ```

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Padding, Paragraph, Wrap};

use super::Offer;
use super::state::{Row, State};
use crate::explore::theme::Theme;
use crate::report::{Plain, bytes, head, signed_bytes};

/// With fewer rows there are no details.
const LOW: u16 = 12;
/// Lines of the details, with the one above them.
const DETAILS: u16 = 5;
/// From so many columns on, containers have one.
const WIDE: u16 = 110;
/// Narrower ones have neither version nor growth.
const CRAMPED: u16 = 64;
/// Longer names of users are cut.
const USER: usize = 12;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, theme: Theme) {
    let details = if frame.area().height >= LOW { DETAILS } else { 0 };
    let [title, filter, titles, list, details, note, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(details),
        Constraint::Length(state.note.is_some().into()),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    state.fit(list.y, list.height);
    let width = usize::from(title.width);
    let question = " prof attach · which process?";
    frame.render_widget(Line::styled(format!("{question:<width$}"), theme.bar()), title);
    frame.render_widget(filter_line(state, theme), filter);
    let columns = Columns::of(state, list.width);
    frame.render_widget(Line::styled(columns.titles(), theme.strong()), titles);
    draw_list(frame, list, state, &columns, theme);
    draw_details(frame, details, state, theme);
    let text = state.note.iter().map(|text| Line::styled(format!(" note: {text}"), theme.faint()));
    frame.render_widget(Paragraph::new(text.collect::<Vec<_>>()), note);
    draw_footer(frame, footer, state, theme);
}

fn filter_line(state: &State, theme: Theme) -> Line<'static> {
    match state.filter.is_empty() {
        true => Line::from(vec![
            Span::raw(" Filter: ▏"),
            Span::styled("type a pid, a user or a part of the command", theme.faint()),
        ]),
        false => Line::raw(format!(" Filter: {}▏", Plain(&state.filter))),
    }
}

/// How wide the columns are; 0 if they are left out.
struct Columns {
    user: usize,
    python: usize,
    growth: usize,
    container: usize,
    width: usize,
}

impl Columns {
    fn of(state: &State, width: u16) -> Columns {
        let widest = |text: fn(&Offer) -> String| {
            state.rows.iter().map(|row| text(&row.offer).chars().count()).max().unwrap_or(0)
        };
        let is_roomy = width >= CRAMPED;
        let has_containers = width >= WIDE && state.rows.iter().any(|row| row.offer.container.is_some());
        Columns {
            user: widest(user).clamp(4, USER),
            python: if is_roomy { widest(python).max(6) } else { 0 },
            growth: if is_roomy { 11 } else { 0 },
            container: if has_containers { widest(container).max(9) } else { 0 },
            width: width.into(),
        }
    }

    fn titles(&self) -> String {
        self.line(["pid", "user", "python", "resident", "growth", "container"]) + "command"
    }

    fn of_row(&self, row: &Row) -> String {
        let offer = &row.offer;
        let growth = match row.growth_bytes {
            0 => "-".to_owned(),
            growth => signed_bytes(growth),
        };
        let (pid, resident) = (offer.pid.to_string(), bytes(offer.resident_bytes));
        self.line([&pid, &user(offer), &python(offer), &resident, &growth, &container(offer)])
    }

    /// All but the command.
    fn line(&self, [pid, user, python, resident, growth, container]: [&str; 6]) -> String {
        let left = |text: &str, width: usize| match width {
            0 => String::new(),
            _ => format!("{:<width$}  ", head(text, width)),
        };
        let mut line =
            format!(" {pid:>7}  {}{}{resident:>10}", left(user, self.user), left(python, self.python));
        if self.growth > 0 {
            line.push_str(&format!(" {growth:>0$}", self.growth));
        }
        line + "  " + &left(container, self.container)
    }
}

fn user(offer: &Offer) -> String {
    Plain(&offer.user).to_string()
}

fn python(offer: &Offer) -> String {
    offer.python.clone().unwrap_or_else(|| "?".to_owned())
}

fn container(offer: &Offer) -> String {
    offer.container.as_deref().map_or_else(|| "-".to_owned(), |name| Plain(name).to_string())
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, state: &State, columns: &Columns, theme: Theme) {
    if state.shown.is_empty() {
        let why = if state.rows.is_empty() { "no Python process is there" } else { "none matches" };
        frame.render_widget(Line::styled(format!(" {why}"), theme.faint()), area);
    }
    let selected = state.selected().map(|(at, _)| at);
    let on_screen = state.shown.iter().enumerate().skip(state.top);
    for ((index, &row), area) in on_screen.zip(area.rows()) {
        frame.render_widget(line(&state.rows[row], columns, theme), area);
        if selected == Some(index) {
            frame.buffer_mut().set_style(area, theme.bar());
        }
    }
}

fn line(row: &Row, columns: &Columns, theme: Theme) -> Line<'static> {
    let figures = columns.of_row(row);
    let room = columns.width.saturating_sub(figures.chars().count());
    let command = short(&Plain(&row.offer.command).to_string());
    match &row.offer.obstacle {
        None => Line::raw(figures + &head(&command, room)),
        Some(why) => {
            // It begins with the pid, which stands in the first column.
            let beginning = format!("process {} ", row.offer.pid);
            let why = format!("  ✗ {}", Plain(why.strip_prefix(&beginning).unwrap_or(why)));
            // Each has a half, and what the other one leaves.
            let half = room.saturating_sub(why.chars().count()).max(room / 2);
            let command = head(&command, half);
            let why = head(&why, room.saturating_sub(command.chars().count()));
            Line::styled(figures + &command + &why, theme.faint())
        }
    }
}

/// A command line without the directory of its program.
fn short(command: &str) -> String {
    let program = command.split(' ').next().unwrap_or_default();
    let directory = if program.starts_with('/') { program.rfind('/') } else { None };
    command[directory.map_or(0, |slash| slash + 1)..].to_owned()
}

fn draw_details(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let Some((_, Row { offer, .. })) = state.selected() else { return };
    let why = offer.obstacle.iter().map(|why| Line::raw(format!("✗ not attachable: {}", Plain(why))));
    let container = offer.container.iter().map(|name| Line::raw(format!("container {}", Plain(name))));
    let lines: Vec<_> = why.chain(container).chain([Line::raw(Plain(&offer.command).to_string())]).collect();
    let block =
        Block::new().borders(Borders::TOP).padding(Padding::horizontal(1)).title(format!(" {} ", offer.pid));
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(block.border_style(theme.faint())), area);
}

fn draw_footer(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let text = match (state.said.is_empty(), state.filter.is_empty()) {
        (false, _) => format!(" {}", Plain(&state.said)),
        (true, true) => " type to filter  ↑ ↓ select  Enter chooses it  Esc leaves".to_owned(),
        (true, false) => " ↑ ↓ select  Enter chooses it  Esc shows all".to_owned(),
    };
    let at = state.selected().map_or(0, |(at, _)| at + 1);
    let position = format!(" {at}/{} ", state.shown.len());
    let room = usize::from(area.width).saturating_sub(position.chars().count());
    let text = head(&text, room);
    frame.render_widget(Line::styled(format!("{text:<room$}{position}"), theme.bar()), area);
}
