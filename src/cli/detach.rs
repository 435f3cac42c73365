//! `prof detach`.

use crate::record::{Left, longest_pause_us, withdraw};
use prof_injector::tracee::sentry;

/// Remove what a killed `prof attach` left in a process.
///
/// A recording that runs removes everything by itself when it ends.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  prof detach 4711")]
pub(super) struct Arguments {
    /// The process to clean.
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pid = arguments.pid;
    sentry::post();
    match withdraw(pid)? {
        None => eprintln!("prof: nothing of prof is in process {pid}"),
        Some(Left { detours }) => {
            let pause = longest_pause_us();
            eprintln!(
                "prof: removed {detours} detours and the payload from process {pid}; longest pause {pause} µs"
            );
        }
    }
    Ok(())
}
