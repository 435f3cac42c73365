//! What is recorded of a process, however it came to be recorded, and where to.

use std::path::PathBuf;
use std::time::Duration;

use prof_shared::ring::Shape;

use super::units;
use crate::record::{Aggregation, Clock, Options};

/// A recording as it is asked for.
#[derive(clap::Args)]
pub(super) struct Recording {
    /// Stop recording after this time: seconds, or with a unit (90s, 5m, 1h).
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// Stop recording when the capture has this size (500MiB, 2GiB). What waits to be written
    /// by then still comes, compressed: less than twice the ring and 16 MiB.
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    max_size: Option<u64>,
    /// What to do when the capture has the size of --max-size.
    #[arg(long, value_name = "WHAT", default_value = "end", requires = "max_size")]
    on_full: OnFull,
    /// Keep no events, only what every stack allocated, holds and held at the peak. However
    /// long it takes, the capture stays small; it is written anew every few seconds.
    #[arg(long, conflicts_with = "on_full")]
    aggregate: bool,
    /// How fine the history over time is where no events are kept; it gets coarser with time.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = units::duration)]
    interval: Duration,
    /// Write the capture to this file, by default `prof-<name>-<pid>-<time>.prof`.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(short, long)]
    pub force: bool,
    /// Record each small object too: every call of Python's own allocators, not only
    /// their requests to libc. Costs more.
    #[arg(long)]
    trace_python_allocators: bool,
    /// Record only samples of the blocks, so many bytes apart on average (512KiB). Costs
    /// little; all figures become estimates, and reports say how good they are.
    #[arg(long, value_name = "SIZE", value_parser = units::sample_interval)]
    sample: Option<u64>,
    /// Record the processes that it forks from now on too, each from its first allocation.
    #[arg(long)]
    follow_fork: bool,
    /// Record native frames too, of every thread: stacks of C and Python as they called each
    /// other. Costs more.
    #[arg(long)]
    native: bool,
    /// Size of the shared ring: a larger one survives a slow disk longer.
    #[arg(long, value_name = "SIZE", default_value = units::RING_SIZE, value_parser = units::ring_size)]
    pub ring_size: Shape,
    /// Order events by a shared counter instead of the processor's clock; chosen by
    /// itself where that clock is not to be trusted.
    #[arg(long, hide_short_help = true)]
    sequence_clock: bool,
}

/// What becomes of a recording whose capture is full.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnFull {
    /// It ends.
    End,
    /// It goes on as with --aggregate, with what was recorded so far.
    Aggregate,
}

impl Recording {
    fn aggregation(&self) -> Aggregation {
        match (self.aggregate, self.on_full) {
            (true, _) => Aggregation::Always,
            (_, OnFull::Aggregate) => Aggregation::WhenFull,
            _ => Aggregation::Never,
        }
    }

    /// Of process `pid`, whichever that is by then; refused if it is stopped.
    pub fn options(&self, pid: i32) -> Options {
        Options {
            pid,
            start_ticks: None,
            duration: self.duration,
            max_bytes: self.max_size,
            aggregation: self.aggregation(),
            interval: self.interval,
            output: self.output.clone(),
            wait: false,
            force: self.force,
            domains: self.trace_python_allocators,
            ring: self.ring_size,
            clock: if self.sequence_clock { Clock::Sequence } else { Clock::choose() },
            sample: self.sample,
            follows: self.follow_fork,
            native: self.native,
            held: None,
        }
    }
}
