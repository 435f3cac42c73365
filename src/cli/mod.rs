//! The command line: one file a command, no work of its own.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done; also when the reader of our output went away |
//! | 1 | failed: `prof: …`, and a `hint: …` where there is one |
//! | 2 | the arguments make no sense |
//! | 3 | refused before the target was touched |

mod attach;
mod detach;
mod failure;
mod input;
mod parse;
mod report;
mod stats;
mod summary;
mod units;

use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;

/// Record and explain the memory of running Python processes.
#[derive(Parser)]
#[command(name = "prof", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  prof attach 4711 --duration 60   record process 4711 for a minute\n  prof report app.prof              the first answers on one screen\n  prof stats app.prof               see where the memory went\n  prof parse app.prof --json        every event, for other programs"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Attach(attach::Arguments),
    Detach(detach::Arguments),
    Report(report::Arguments),
    Stats(stats::Arguments),
    Summary(summary::Arguments),
    Parse(parse::Arguments),
}

/// Runs the command that the arguments name, and says what went wrong.
pub fn main() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return failure::tell_usage(&error),
    };
    let result = match command {
        Command::Attach(arguments) => attach::run(&arguments),
        Command::Detach(arguments) => detach::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Summary(arguments) => summary::run(&arguments),
        Command::Parse(arguments) => parse::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_pipe = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_pipe))
}
