//! Every CPython that can be seen, and whether it could be recorded. Nobody is stopped
//! or changed.
//!
//! Which process is one is told by the modules that are called after Python and by the
//! executable; a library with CPython in it under another name is not found.

use super::install::{needs, payload_name};
use crate::cpython::{Interpreter, Looks, NotPython};
use prof_injector::Pid;
use prof_injector::preflight::{self, PAYLOAD_MAPPING};
use prof_injector::process::{Maps, Process, Tid};
use prof_shared::ring::Shape;
use std::fs;
use std::io;
use std::time::Duration;

/// A process that runs CPython.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its pid as we see it.
    pub pid: i32,
    /// When it was started, in ticks since the boot: with the pid it means one process.
    pub start_ticks: u64,
    /// Who it belongs to.
    pub uid: u32,
    /// The same by name, as our `/etc/passwd` has it; else the number.
    pub user: String,
    /// The interpreter's version; `None` if it could not be told.
    pub python: Option<String>,
    /// Its resident set.
    pub resident_bytes: u64,
    /// By how much that grew between the two looks.
    pub growth_bytes: i64,
    /// The name of its main thread.
    pub name: String,
    /// Its arguments.
    pub command: Vec<String>,
    /// The container that it runs in, by the names of its control groups.
    pub container: Option<String>,
    /// Why it cannot be recorded, if so.
    pub obstacle: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The processes, the largest first.
    pub candidates: Vec<Candidate>,
    /// Processes that we may not look into: some of them may run Python.
    pub hidden: usize,
}

/// Looks at all processes, and once more after `trend` at those that run CPython.
pub fn census(ring: Shape, trend: Duration) -> io::Result<Census> {
    let mut found = Census::default();
    let mut processes = Vec::new();
    for pid in Process::all()? {
        match Sight::of(pid) {
            Sight::Python(python) => {
                found.candidates.push(python.describe(ring));
                processes.push(python.process);
            }
            Sight::Hidden => found.hidden += 1,
            Sight::Other => {}
        }
    }
    if !trend.is_zero() && !processes.is_empty() {
        std::thread::sleep(trend);
        for (candidate, process) in found.candidates.iter_mut().zip(&processes) {
            if let Ok(now) = process.rss_bytes() {
                candidate.growth_bytes = now.wrapping_sub(candidate.resident_bytes) as i64;
                candidate.resident_bytes = now;
            }
        }
    }
    found.candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.resident_bytes));
    Ok(found)
}

/// What a process looks like.
enum Sight {
    /// CPython, or something like it.
    Python(Box<Python>),
    /// It may not be looked at.
    Hidden,
    /// It is something else, or gone.
    Other,
}

impl Sight {
    fn of(pid: Pid) -> Sight {
        let Ok(process) = Process::open(pid) else { return Sight::Other };
        let maps = match process.maps() {
            Ok(maps) => maps,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Sight::Hidden,
            Err(_) => return Sight::Other,
        };
        let exe = process.exe_path().unwrap_or_default().display().to_string();
        let may_be = |name: &str| name == exe || is_python(name.rsplit('/').next().unwrap_or_default());
        let some = maps.0.iter().filter(|mapping| mapping.inode != 0 && may_be(&mapping.name));
        let some = Maps(some.cloned().collect());
        let modules = process.modules(&some);
        match Interpreter::find(&process, &maps, &modules) {
            Err(NotPython::NoInterpreter) => Sight::Other,
            interpreter => Sight::Python(Box::new(Python { process, maps, interpreter })),
        }
    }
}

/// Whether a file is called after Python.
fn is_python(file_name: &str) -> bool {
    file_name.contains("python") || file_name.contains("pypy")
}

/// A process that runs CPython, or something like it.
struct Python {
    process: Process,
    maps: Maps,
    interpreter: Result<Interpreter, NotPython>,
}

impl Python {
    fn describe(&self, ring: Shape) -> Candidate {
        let process = &self.process;
        let leader = Tid(process.pid().as_raw());
        let uid = process.status(leader).map_or(0, |status| status.uids[1]);
        Candidate {
            pid: process.pid().as_raw(),
            start_ticks: process.start_ticks(),
            uid,
            user: user(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid),
            python: self.interpreter.as_ref().ok().map(|python| python.version().to_string()),
            resident_bytes: process.rss_bytes().unwrap_or_default(),
            growth_bytes: 0,
            name: process.thread_name(leader).unwrap_or_default(),
            command: process.command_line().unwrap_or_default(),
            container: process.control_groups().ok().as_deref().and_then(container),
            obstacle: self.obstacle(ring),
        }
    }

    /// Why it cannot be recorded.
    fn obstacle(&self, ring: Shape) -> Option<String> {
        let own_payload = format!("/memfd:{}", payload_name());
        let threads = self.process.tasks().map_or(1, |tasks| tasks.len() as u64);
        match preflight::check(self.process.pid(), &own_payload, needs(threads, ring, false)) {
            Err(refusal) | Ok((_, Some(refusal))) => return Some(refusal.to_string()),
            Ok((_, None)) => {}
        }
        if self.maps.0.iter().any(|mapping| mapping.name.starts_with(PAYLOAD_MAPPING)) {
            return Some("prof is in it: it records, or was killed there (prof detach)".to_owned());
        }
        match &self.interpreter {
            Err(why) => Some(why.to_string()),
            Ok(python) => match python.verify(&self.process.memory()) {
                Looks::Right | Looks::NoFrames => None,
                Looks::Wrong(why) => Some(format!("it does not look as expected: {why}")),
            },
        }
    }
}

/// The name of a user in a text like passwd(5).
fn user(passwd: &str, uid: u32) -> String {
    let number = uid.to_string();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    named.unwrap_or(number)
}

/// So much of a container's id is shown, as its tools do.
const ID_DIGITS: usize = 12;

/// The container that lines like `number:controllers:path` name: the innermost id of 64
/// hexadecimal digits, as Docker, Podman, containerd and CRI-O have, or what is behind
/// `/lxc/` or `/machine.slice/`.
fn container(groups: &str) -> Option<String> {
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.clone().find_map(id_of).or_else(|| paths.clone().find_map(named))
}

fn id_of(path: &str) -> Option<String> {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = path.split(['/', '-', '.']).rfind(is_id)?;
    Some(id[..ID_DIGITS].to_owned())
}

fn named(path: &str) -> Option<String> {
    let mut parts = path.split('/');
    parts.find(|part| matches!(*part, "lxc" | "machine.slice"))?;
    parts.next().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:33::/:/bin/false\n";
        for (uid, name) in [(0, "root"), (33, "www"), (4711, "4711")] {
            assert_eq!(user(passwd, uid), name);
        }
    }

    #[test]
    fn containers_are_told_by_their_groups() {
        let id = "0123456789abcdef".repeat(4);
        for (groups, name) in [
            ("0::/init.scope\n".to_owned(), None),
            (String::new(), None),
            (format!("0::/system.slice/docker-{id}.scope\n"), Some("0123456789ab")),
            (format!("12:memory:/docker/{id}\n0::/\n"), Some("0123456789ab")),
            (
                format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope\n"),
                Some("0123456789ab"),
            ),
            (format!("0::/user.slice/libpod-{id}.scope/container\n"), Some("0123456789ab")),
            ("4:cpu:/lxc/web1/init\n".to_owned(), Some("web1")),
            ("0::/lxc\n".to_owned(), None),
        ] {
            assert_eq!(container(&groups).as_deref(), name, "{groups}");
        }
    }
}
