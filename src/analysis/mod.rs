//! Pure folds: events in, result out. No I/O, no clock, no failure, and no trust
//! in the order or the sense of what comes in.
//!
//! ```text
//!  Event ─► Live ─► Change ─► Ledger    what every site made, holds, held at the peak
//!    │        │         ├───► History   the same in intervals, for any window of them
//!    │        │         └───► Timeline  live bytes over time
//!    │        └─────────────► Occupancy where it lies, at a few moments
//!    └────► Sizes, counts by kind, gaps
//!
//!  all of it: Fold ─► Aggregate, what reports are made of
//! ```
//!
//! Memory grows with what is live and with distinct stacks, never with the
//! number of events.

mod fold;
mod gaps;
mod history;
mod ledger;
mod live;
mod looks;
mod near;
mod occupancy;
mod ranges;
mod sampled;
mod site;
mod sizes;
mod stats;
mod timeline;
mod totals;

#[cfg(test)]
mod lifetime_tests;
#[cfg(test)]
mod notation;
#[cfg(test)]
mod peak_tests;

pub use fold::{Aggregate, Fold};
pub use gaps::Gap;
pub use history::{HeldFrom, History, Intervals, Span};
pub use ledger::{Figures, Ledger, Sum};
pub use live::{Birth, Change, Era, Live};
pub use looks::Looks;
pub use occupancy::{Extent, Occupied};
pub use sampled::{Sampled, weight};
pub use site::{Site, SiteId, Sites};
pub use sizes::Bin;
pub use stats::Question;
pub use totals::Totals;
