//! What people and programs get to see of a capture.
//!
//! Names come from the target and may hold anything: [`Plain`] takes the power
//! over a terminal from them, JSON escapes them.

pub mod estimates;
mod format;
mod json;
mod merged;
mod module;
mod native;
mod page;
mod place;
mod plain;
mod processes;
mod profile;
mod records;
mod resident;
pub mod small_objects;
mod source;
mod stats;
mod summary;
mod threads;
mod transform;
mod units;
mod view;
mod watch;

#[cfg(test)]
mod tests;

pub use format::Format;
pub use json::write_line;
pub use merged::Merged;
pub use module::{Modules, Origin, is_import_system};
pub use page::{Page, Start, StartView};
pub use place::{LineResolver, NO_PYTHON, Place, Places, head};
pub use plain::Plain;
pub use profile::{Completeness, Profile, Reading, Row};
pub use records::Records;
pub use source::Source;
pub use stats::{Churn, HeldSite, INTERVALS, StatsReport};
pub use summary::{By, Order, SummaryReport, Wanted};
pub use threads::Threads;
pub use transform::{Transform, TransformFormat};
pub use units::{bytes, count, duration, plural, signed_bytes};
pub use view::View;
pub use watch::{Grouping, LivePath, LiveRow, Snapshot, Watch};
