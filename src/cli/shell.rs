//! `prof completions` and `prof man`: what shells and `man` know of the command line.

use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof completions bash > /etc/bash_completion.d/prof\n  prof completions zsh > ~/.zfunc/_prof"
)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Write the manual pages, one a command.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  prof man ~/.local/share/man/man1 && man prof-attach")]
pub(super) struct Man {
    /// The directory to write to; it is made if it is not there.
    dir: PathBuf,
}

pub(super) fn complete(arguments: &Completions) -> anyhow::Result<()> {
    // Made in memory: the generator would panic where nobody reads.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "prof", &mut script);
    Ok(stdout().lock().write_all(&script)?)
}

pub(super) fn write_pages(arguments: &Man) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    let failed = || format!("writing manual pages to {}", dir.display());
    fs::create_dir_all(dir).with_context(failed)?;
    clap_mangen::generate_to(super::Arguments::command(), dir).with_context(failed)
}
