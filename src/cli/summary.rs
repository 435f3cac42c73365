//! `prof summary`.

use clap::ValueEnum;
use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use crate::capture::Reader;
use crate::report::{Order, SummaryReport};

/// Show what each function held when the heap was largest.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof summary app.prof\n  prof summary app.prof --sort total -n 50\n  prof summary app.prof --json | jq '.functions[0]'"
)]
pub(super) struct Arguments {
    /// The capture.
    file: PathBuf,
    /// What comes first: bytes of the function itself, with all that it called, or
    /// number of blocks.
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "own")]
    sort: Sort,
    /// Show so many functions.
    #[arg(short = 'n', value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sort {
    Own,
    Total,
    Count,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let reader = Reader::open(&arguments.file)?;
    let lines = super::line_resolver(reader.metadata());
    let order = match arguments.sort {
        Sort::Own => Order::Own,
        Sort::Total => Order::Total,
        Sort::Count => Order::Count,
    };
    let report = SummaryReport::new(&reader, &lines, order, arguments.top as usize);
    let mut out = BufWriter::new(stdout().lock());
    if arguments.json {
        report.write_json(&mut out)?
    } else {
        report.write_text(&mut out)?
    }
    Ok(out.flush()?)
}
