//! The questions that one set of figures answers.

use super::units::bytes;
use crate::analysis::{Figures, Sum};

/// Which memory is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// What was held when the heap was largest.
    #[default]
    Peak,
    /// What was allocated while recording, or in the window, and not freed by its end.
    Leaks,
    /// What of that was allocated after the last gap.
    LateLeaks,
    /// What was freed within few further allocations of its thread.
    Temporary,
    /// All that was allocated.
    Allocations,
    /// What was held when the window began.
    AtStart,
    /// What was held when it ended, however old.
    AtEnd,
}

impl View {
    /// Those that show what was allocated; the two of a window's ends are for comparing.
    pub const ALL: [View; 5] = [View::Peak, View::Leaks, View::LateLeaks, View::Temporary, View::Allocations];

    /// What it shows of some figures.
    pub fn of(self, figures: &Figures) -> Sum {
        match self {
            View::Peak => figures.peak,
            View::Leaks => figures.kept,
            View::LateLeaks => figures.late,
            View::Temporary => figures.temporary,
            View::Allocations => figures.made,
            View::AtStart => figures.before,
            View::AtEnd => figures.live,
        }
    }

    /// The name used in every output.
    pub fn name(self) -> &'static str {
        match self {
            View::Peak => "peak",
            View::Leaks => "leaks",
            View::LateLeaks => "late_leaks",
            View::Temporary => "temporary",
            View::Allocations => "allocations",
            View::AtStart => "at_start",
            View::AtEnd => "at_end",
        }
    }

    /// What so many bytes of it are, as the first line of a report. After a gap leaks are
    /// an upper bound.
    pub fn title(self, total_bytes: u64, has_gaps: bool) -> String {
        let total = bytes(total_bytes);
        match self {
            View::Peak => format!("At the peak of {total}"),
            View::Leaks if has_gaps => {
                format!("At most {total} leaked: allocated and not seen freed by the end")
            }
            View::Leaks => format!("Leaked {total}: allocated and not freed by the end"),
            View::LateLeaks => {
                format!("Leaked {total} since the last gap: allocated and not freed by the end")
            }
            View::Temporary => format!("Temporary {total}: freed within few further allocations"),
            View::Allocations => format!("Allocated {total}, freed or not"),
            View::AtStart => format!("Held at the start: {total}"),
            View::AtEnd => format!("Held at the end: {total}"),
        }
    }
}
