//! How things look. What a colour says is also said by a word, a mark or a place.

use ratatui::style::{Color, Modifier, Style};

/// Styles, with colours or without.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    has_colours: bool,
}

impl Theme {
    /// As `NO_COLOR` has it: without colours if it is set and not empty.
    pub fn of_environment() -> Theme {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Theme { has_colours: !is_plain }
    }

    /// Without colours.
    #[cfg(test)]
    pub fn plain() -> Theme {
        Theme { has_colours: false }
    }

    /// The line of the cursor, and bars.
    pub fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Headings and what matters most.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is found.
    pub fn hit(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    /// What explains something else.
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What is missing or may mislead.
    pub fn warning(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A share of the whole, from 0 to 1.
    pub fn share(self, part: f64) -> Style {
        match part {
            0.5.. => self.coloured(Color::Red),
            0.1.. => self.coloured(Color::Yellow),
            _ => Style::new(),
        }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }
}
