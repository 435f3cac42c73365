//! A running recording: getting in, drawing events, getting out.
//!
//! ```text
//!  ground (look, refuse) ─► install ─► session (drain, sample, watch) ─► withdraw
//!                             │            └ ring ─► spool ─► capture
//!                             └ register: every change is written down in the
//!                               target first, so `withdraw` needs nothing else
//! ```

mod absence;
mod admit;
mod aggregator;
mod apart;
mod arm;
mod census;
mod children;
mod clock;
mod error;
mod family;
mod figures;
mod ground;
mod install;
mod islands;
mod keeper;
mod launch;
mod lock;
mod look;
mod metadata;
mod module_file;
mod modules;
mod names;
mod pointers;
mod recorder;
mod register;
mod rehearsal;
mod ring;
mod robust;
mod row_file;
mod safe;
mod sampling;
mod session;
mod sieve;
mod sink;
mod spool;
mod tcb;
mod turning;
mod withdraw;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
pub use census::{Candidate, Census, census};
pub use children::{Cleaned, withdraw_children};
pub use clock::Clock;
pub use error::Error;
pub use ground::Ground;
pub use launch::{Start, start};
pub use recorder::Recorder;
pub use rehearsal::{Rehearsal, rehearse};
pub use sampling::SAMPLE_INTERVALS;
pub use session::{Aggregation, Company, Options, Outcome, Progress, record};
pub use withdraw::{Left, withdraw};

/// The longest time for which this process has stopped a thread, in µs.
pub fn longest_pause_us() -> u64 {
    prof_injector::tracee::Pause::longest().0.as_micros() as u64
}
