//! `prof report`.

use super::input::Input;
use super::select::{Window, Within};
use crate::report::{INTERVALS, StatsReport};

/// Call sites in each list.
pub(super) const SITES: usize = 5;

/// Show the first answers on one screen: what grew, who holds it, what was lost.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof report app.prof\n  prof report app.prof --json | jq .resident_set.explained"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    within: Within,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { input, window, within } = arguments;
    input.print_report(
        INTERVALS,
        |reader| Ok(window.narrow(within.question(reader)?, reader.metadata())),
        |profile, format, out| StatsReport::new(profile, SITES).write_screen(format, out),
    )
}
