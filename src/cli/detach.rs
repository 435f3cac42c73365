//! `prof detach`.

use crate::record::{Cleaned, Left, Recorder, longest_pause_us, withdraw, withdraw_children};
use crate::report::Plain;
use prof_injector::tracee::sentry;

/// End the recording of a process, or remove what a killed `prof attach` left in it.
///
/// A recording that runs is ended in order, wherever it was started: its capture is complete,
/// and nothing is left in the process. A `prof attach --all` goes on with the others.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  prof detach 4711\n  prof detach --children 4711")]
pub(super) struct Arguments {
    /// The process that is recorded, or is to be cleaned.
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// Clean the processes that it has forked while it was recorded, and their children;
    /// the process itself may have ended.
    #[arg(long)]
    children: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pid = arguments.pid;
    sentry::post();
    if arguments.children {
        return clean_children(pid);
    }
    if let Some(recorder) = Recorder::of(pid) {
        recorder.end()?;
        let by = recorder.pid();
        say!("prof: ended the recording of process {pid} by process {by}, which has said where it is");
        return Ok(());
    }
    match withdraw(pid)? {
        None => say!("prof: nothing of prof is in process {pid}"),
        Some(Left { detours }) => {
            let pause = longest_pause_us();
            say!(
                "prof: removed {detours} detours and the payload from process {pid}; longest pause {pause} µs"
            );
        }
    }
    Ok(())
}

fn clean_children(pid: i32) -> anyhow::Result<()> {
    let cleaned = withdraw_children(pid)?;
    if cleaned.is_empty() {
        say!("prof: no process carries anything of a recording of process {pid}");
    }
    let mut failed = 0;
    for Cleaned { pid, error } in &cleaned {
        match error {
            None => say!("prof: removed the hooks and the payload from process {pid}"),
            Some(error) => {
                failed += 1;
                say!("prof: process {pid}: {}", Plain(&error.to_string()));
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {} processes could not be cleaned", cleaned.len());
    Ok(())
}
