//! Pure folds: events in, result out. No I/O, no clock, no failure, and no trust
//! in the order or the sense of what comes in.
//!
//! ```text
//!  Event ─► Live ─► Change ─► Ledger    what every site made, holds, held at the peak
//!    │        │         ├───► History   the same in intervals, for any window of them
//!    │        │         └───► Timeline  live bytes over time
//!    │        └─────────────► Occupancy where it lies, at a few moments
//!    └────► Sizes, counts by kind, gaps
//! ```
//!
//! Memory grows with what is live and with distinct stacks, never with the
//! number of events.

mod gaps;
mod history;
mod ledger;
mod live;
mod near;
mod occupancy;
mod ranges;
mod site;
mod sizes;
mod stats;
mod timeline;

#[cfg(test)]
mod lifetime_tests;
#[cfg(test)]
mod notation;
#[cfg(test)]
mod peak_tests;

pub use gaps::{Gap, Gaps};
pub use history::{HeldFrom, History, Intervals, Span};
pub use ledger::{Figures, Ledger, Sum};
pub use live::{Birth, Change, Era, Live};
pub use occupancy::{Extent, Occupancy, Occupied};
pub use ranges::{Piece, Ranges};
pub use site::{Site, SiteId, Sites};
pub use sizes::{Bin, Sizes};
pub use stats::{Question, Stats};
pub use timeline::Timeline;
