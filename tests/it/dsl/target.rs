//! A Python process under test.

use super::{Stream, helper_library, hostile_library, interpreter, program, until};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// Prepares a program under `tests/programs`.
pub fn target(program: &str) -> Preparation {
    Preparation {
        program: program.to_owned(),
        python: "3.12".to_owned(),
        args: Vec::new(),
        under: Vec::new(),
        envs: Vec::new(),
    }
}

/// A target before it starts.
pub struct Preparation {
    program: String,
    python: String,
    args: Vec<String>,
    under: Vec<String>,
    envs: Vec<(String, String)>,
}

impl Preparation {
    /// Which interpreter runs it.
    pub fn python(mut self, version: &str) -> Self {
        self.python = version.to_owned();
        self
    }

    /// Adds an argument of the program.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts it through another command, which must end in an exec of it.
    pub fn under(mut self, command: &[&str]) -> Self {
        self.under = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it says that it is ready.
    #[track_caller]
    pub fn ready(self) -> Target {
        let scratch = tempfile::tempdir().expect("a temporary directory can be made");
        let mut words = self.under.clone();
        words.push(interpreter(&self.python).display().to_string());
        words.push(program(&self.program).display().to_string());
        words.extend(self.args);
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .envs(self.envs)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PROF_TEST_HELPER", helper_library())
            .env("PROF_TEST_HOSTILE", hostile_library())
            .env("PROF_TEST_SCRATCH", scratch.path())
            .current_dir(scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the target can be started");
        let mut target = Target {
            command: words.join(" "),
            stdin: child.stdin.take(),
            stdout: Stream::follow(child.stdout.take().expect("stdout is a pipe")),
            stderr: Stream::follow(child.stderr.take().expect("stderr is a pipe")),
            child,
            scratch,
        };
        target.expect("ready");
        target
    }
}

/// A running target; killed when dropped.
pub struct Target {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    scratch: tempfile::TempDir,
}

impl Target {
    /// Its pid, as an argument.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Its directory below `/proc`.
    pub fn proc_dir(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }

    /// A directory of its own, removed with it.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Sends it a line.
    #[track_caller]
    pub fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open until the target ends");
        if let Err(error) = writeln!(stdin, "{line}") {
            self.fail(&format!("could not be told {line:?}: {error}"));
        }
    }

    /// Waits for a line that begins with `start`; the rest of it.
    #[track_caller]
    pub fn expect(&mut self, start: &str) -> String {
        match self.stdout.find(|line| line.starts_with(start)) {
            Some(line) => line[start.len()..].trim().to_owned(),
            None => self.fail(&format!("did not say {start:?}")),
        }
    }

    /// Tells it to do `command` and waits until it did; the rest of its answer.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        let word = command.split(' ').next().unwrap_or(command);
        self.expect(&format!("did {word}"))
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Of each thread: its tid, its state's letter, and who traces it.
    pub fn states(&self) -> Vec<(String, char, u32)> {
        let tasks = std::fs::read_dir(self.proc_dir().join("task")).expect("the target runs").flatten();
        let look = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).ok()?;
            let field =
                |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
            let state = field("State:")?.chars().next()?;
            Some((task.file_name().into_string().ok()?, state, field("TracerPid:")?.parse().ok()?))
        };
        tasks.filter_map(look).collect()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, number: Signal) {
        signal(self.child.id(), number);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        until("the target ends", || self.child.try_wait().expect("a child can be waited for"))
    }

    /// Has it check itself and end; panics if anything is wrong with it.
    #[track_caller]
    pub fn finish(mut self) {
        self.tell("stop");
        self.expect("self-check ok");
        let status = self.wait();
        if !status.success() || !self.stderr.ended() || !self.stderr.text().is_empty() {
            self.fail(&format!("ended with {status}"));
        }
    }

    #[track_caller]
    fn fail(&mut self, what: &str) -> ! {
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => "running".to_owned(),
        };
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        panic!("the target {what}\n{}\nstatus: {status}\nstdout:\n{stdout}\nstderr:\n{stderr}", self.command)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended; then both fail, and that is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
#[track_caller]
pub fn signal(pid: u32, number: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a pid is not 0");
    kill_process(pid, number).expect("the process can be signalled");
}
