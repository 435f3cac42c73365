//! How a failure is told: one line, and a hint where there is something to do.

use std::process::ExitCode;

use crate::capture;
use crate::record;
use crate::report::Plain;

/// Tells it on stderr; gives the exit code.
pub(super) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("prof: {}", Plain(&format!("{error:#}")));
    if let Some(hint) = hint(error) {
        eprintln!("hint: {hint}");
    }
    let is_refusal = error.downcast_ref().is_some_and(record::Error::is_refusal);
    if is_refusal { ExitCode::from(REFUSED) } else { ExitCode::FAILURE }
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
        capture::Error::NotACapture(_) => Some("captures are made by `prof attach`; they end in .prof"),
        capture::Error::Version { .. } => Some("use a newer prof"),
        capture::Error::NoMetadata(_) => Some("only the first bytes of this capture are there"),
        _ => None,
    }
}
