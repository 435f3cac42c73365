//! `prof stats`.

use super::input::Input;
use crate::report::StatsReport;

/// Show the figures of a capture: totals, peak, sizes, where most was allocated.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof stats app.prof\n  prof stats app.prof -n 20\n  prof stats app.prof --json | jq .metadata.peak_memory"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    input: Input,
    /// Show so many entries in each list.
    #[arg(short = 'n', long = "num-largest", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let top = arguments.top as usize;
    arguments
        .input
        .print(|reader, lines, format, out| StatsReport::new(reader, lines, top).write(format, out))
}
