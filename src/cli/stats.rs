//! `prof stats`.

use super::input::Input;
use super::select::{Window, Within};
use crate::report::{INTERVALS, StatsReport};

/// Show the figures of a capture: totals, peak, sizes, where most was allocated.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof stats app.prof\n  prof stats app.prof -n 20\n  prof stats app.prof --json | jq .metadata.peak_memory"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    within: Within,
    /// Show so many entries in each list.
    #[arg(short = 'n', long = "num-largest", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { input, window, within, top } = arguments;
    input.print_report(
        INTERVALS,
        |reader| Ok(window.narrow(within.question(reader)?, reader.metadata())),
        |profile, format, out| StatsReport::new(profile, *top as usize).write(format, out),
    )
}
