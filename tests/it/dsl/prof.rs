//! Running the built `prof`.

use super::{Capture, Stream, signal, until};
use rustix::process::Signal;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Exit status after a failure once the target was touched.
pub const FAILURE: i32 = 1;
/// Exit status for arguments that make no sense.
pub const USAGE: i32 = 2;
/// Exit status when a target was refused and not touched.
pub const REFUSAL: i32 = 3;

/// Prepares `prof` with these arguments.
pub fn prof(args: &[&str]) -> Prof {
    Prof { args: args.iter().map(|&arg| arg.to_owned()).collect(), dir: None, envs: Vec::new() }
}

/// `prof` before it starts.
pub struct Prof {
    args: Vec<String>,
    dir: Option<PathBuf>,
    envs: Vec<(String, String)>,
}

impl Prof {
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_prof"));
        command.args(&self.args).env("NO_COLOR", "1").env("RUST_BACKTRACE", "1").envs(self.envs);
        if let Some(dir) = self.dir {
            command.current_dir(dir);
        }
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the built prof can be started");
        Recording {
            command: format!("prof {}", self.args.join(" ")),
            stdout: Stream::follow(child.stdout.take().expect("stdout is a pipe")),
            stderr: Stream::follow(child.stderr.take().expect("stderr is a pipe")),
            child,
            file: None,
        }
    }
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

    /// Panics unless it ended with `code`, one line of what is wrong that holds
    /// every word of `says`, and one line of what to do.
    #[track_caller]
    pub fn refuses(self, code: i32, says: &[&str]) -> Finished {
        assert_eq!(self.status.and_then(|status| status.code()), Some(code), "\n{self}");
        let lines: Vec<_> = self.stderr.lines().collect();
        let [what, hint] = lines[..] else { panic!("not one line and a hint\n{self}") };
        assert!(what.starts_with("prof: "), "the line does not begin with `prof: `\n{self}");
        assert!(hint.starts_with("hint: "), "the hint does not begin with `hint: `\n{self}");
        for word in says {
            assert!(what.contains(word), "the line does not say {word:?}\n{self}");
        }
        assert_eq!(self.stdout, "", "talk belongs on stderr\n{self}");
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
