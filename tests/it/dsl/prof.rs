//! Running the built `prof`.

use super::{Capture, Stream, signal, until};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Exit status after a failure once the target was touched.
pub const FAILURE: i32 = 1;
/// Exit status for arguments that make no sense.
pub const USAGE: i32 = 2;
/// Exit status when a target was refused and not touched.
pub const REFUSAL: i32 = 3;

/// The `prof` under test: the one built with the tests, or the one that
/// `PROF_TEST_BINARY` names.
pub fn binary() -> PathBuf {
    std::env::var_os("PROF_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_prof").into()).into()
}

/// Prepares `prof` with these arguments.
pub fn prof(args: &[&str]) -> Prof {
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    Prof { binary: binary(), args, under: Vec::new(), dir: None, envs: Vec::new(), is_on_terminal: false }
}

/// `prof` before it starts.
pub struct Prof {
    binary: PathBuf,
    args: Vec<String>,
    under: Vec<String>,
    dir: Option<PathBuf>,
    envs: Vec<(String, String)>,
    is_on_terminal: bool,
}

impl Prof {
    /// Has it talk to a terminal.
    pub fn on_terminal(mut self) -> Self {
        self.is_on_terminal = true;
        self
    }

    /// Takes this build of it.
    pub fn built(mut self, binary: &Path) -> Self {
        self.binary = binary.to_owned();
        self
    }

    /// Starts it through another command, which must end in an exec of it.
    pub fn under(mut self, command: &[&str]) -> Self {
        self.under = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Runs it in this directory.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<Path>) -> Self {
        self.args.push(arg.as_ref().display().to_string());
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.spawn().wait()
    }

    /// Starts it and waits until it says that it records.
    #[track_caller]
    pub fn recording(self) -> Recording {
        let mut recording = self.spawn();
        recording.started();
        recording
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(self) -> Recording {
        let mut words = self.under;
        words.push(self.binary.display().to_string());
        words.extend(self.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("NO_COLOR", "1").env("RUST_BACKTRACE", "1").envs(self.envs);
        if let Some(dir) = self.dir {
            command.current_dir(dir);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let screen = self.is_on_terminal.then(|| attach_terminal(&mut command));
        let mut child = command.spawn().expect("the built prof can be started");
        // It holds our copy of the terminal, whose end is seen when all are closed.
        drop(command);
        let stderr = match screen {
            Some(screen) => Stream::watch(screen),
            None => Stream::follow(child.stderr.take().expect("stderr is a pipe")),
        };
        let stdout = Stream::follow(child.stdout.take().expect("stdout is a pipe"));
        Recording { command: format!("prof {}", self.args.join(" ")), stdout, stderr, child, file: None }
    }
}

/// Makes a new terminal the command's stderr; what is read from the result is what
/// the terminal would show.
fn attach_terminal(command: &mut Command) -> File {
    let (screen, keys) = terminal();
    command.env("TERM", "xterm").stderr(keys);
    screen
}

/// A new terminal: the side of a person, and that of programs.
pub fn terminal() -> (File, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .expect("a terminal can be made");
    grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("it is ours");
    let name = ptsname(&screen, Vec::new()).expect("it has a name").into_string().expect("a plain path");
    let keys = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(name);
    (File::from(screen), keys.expect("it can be opened"))
}

/// A `prof` that runs; killed when dropped.
pub struct Recording {
    command: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
    file: Option<PathBuf>,
}

impl Recording {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for `prof: recording pid N to FILE`; the file.
    #[track_caller]
    pub fn started(&mut self) -> PathBuf {
        if let Some(file) = &self.file {
            return file.clone();
        }
        let Some(line) = self.stderr.find(|line| line.starts_with("prof: recording pid ")) else {
            panic!("prof did not say that it records\n{}", self.end());
        };
        let (_, file) = line.split_once(" to ").expect("the line names the file");
        let dir = std::fs::read_link(format!("/proc/{}/cwd", self.child.id())).unwrap_or_default();
        self.file = Some(dir.join(file));
        dir.join(file)
    }

    /// Whether it runs, or is stopped.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether job control has stopped it.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        stat.is_ok_and(|stat| stat.contains(") T "))
    }

    /// Waits until this line stands on its standard output.
    #[track_caller]
    pub fn said(&mut self, line: &str) {
        assert!(self.stdout.find(|said| said == line).is_some(), "nobody said {line:?}\n{}", self.end());
    }

    /// What it said so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, number: Signal) {
        signal(self.child.id(), number);
    }

    /// Ends it as Ctrl-C does, and well.
    #[track_caller]
    pub fn interrupt(self) -> Finished {
        self.signal(Signal::INT);
        self.wait().success()
    }

    /// Kills it, as the out-of-memory killer does.
    #[track_caller]
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Finished {
        let status = until("prof ends", || self.child.try_wait().expect("a child can be waited for"));
        assert!(self.stdout.ended() && self.stderr.ended(), "somebody keeps the streams of prof open");
        Finished { status: Some(status), ..self.end() }
    }

    fn end(&mut self) -> Finished {
        Finished {
            command: self.command.clone(),
            status: self.child.try_wait().ok().flatten(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            file: self.file.clone(),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // It may have ended; then both fail, and that is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `prof` that has ended.
pub struct Finished {
    command: String,
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
    file: Option<PathBuf>,
}

impl Finished {
    /// Panics unless it ended with status 0.
    #[track_caller]
    pub fn success(self) -> Finished {
        assert!(self.status.is_some_and(|status| status.success()), "prof failed\n{self}");
        self
    }

    /// Panics unless it ended with `code` and one line of what is wrong that holds
    /// every word of `says`; where something can be done, a line of that follows.
    #[track_caller]
    pub fn refuses(self, code: i32, says: &[&str]) -> Finished {
        assert_eq!(self.status.and_then(|status| status.code()), Some(code), "\n{self}");
        let lines: Vec<_> = self.stderr.lines().collect();
        let ([what] | [what, _]) = lines[..] else { panic!("not one line, or one and a hint\n{self}") };
        assert!(what.starts_with("prof: "), "the line does not begin with `prof: `\n{self}");
        for word in says {
            assert!(what.contains(word), "the line does not say {word:?}\n{self}");
        }
        let is_hint = |line: &&str| line.starts_with("hint: ");
        assert!(lines.get(1).is_none_or(is_hint), "the second line does not begin with `hint: `\n{self}");
        assert_eq!(self.stdout, "", "talk belongs on stderr\n{self}");
        self
    }

    /// Panics unless the hint after a refusal holds `text`.
    #[track_caller]
    pub fn hints(self, text: &str) -> Finished {
        let hint = self.stderr.lines().find(|line| line.starts_with("hint: "));
        assert!(hint.is_some_and(|hint| hint.contains(text)), "no hint of {text:?}\n{self}");
        self
    }

    /// Panics unless its talk holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Finished {
        assert!(self.stderr.contains(text), "prof did not say {text:?}\n{self}");
        self
    }

    /// The capture it wrote, read back.
    #[track_caller]
    pub fn capture(self) -> Capture {
        match &self.file {
            Some(file) => Capture::read(file),
            None => panic!("prof never said which file it writes\n{self}"),
        }
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or("running".to_owned(), |status| status.to_string());
        writeln!(f, "{}\nstatus: {status}", self.command)?;
        write!(f, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
}
