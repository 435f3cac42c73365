//! The interpreters to test with, and children that run a script.

use prof::cpython::Interpreter;
use prof_injector::Pid;
use prof_injector::process::{Memory, Process};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Every interpreter found: those below `$PROF_PYTHONS` (default
/// `~/.pyenv/versions`) and the system's. Says which are not there.
pub fn pythons() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let versions = std::env::var_os("PROF_PYTHONS").map(PathBuf::from);
    let versions = versions.unwrap_or_else(|| Path::new(&home).join(".pyenv/versions"));
    let mut found = vec![];
    for minor in 8..=13 {
        let name = format!("3.{minor}.");
        let entries = std::fs::read_dir(&versions).into_iter().flatten().flatten();
        let of_minor = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&name));
        let before = found.len();
        found.extend(of_minor.map(|entry| entry.path().join("bin/python3")).filter(|python| python.exists()));
        if found.len() == before {
            eprintln!("skipped: no CPython 3.{minor} below {}", versions.display());
        }
    }
    match Path::new("/usr/bin/python3").exists() {
        true => found.push("/usr/bin/python3".into()),
        false => eprintln!("skipped: no /usr/bin/python3"),
    }
    assert!(!found.is_empty(), "no interpreter at all");
    found
}

/// A script of this directory.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpython").join(name)
}

/// A running script that is talked to in lines; killed when dropped.
pub struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Target {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> Target {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Target { child, input, output }
    }

    /// Its next line, without the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the target talks");
        assert!(!line.is_empty(), "the target ended");
        line.trim_end().to_owned()
    }

    /// Sends a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the target listens");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn process(&self) -> Process {
        Process::open(Pid::from_raw(self.pid().cast_signed())).expect("the target runs")
    }

    pub fn memory(&self) -> Memory {
        self.process().memory()
    }

    /// Finds the interpreter in it.
    pub fn interpreter(&self) -> Interpreter {
        let process = self.process();
        let maps = process.maps().expect("its maps");
        Interpreter::find(&process, &maps, &process.modules(&maps)).expect("a CPython")
    }

    /// Waits until its main thread is blocked in `read` of `fd`.
    pub fn wait_for_read(&self, fd: u32) {
        let blocked = format!("0 {fd:#x} ");
        loop {
            let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid()));
            if call.expect("the target runs").starts_with(&blocked) {
                return;
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
