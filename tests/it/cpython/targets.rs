//! Children that run a script and are looked at from outside.

use crate::dsl::{program, until};
use prof::cpython::Interpreter;
use prof_injector::Pid;
use prof_injector::process::{Memory, Process};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A script for these tests.
pub fn script(name: &str) -> PathBuf {
    program("cpython").join(name)
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
        let file = format!("/proc/{}/syscall", self.pid());
        let call = || std::fs::read_to_string(&file).expect("the target runs");
        until("it is blocked in a read", || call().starts_with(&blocked).then_some(()));
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
