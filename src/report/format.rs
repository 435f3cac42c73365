//! For whom a report is.

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// People. Names and paths are shortened so that lines have at most so many columns,
    /// as far as that is possible. What has its own layout keeps it.
    Text {
        /// Columns.
        width: usize,
    },
    /// Programs, as described in `docs/json.md`.
    Json,
}

impl Format {
    /// Text with everything in it.
    pub const WHOLE_TEXT: Format = Format::Text { width: usize::MAX };
}
