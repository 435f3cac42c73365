//! `prof parse`.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use crate::capture::Reader;
use crate::report::{Format, Records};

/// Print every record of a capture, one a line.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof parse app.prof | less\n  prof parse app.prof --json | jq -c 'select(.size > 1000000)'"
)]
pub(super) struct Arguments {
    /// The capture.
    file: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let reader = Reader::open(&arguments.file)?;
    let lines = super::line_resolver(reader.metadata());
    let format = if arguments.json { Format::Json } else { Format::Text };
    let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
    Records::new(&reader, &lines, format).write(&mut out)?;
    Ok(out.flush()?)
}
