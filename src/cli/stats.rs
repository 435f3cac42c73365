//! `prof stats`.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use crate::capture::Reader;
use crate::report::StatsReport;

/// Show the figures of a capture: totals, peak, sizes, where most was allocated.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof stats app.prof\n  prof stats app.prof -n 20\n  prof stats app.prof --json | jq .metadata.peak_memory"
)]
pub(super) struct Arguments {
    /// The capture.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show so many entries in each list.
    #[arg(short = 'n', long = "num-largest", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let reader = Reader::open(&arguments.file)?;
    let lines = super::line_resolver(reader.metadata());
    let report = StatsReport::new(&reader, &lines, arguments.top as usize);
    let mut out = BufWriter::new(stdout().lock());
    if arguments.json {
        report.write_json(&mut out)?
    } else {
        report.write_text(&mut out)?
    }
    Ok(out.flush()?)
}
