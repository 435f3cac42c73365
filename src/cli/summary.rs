//! `prof summary`.

use clap::ValueEnum;
use std::path::PathBuf;

use super::input::{Input, with_profile};
use super::select::{Select, Window};
use crate::capture::Reader;
use crate::report::{By, Order, SummaryReport, View, Wanted};

/// Show what each function held when the heap was largest, or leaked, or allocated.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof summary app.prof\n  prof summary app.prof --leaks --by module\n  prof summary after.prof --diff before.prof\n  prof summary app.prof --growth --from 10s --to 40s --json"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    input: Input,
    /// Show what has changed since this earlier capture.
    #[arg(long, value_name = "BEFORE")]
    diff: Option<PathBuf>,
    /// Show what grew and shrank between --from and --to, however old the memory is.
    #[arg(long, conflicts_with_all = ["diff", "view"])]
    growth: bool,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    window: Window,
    /// Sum up by this.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "function")]
    by: Grouping,
    /// What comes first: bytes of its own, with all that it called, or number of blocks.
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "own")]
    sort: Sort,
    /// Show so many rows.
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

#[derive(Clone, Copy, ValueEnum)]
enum Grouping {
    Function,
    File,
    Module,
    Thread,
    Process,
    Allocator,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { input, diff, growth, select, window, by, sort, top } = arguments;
    let view = if *growth { View::AtEnd } else { select.view() };
    let wanted = Wanted { view, by: by.into(), order: sort.into(), top: *top as usize };
    let question = |reader: &Reader| Ok(window.narrow(select.question(reader)?, reader.metadata()));
    let Some(before) = diff else {
        return input.print_report(0, question, |profile, format, out| match growth {
            true => SummaryReport::compared(&profile, (&profile, View::AtStart), wanted).write(format, out),
            false => SummaryReport::new(&profile, wanted).write(format, out),
        });
    };
    with_profile(before, question, 0, |before| {
        input.print_report(0, question, |profile, format, out| {
            SummaryReport::compared(&profile, (&before, view), wanted).write(format, out)
        })
    })
}

impl From<&Sort> for Order {
    fn from(sort: &Sort) -> Order {
        match sort {
            Sort::Own => Order::Own,
            Sort::Total => Order::Total,
            Sort::Count => Order::Count,
        }
    }
}

impl From<&Grouping> for By {
    fn from(grouping: &Grouping) -> By {
        match grouping {
            Grouping::Function => By::Function,
            Grouping::File => By::File,
            Grouping::Module => By::Module,
            Grouping::Thread => By::Thread,
            Grouping::Process => By::Process,
            Grouping::Allocator => By::Kind,
        }
    }
}
