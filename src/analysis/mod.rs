//! Pure folds: events in, result out. No I/O, no clock, no failure, and no trust
//! in the order or the sense of what comes in.
//!
//! ```text
//!  Event ─► Live ─► Change ─► Peak      live and peak bytes of every stack
//!    │                   └──► Timeline  live bytes over time
//!    │      └──────────────► Occupancy where it lies, at a few moments
//!    └────► Sizes, counts by kind, gaps
//! ```
//!
//! Memory grows with what is live and with distinct stacks, never with the
//! number of events.

mod gaps;
mod live;
mod occupancy;
mod peak;
mod ranges;
mod sizes;
mod stats;
mod timeline;

pub use gaps::{Gap, Gaps};
pub use live::{Change, Live};
pub use occupancy::{Extent, Occupancy, Occupied};
pub use peak::{Peak, Site};
pub use ranges::{Piece, Ranges};
pub use sizes::{Bin, Sizes};
pub use stats::Stats;
pub use timeline::Timeline;
