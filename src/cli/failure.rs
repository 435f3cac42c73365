//! How a failure is told: one line, and a hint where there is something to do.

use std::process::ExitCode;

use crate::capture;
use crate::report::Plain;

/// Tells it on stderr; gives the exit code.
pub(super) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("prof: {}", Plain(&format!("{error:#}")));
    if let Some(hint) = hint(error) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    match error.downcast_ref::<capture::Error>()? {
        capture::Error::Exists(_) => Some("choose another name with -o, or replace it with --force"),
        capture::Error::NotRegular(_) => Some("choose another name with -o"),
        capture::Error::NotACapture(_) => Some("captures are made by `prof attach`; they end in .prof"),
        capture::Error::Version { .. } => Some("use a newer prof"),
        capture::Error::NoMetadata(_) => Some("only the first bytes of this capture are there"),
        _ => None,
    }
}
