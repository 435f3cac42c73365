//! What the keys do, on top of everything.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use crate::explore::keys::HELP;
use crate::explore::theme::Theme;

/// Draws it.
pub fn help(frame: &mut Frame<'_>, theme: Theme) {
    let keys = HELP.iter().map(|&(keys, what)| {
        Line::from(vec![Span::styled(format!(" {keys:<13}"), theme.strong()), Span::raw(format!(" {what} "))])
    });
    let lines: Vec<_> = keys.collect();
    let width = lines.iter().map(Line::width).max().unwrap_or(0) as u16 + 2;
    let area = centred(frame.area(), width, lines.len() as u16 + 2);
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" Keys (any key closes this) ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn centred(screen: Rect, width: u16, height: u16) -> Rect {
    let [row] = Layout::vertical([Constraint::Max(height)]).flex(ratatui::layout::Flex::Center).areas(screen);
    let [area] = Layout::horizontal([Constraint::Max(width)]).flex(ratatui::layout::Flex::Center).areas(row);
    area
}
