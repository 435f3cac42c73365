//! `prof tree`.

use std::path::PathBuf;

use super::input::with_profile;
use super::select::Select;
use crate::explore::{self, Ending, Wanted};

/// Walk through the callers and what they allocated, on a full screen.
///
/// The arrow keys move; ? shows all keys. Views can be changed while looking.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof tree app.prof\n  prof tree app.prof --leaks\n  prof tree app.prof --temporary --within 10 -b 1000"
)]
pub(super) struct Arguments {
    /// The capture.
    file: PathBuf,
    #[command(flatten)]
    select: Select,
    /// Give the N largest places lines of their own, and sum up the others.
    #[arg(short, long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    biggest_allocs: u32,
    /// Do not show the source.
    #[arg(long)]
    no_source: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { file, select, biggest_allocs, no_source } = arguments;
    explore::check_terminal()?;
    let wanted = Wanted { view: select.view(), biggest: *biggest_allocs as usize, has_source: !no_source };
    let ending = with_profile(
        file,
        |reader| select.question(reader),
        0,
        |profile| Ok(explore::explore(&profile, file, wanted)?),
    )?;
    if let Ending::Signal(signal) = ending {
        signal_hook::low_level::emulate_default_handler(signal)?;
    }
    Ok(())
}
