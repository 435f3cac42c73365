//! `prof report`.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use crate::capture::Reader;
use crate::report::StatsReport;

/// Call sites in each list.
pub(super) const SITES: usize = 5;

/// Show the first answers on one screen: what grew, who holds it, what was lost.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof report app.prof\n  prof report app.prof --json | jq .resident_set.explained"
)]
pub(super) struct Arguments {
    /// The capture.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let reader = Reader::open(&arguments.file)?;
    let lines = super::line_resolver(reader.metadata());
    let report = StatsReport::new(&reader, &lines, SITES);
    let mut out = BufWriter::new(stdout().lock());
    if arguments.json {
        report.write_screen_json(&mut out)?
    } else {
        report.write_screen(&mut out)?
    }
    Ok(out.flush()?)
}
