//! The command line: one file a command, no work of its own.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done; also when the reader of our output went away |
//! | 1 | failed: `prof: …`, and a `hint: …` where there is one |
//! | 2 | the arguments make no sense |
//! | 3 | refused before the target was touched |
//!
//! `prof run` ends with the exit code of the program.

/// Says a line on stderr. Who does not hear it, as where the terminal is gone, need not end
/// anything.
macro_rules! say {
    ($($text:tt)*) => {{
        let line = format_args!($($text)*);
        let _unheard = std::io::Write::write_fmt(&mut std::io::stderr().lock(), format_args!("{line}\n"));
    }};
}

mod attach;
mod background;
mod detach;
mod failure;
mod flamegraph;
mod input;
mod live;
mod output;
mod parse;
mod pick;
mod progress;
mod ps;
mod recording;
mod report;
mod run;
mod select;
mod several;
mod shell;
mod stats;
mod summary;
mod talk;
mod target;
mod transform;
mod tree;
mod units;
mod view;

use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;

/// Record and explain the memory of running Python processes.
#[derive(Parser)]
#[command(name = "prof", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  prof ps                           list the Python processes\n  prof attach 4711 --duration 60   record process 4711 for a minute\n  prof report app.prof              the first answers on one screen\n  prof stats app.prof               see where the memory went\n  prof parse app.prof --json        every event, for other programs"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Attach(attach::Arguments),
    Run(run::Arguments),
    Detach(detach::Arguments),
    Report(report::Arguments),
    Flamegraph(flamegraph::Arguments),
    Table(flamegraph::TableArguments),
    Stats(stats::Arguments),
    Summary(summary::Arguments),
    Tree(tree::Arguments),
    Live(live::Arguments),
    Parse(parse::Arguments),
    Transform(transform::Arguments),
    Ps(ps::Arguments),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Runs the command that the arguments name, and says what went wrong.
pub fn main() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return failure::tell_usage(&error),
    };
    let result = match command {
        Command::Attach(arguments) => attach::run(&arguments),
        Command::Run(arguments) => return tell_code(run::run(&arguments)),
        Command::Detach(arguments) => detach::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Flamegraph(arguments) => flamegraph::run(&arguments),
        Command::Table(arguments) => flamegraph::run_table(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Summary(arguments) => summary::run(&arguments),
        Command::Tree(arguments) => tree::run(&arguments),
        Command::Live(arguments) => live::run(&arguments),
        Command::Parse(arguments) => parse::run(&arguments),
        Command::Transform(arguments) => transform::run(&arguments),
        Command::Ps(arguments) => ps::run(&arguments),
        Command::Completions(arguments) => shell::complete(&arguments),
        Command::Man(arguments) => shell::write_pages(&arguments),
    };
    tell_code(result.map(|()| ExitCode::SUCCESS))
}

/// Says what went wrong, if anything.
fn tell_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_pipe = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_pipe))
}
