//! For whom a report is.

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// People.
    Text,
    /// Programs, as described in `docs/json.md`.
    Json,
}
