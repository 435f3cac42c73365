//! Real processes for the tests: interpreters and a C program, ready when they say so.

use super::Unwinder;
use prof_injector::Pid;
use prof_injector::process::{Maps, Module, Process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running program. It is killed when dropped.
pub(super) struct Target {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Target {
    /// Starts a program.
    pub fn start(program: impl AsRef<Path>, args: &[&str]) -> Target {
        let mut child =
            Command::new(program.as_ref()).args(args).stdout(Stdio::piped()).spawn().expect("it can be run");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Target { child, output }
    }

    /// The next line it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints text");
        assert!(line.ends_with('\n'), "the target died");
        line.trim_end().to_owned()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub fn process(&self) -> Process {
        Process::open(self.pid()).expect("it runs")
    }

    pub fn threads(&self) -> Vec<Pid> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let names = tasks.map(|task| task.expect("it runs").file_name().into_string().expect("a number"));
        names.map(|name| Pid::from_raw(name.parse().expect("a number"))).collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A C program, built for one test.
pub(super) struct Program {
    dir: tempfile::TempDir,
}

impl Program {
    pub fn build(source: &str) -> Program {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("program.c"), source).expect("it can be written");
        let built = Command::new("cc")
            .args(["-O2", "-pthread", "-o", "program", "program.c"])
            .current_dir(dir.path())
            .status();
        assert!(built.expect("cc is installed").success());
        Program { dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("program")
    }
}

/// What is known of a process before one of its threads is stopped.
pub(super) struct Known {
    pub process: Process,
    pub maps: Maps,
    pub modules: Vec<Module>,
}

impl Known {
    pub fn of(target: &Target) -> Known {
        let process = target.process();
        let maps = process.maps().expect("it runs");
        let modules = process.modules(&maps);
        Known { process, maps, modules }
    }

    /// The rules of every module and of the vDSO.
    pub fn unwinder(&self) -> Unwinder<Vec<u8>> {
        let mut unwinder = Unwinder::new();
        for module in &self.modules {
            let _ = unwinder.add(module.text.clone(), module.load_bias, module.data.to_vec());
        }
        if let Some(vdso) = self.maps.0.iter().find(|mapping| mapping.name == "[vdso]") {
            let mut image = vec![0; vdso.len() as usize];
            self.process.memory().read(vdso.range.start, &mut image).expect("the vDSO is readable");
            unwinder.add(vec![vdso.range.clone()], vdso.range.start, image).expect("the vDSO has rules");
        }
        unwinder
    }
}

/// The interpreters found; those missing are named.
pub(super) fn pythons() -> Vec<PathBuf> {
    let versions = std::env::home_dir().map(|home| home.join(".pyenv/versions")).unwrap_or_default();
    let pyenv = ["3.8.18", "3.11.7", "3.12.1"].map(|version| versions.join(version).join("bin/python3"));
    let all = pyenv.into_iter().chain([PathBuf::from("/usr/bin/python3")]);
    let is_there = |path: &PathBuf| {
        path.exists() || {
            println!("skipped: no {}", path.display());
            false
        }
    };
    all.filter(is_there).collect()
}
