//! `prof parse`.

use super::input::Input;
use crate::report::Records;

/// Print every record of a capture, one a line.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof parse app.prof | less\n  prof parse app.prof --json | jq -c 'select(.size > 1000000)'"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    input: Input,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.input.print_records(|reader, lines, format, out| Records::new(reader, lines, format).write(out))
}
