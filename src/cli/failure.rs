//! How a failure is told: one line, and a hint where there is something to do.

use std::process::ExitCode;

use crate::capture;
use crate::record;
use crate::report::Plain;

/// Tells it on stderr; gives the exit code.
pub(super) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("prof: {}", Plain(&line(error)));
    if let Some(hint) = hint(error) {
        eprintln!("hint: {}", Plain(&hint));
    }
    let is_refusal = error.downcast_ref().is_some_and(record::Error::is_refusal);
    if is_refusal { ExitCode::from(REFUSED) } else { ExitCode::FAILURE }
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
    eprintln!("prof: {}", Plain(&line.join(" ")));
    eprintln!("hint: `prof --help` and `prof COMMAND --help` show what is possible");
    ExitCode::from(USAGE)
}

/// The exit code for arguments that make no sense.
const USAGE: u8 = 2;

/// The error and its causes, as far as they say something new.
fn line(error: &anyhow::Error) -> String {
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

/// The exit code of a refusal: the target was not touched.
const REFUSED: u8 = 3;

fn hint(error: &anyhow::Error) -> Option<String> {
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
        capture::Error::Read(..) | capture::Error::NotACapture(_) => {
            Some("captures are made by `prof attach`; they end in .prof")
        }
        capture::Error::Version { .. } => Some("use a newer prof"),
        capture::Error::NoMetadata(_) => Some("only the first bytes of this capture are there"),
        _ => None,
    }
}
