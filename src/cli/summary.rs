//! `prof summary`.

use clap::ValueEnum;

use super::input::Input;
use crate::report::{Order, SummaryReport};

/// Show what each function held when the heap was largest.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof summary app.prof\n  prof summary app.prof --sort total -n 50\n  prof summary app.prof --json | jq '.functions[0]'"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    input: Input,
    /// What comes first: bytes of the function itself, with all that it called, or
    /// number of blocks.
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "own")]
    sort: Sort,
    /// Show so many functions.
    #[arg(short = 'n', long = "num-largest", value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sort {
    Own,
    Total,
    Count,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (order, top) = (arguments.sort.order(), arguments.top as usize);
    arguments
        .input
        .print(|reader, lines, format, out| SummaryReport::new(reader, lines, order, top).write(format, out))
}

impl Sort {
    fn order(self) -> Order {
        match self {
            Sort::Own => Order::Own,
            Sort::Total => Order::Total,
            Sort::Count => Order::Count,
        }
    }
}
