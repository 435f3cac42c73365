//! A process as it was looked at before anything is touched.

use super::Error;
use crate::cpython::Interpreter;
use prof_injector::Pid;
use prof_injector::call::Held;
use prof_injector::process::{Maps, Module, Process};
use std::io;

/// A process and what it had loaded at one moment.
pub struct Ground {
    /// The process.
    pub process: Process,
    /// Its mappings.
    pub maps: Maps,
    /// Its modules.
    pub modules: Vec<Module>,
    /// If it is a child of ours, what its one thread waits in until we are ready.
    pub held: Option<Held>,
}

impl Ground {
    /// Looks at `pid`.
    pub fn survey(pid: i32) -> Result<Ground, Error> {
        let process = open(pid)?;
        let maps = process.maps().map_err(|error| no_access(pid, error))?;
        if maps.0.is_empty() {
            return Err(refused(format!("process {pid} has no memory: a kernel thread or a zombie"), None));
        }
        let modules = process.modules(&maps);
        Ok(Ground { process, maps, modules, held: None })
    }

    /// Looks at the same process anew; refused if its pid is another's by now.
    pub fn anew(&self) -> Result<Ground, Error> {
        let pid = self.process.pid().as_raw();
        let ground = Ground::survey(pid)?;
        match ground.process.start_ticks() == self.process.start_ticks() {
            true => Ok(Ground { held: self.held, ..ground }),
            false => Err(refused(format!("process {pid} has ended, and its pid is another's"), None)),
        }
    }

    /// The pid as the process sees itself.
    pub fn own_pid(&self) -> Result<u32, Error> {
        own_pid(&self.process)
    }

    /// The module that the interpreter lies in.
    pub fn module_of(&self, python: &Interpreter) -> Option<&Module> {
        self.modules.iter().find(|module| module.path == python.path())
    }

    /// The mappings now.
    pub fn maps_now(&self) -> Result<Maps, Error> {
        self.process.maps().map_err(Error::io("reading the target's mappings"))
    }
}

/// Finds the process.
pub fn open(pid: i32) -> Result<Process, Error> {
    Process::open(Pid::from_raw(pid)).map_err(|error| no_process(pid, error))
}

/// The pid of a process as it sees itself.
pub fn own_pid(process: &Process) -> Result<u32, Error> {
    let task = process.live_task().map_err(Error::io("finding a live thread"))?;
    let status = process.status(task).map_err(Error::io("reading a thread's status"))?;
    // Where the leader has exited this is another thread's tid, in the same
    // namespace: as good for asking the kernel about threads.
    Ok(status.ns_pids.last().copied().unwrap_or_default() as u32)
}

/// A refusal.
pub fn refused(why: String, hint: Option<&str>) -> Error {
    Error::Refused { why, hint: hint.map(str::to_owned) }
}

fn no_process(pid: i32, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            refused(format!("there is no process {pid}"), Some("`pgrep -af python` lists candidates"))
        }
        _ => refused(format!("process {pid} cannot be opened: {error}"), None),
    }
}

fn no_access(pid: i32, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => refused(
            format!("process {pid} may not be looked at: permission denied"),
            Some("run as its user or as root; in a container add `--cap-add=SYS_PTRACE`"),
        ),
        _ => Error::Io { what: "reading the target's mappings", source: error },
    }
}
