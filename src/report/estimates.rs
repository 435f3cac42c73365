//! What a reader has to know where only samples were recorded.

use serde::Serialize;

use super::profile::Profile;
use super::units::bytes;
use crate::analysis::Sum;

/// Amounts whose errors are told.
const EXAMPLES: [u64; 2] = [100 << 20, 1 << 30];

/// How good figures are, in two lines; `None` if they are exact.
pub fn told(profile: &Profile<'_>) -> Option<[String; 2]> {
    let sampled = profile.totals.sampled.as_ref()?;
    let [small, large] = EXAMPLES;
    Some([
        format!("Estimates from samples, one in {} on average: 19 of 20 are off", bytes(sampled.interval())),
        format!(
            "by less than {} in {} and {} in {}.",
            bytes(sampled.error(small)),
            bytes(small),
            bytes(sampled.error(large)),
            bytes(large)
        ),
    ])
}

/// The same, and what was counted, for programs.
#[derive(Debug, Serialize)]
pub struct Estimates {
    interval_bytes: u64,
    intervals: Vec<FromThen>,
    /// The blocks that were samples.
    samples: Sum,
    /// All blocks that were allocated.
    counted: Sum,
    peak_error_bytes: u64,
    live_error_bytes: u64,
}

/// An interval, from a moment on.
#[derive(Debug, Serialize)]
struct FromThen {
    from_ns: u64,
    bytes: u64,
}

impl Estimates {
    /// Those of a profile, if its figures are estimates.
    pub fn of(profile: &Profile<'_>) -> Option<Estimates> {
        let totals = &profile.totals;
        let sampled = totals.sampled.as_ref()?;
        let from_then = |&(at, bytes)| FromThen { from_ns: profile.nanos(at), bytes };
        Some(Estimates {
            interval_bytes: sampled.interval(),
            intervals: sampled.intervals.iter().map(from_then).collect(),
            samples: sampled.taken,
            counted: sampled.counted(),
            peak_error_bytes: sampled.error(totals.peak_bytes),
            live_error_bytes: sampled.error(totals.live.bytes),
        })
    }
}
