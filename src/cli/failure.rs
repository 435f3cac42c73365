//! How a failure is told: one line, and a hint where there is something to do.

use std::fmt;
use std::process::ExitCode;

use super::input::NoEvents;
use crate::capture;
use crate::explore;
use crate::record;
use crate::report::Plain;

/// The context of an error that has been told already.
#[derive(Debug)]
pub(super) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("told already")
    }
}

/// The exit code of an error that has one of its own.
#[derive(Debug)]
pub(super) struct Code(pub u8);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

/// Tells it on stderr; gives the exit code.
pub(super) fn tell(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<Told>().is_none() {
        say!("prof: {}", Plain(&line(error)));
        if let Some(hint) = hint(error) {
            say!("hint: {}", Plain(&hint));
        }
    }
    ExitCode::from(status(error))
}

/// The exit code of an error.
pub(super) fn status(error: &anyhow::Error) -> u8 {
    if let Some(Code(code)) = error.downcast_ref() {
        return *code;
    }
    let is_refusal = error.downcast_ref().is_some_and(record::Error::is_refusal);
    if is_refusal { REFUSED } else { FAILED }
}

/// Tells what is wrong with the arguments, or prints the help that was asked for.
pub(super) fn tell_usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion) {
        // A reader that went away has what it wanted.
        let _broken_pipe = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        let _broken_pipe = error.print();
        return ExitCode::from(USAGE);
    }
    let text = error.to_string();
    // The first paragraph is the error, over several lines if it lists what is missing.
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let line: Vec<&str> = first.lines().map(str::trim).collect();
    say!("prof: {}", Plain(&line.join(" ")));
    say!("hint: `prof --help` and `prof COMMAND --help` show what is possible");
    ExitCode::from(USAGE)
}

/// The exit code for arguments that make no sense.
const USAGE: u8 = 2;

/// The error and its causes, as far as they say something new.
pub(super) fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// The exit code of a failure.
const FAILED: u8 = 1;
/// The exit code of a refusal: the target was not touched.
const REFUSED: u8 = 3;

/// What can be done about it.
pub(super) fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(explore::Error::NoTerminal) = error.downcast_ref() {
        return Some("`prof summary FILE` prints a table".to_owned());
    }
    if error.downcast_ref::<NoEvents>().is_some() {
        return Some("leave out --from, --to, --process and --within".to_owned());
    }
    match error.downcast_ref() {
        Some(record::Error::Capture(error)) => of_capture(error).map(str::to_owned),
        Some(error) => error.hint(),
        None => of_capture(error.downcast_ref()?).map(str::to_owned),
    }
}

fn of_capture(error: &capture::Error) -> Option<&'static str> {
    match error {
        capture::Error::Exists(_) => Some("choose another name with -o, or replace it with --force"),
        capture::Error::NotRegular(_) => Some("choose another name with -o"),
        capture::Error::Create(..) => Some("choose a directory that can be written to with -o"),
        capture::Error::Full(_) => {
            Some("what was written before stays there; make room, or choose another place with -o")
        }
        capture::Error::Read(..) | capture::Error::NotACapture(_) => {
            Some("captures are made by `prof attach`; they end in .prof")
        }
        capture::Error::Version { .. } => Some("use a newer prof"),
        capture::Error::NoMetadata(_) => Some("only the first bytes of this capture are there"),
        _ => None,
    }
}
