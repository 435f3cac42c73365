//! What a recording of samples needs in the target.

use prof_injector::process::machine_memory;
use prof_shared::region::{BUCKET_COUNT, Bucket};
use std::ops::RangeInclusive;

/// How far apart samples may be, in bytes: nearer ones are no saving, and of farther ones
/// there are too few.
pub const SAMPLE_INTERVALS: RangeInclusive<u64> = 1 << 10..=1 << 30;

/// The fewest buckets: a page of them.
const FEWEST: u64 = 64;

/// Buckets for the addresses of samples that lie so far apart: half of their places are
/// taken if all memory of the machine is allocated in small blocks.
pub fn buckets(interval: u64) -> u64 {
    let memory = machine_memory().unwrap_or(u64::MAX);
    let places = size_of::<Bucket>() as u64 / 8;
    let samples = memory / interval;
    (2 * samples / places).next_power_of_two().clamp(FEWEST, BUCKET_COUNT)
}
