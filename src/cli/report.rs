//! `prof report`.

use super::input::Input;
use crate::report::StatsReport;

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
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    arguments
        .input
        .print(|reader, lines, format, out| StatsReport::new(reader, lines, SITES).write_screen(format, out))
}
