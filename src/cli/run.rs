//! `prof run`.

use super::recording::Recording;
use super::talk::{Form, Talk};
use crate::model::EndReason;
use crate::record::{Company, Options, Progress, Start, record, start};
use prof_injector::Pid;
use prof_injector::launch::{end, signal, wait};
use prof_injector::tracee::sentry;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

/// Signals that are the program's.
const PASSED_ON: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
/// The exit code of a program that a signal ended is this and the signal's number.
const SIGNALLED: i32 = 128;

/// Start a Python program and record it from its first import on.
///
/// The program has this terminal, these streams and the signals, and `prof run` ends
/// with its exit code. What CPython itself allocates before its first import is in the
/// resident set at the start, as for `prof attach`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof run app.py --port 8000\n  prof run -m http.server\n  prof run --trace-python-allocators -o app.prof -- python3.12 -X dev app.py"
)]
pub(super) struct Arguments {
    /// The program and its arguments; a script, or Python's options (-m, -c), are given to
    /// `python3`.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    #[command(flatten)]
    recording: Recording,
    /// Print nothing but errors.
    #[arg(short, long)]
    quiet: bool,
    /// Print what is not recorded and other notes.
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

/// Runs the program; its exit code.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    sentry::post();
    let mut program = match start(&command(&arguments.command))? {
        Start::Ready(program) => Some(program),
        Start::Ended(status) => return Ok(never_python(arguments, status)),
    };
    let pid = program.as_ref().map_or(Pid::from_raw(0), |program| program.pid);
    pass_signals_on(pid)?;
    let held = program.as_ref().map(|program| program.held);
    let options = Options { held, ..arguments.recording.options(pid.as_raw()) };
    let talk = Talk::new(pid.as_raw(), Form::Text, arguments.quiet, arguments.verbose);
    let outcome = {
        let mut tell = |progress| {
            if let Progress::Started { .. } = progress {
                // From here on it runs.
                program = None;
                if arguments.quiet {
                    return;
                }
            }
            talk.tell(progress);
        };
        record(&options, &mut Company { stop: &|| None::<EndReason>, tell: &mut tell })
    };
    talk.end();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            match program.take() {
                // None of its own code has run.
                Some(program) => end(program.pid),
                None => drop(wait(pid)),
            }
            return Err(error.into());
        }
    };
    let concluded = talk.conclude(outcome);
    let status = wait(pid)?;
    concluded?;
    Ok(exit_code(status))
}

/// What is executed: a script and Python's own options are for `python3`.
fn command(words: &[OsString]) -> Vec<OsString> {
    let first = words.first().map_or(&b""[..], |word| word.as_bytes());
    let is_for_python = first.starts_with(b"-") || first.ends_with(b".py") || first.ends_with(b".pyz");
    let python = is_for_python.then(|| OsString::from("python3"));
    python.into_iter().chain(words.iter().cloned()).collect()
}

/// A terminal sends its signals to the program too; all others are passed on.
fn pass_signals_on(pid: Pid) -> anyhow::Result<()> {
    let mut signals = SignalsInfo::<WithRawSiginfo>::new(PASSED_ON)?;
    std::thread::Builder::new().name("prof-signals".into()).spawn(move || {
        for info in signals.forever() {
            // Those of users are 0 and below (sigaction(2)).
            if info.si_code <= 0 {
                signal(pid, info.si_signo);
            }
        }
    })?;
    Ok(())
}

fn never_python(arguments: &Arguments, status: i32) -> ExitCode {
    if !arguments.quiet {
        say!("prof: nothing was recorded: the program ended without having been a CPython");
        say!("hint: what it starts is not recorded; give the Python program itself");
    }
    exit_code(status)
}

/// As a shell tells it.
fn exit_code(status: i32) -> ExitCode {
    let status = ExitStatus::from_raw(status);
    let code = status.code().or(status.signal().map(|signal| SIGNALLED + signal));
    ExitCode::from(code.unwrap_or(SIGNALLED) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_options_are_for_python() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["app.py", "-v"], &["python3", "app.py", "-v"]),
            (&["-m", "http.server"], &["python3", "-m", "http.server"]),
            (&["-c", "1"], &["python3", "-c", "1"]),
            (&["python3.12", "app.py"], &["python3.12", "app.py"]),
            (&["./gunicorn", "app:app"], &["./gunicorn", "app:app"]),
        ];
        for (given, executed) in cases {
            let words: Vec<OsString> = given.iter().map(OsString::from).collect();
            assert_eq!(command(&words), executed);
        }
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(3 << 8), ExitCode::from(3));
        assert_eq!(exit_code(libc::SIGKILL), ExitCode::from(137));
    }
}
