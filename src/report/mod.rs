//! What people and programs get to see of a capture.
//!
//! Names come from the target and may hold anything: [`Plain`] takes the power
//! over a terminal from them, JSON escapes them.

mod format;
mod json;
mod merged;
mod place;
mod plain;
mod records;
mod resident;
mod small_objects;
mod stats;
mod summary;
mod units;

#[cfg(test)]
mod tests;

pub use format::Format;
pub use json::write_line;
pub use place::{LineResolver, Place, Places};
pub use plain::Plain;
pub use records::Records;
pub use stats::{Churn, HeldSite, StatsReport};
pub use summary::{Order, SummaryReport};
pub use units::{bytes, count, duration, plural};
