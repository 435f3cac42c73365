//! `prof attach --background`: the same command once more, in a job of its own.
//!
//! ```text
//!  prof attach --background … ──► prof attach …     no terminal; what it says goes to LOG
//!     └ waits until LOG says that recording has begun, or why not ┘
//! ```

use anyhow::Context;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::failure::{Code, Told};
use crate::capture;
use crate::record;
use crate::report::Plain;

/// What is left out of the arguments.
const OPTION: &str = "--background";
/// Between two looks.
const NAP: Duration = Duration::from_millis(20);
/// How a line begins that says that recording has begun, for people and for programs.
const BEGUN: [&str; 2] = ["prof: recording pid ", "{\"event\":\"started\""];

/// Starts the recording to `output`, and waits until it has begun.
pub(super) fn start(output: Option<&Path>, force: bool) -> anyhow::Result<()> {
    let log = log_beside(output);
    let file = capture::create(&log, force).map_err(record::Error::from)?;
    let mut child = spawn(&file).context("starting prof once more")?;
    loop {
        let said = std::fs::read_to_string(&log).context("reading the log")?;
        if let Some(line) = begun(&said) {
            say!("{line}");
            tell(child.id(), &log);
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            return Err(failed(&log, status));
        }
        std::thread::sleep(NAP);
    }
}

/// `FILE.log`, or a name that nobody else takes.
fn log_beside(output: Option<&Path>) -> PathBuf {
    let mut name = match output {
        Some(capture) => capture.as_os_str().to_owned(),
        None => OsString::from(format!("prof-background-{}", std::process::id())),
    };
    name.push(".log");
    PathBuf::from(name)
}

/// In a process group of its own, which the terminal's keys and its end do not reach.
fn spawn(log: &File) -> std::io::Result<Child> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != OPTION);
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log.try_clone()?).spawn()
}

/// The whole line that says that recording has begun.
fn begun(said: &str) -> Option<&str> {
    let lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.into_iter().find(|line| BEGUN.iter().any(|start| line.starts_with(start)))
}

fn tell(pid: u32, log: &Path) {
    let log = log.display().to_string();
    say!("prof: in the background as process {pid}, which writes what it says to {}", Plain(&log));
    say!("prof: `prof detach PID` ends the recording, PID being the recorded process");
}

/// It said why.
fn failed(log: &Path, status: ExitStatus) -> anyhow::Error {
    let said = std::fs::read(log).unwrap_or_default();
    let _unread = std::io::stderr().lock().write_all(&said);
    // What it had to say was said.
    let _stays = std::fs::remove_file(log);
    anyhow::Error::msg("it ended").context(Code(status.code().unwrap_or(1) as u8)).context(Told)
}
