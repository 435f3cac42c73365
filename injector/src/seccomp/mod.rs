//! Seccomp filters: whether a thread lives through the system calls that it is to make.
//!
//! Filters are normal in containers and must not be in the way; a call that one of them
//! kills for would be the end of the process. So filters are read and asked beforehand,
//! call by call, and once more of each thread when it is stopped to be used: a thread may
//! get more filters at any time, and none ever goes.
//!
//! ```text
//!  filters can be read (CAP_SYS_ADMIN, and no filter above us)  ─► each thread's are asked
//!  we are under the same ones (same container, same number)     ─► a child of ours tries the calls
//!  otherwise                                                    ─► refused
//! ```

mod calls;
mod filter;
mod trial;

use crate::preflight::Refusal;
use crate::process::{Process, TaskStatus, Tid};
use crate::tracee::{Seized, Stopped, TraceError, Tracer};
use std::fmt;
use std::fs;
use std::time::Duration;

pub use calls::{CALLS, Call};
pub use filter::{Action, Filter};

/// `SECCOMP_MODE_FILTER`.
const MODE_FILTER: u32 = 2;
/// Bit of `CAP_SYS_ADMIN` in a capability set.
const CAP_SYS_ADMIN: u32 = 21;
/// How long a thread is waited for when it shall stop, and how often.
const STOP_DEADLINE: Duration = Duration::from_millis(200);
const TRIES: usize = 10;

/// A call that a filter objects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The call.
    pub call: &'static str,
    /// What would become of it.
    pub action: Action,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its seccomp filter {} {}", self.action, self.call)
    }
}

/// What these filters object to, if anything.
pub fn objection(filters: &[Filter]) -> Option<Objection> {
    CALLS.iter().find_map(|call| {
        let action = filters.iter().map(|filter| filter.action(call)).max()?;
        let is_fine = match action {
            Action::Allow | Action::Log => true,
            Action::Errno | Action::Trace => !call.is_needed,
            _ => false,
        };
        (!is_fine).then_some(Objection { call: call.name, action })
    })
}

/// What the filters of a stopped thread object to; `None` too where they cannot be read.
pub fn objection_of(stopped: &Stopped) -> Result<Option<Objection>, TraceError> {
    Ok(stopped.seccomp_filters()?.as_deref().and_then(objection))
}

/// Whether a thread may be left to the kernel to go on with its wait, which then makes it
/// call `restart_syscall` (restart_syscall(2)).
pub fn may_restart(stopped: &Stopped) -> bool {
    let objects = |filters: &Vec<Filter>| {
        let restarts = CALLS.iter().filter(|call| call.number == libc::SYS_restart_syscall);
        restarts
            .flat_map(|call| filters.iter().map(|filter| filter.action(call)))
            .any(|action| action > Action::Log)
    };
    !stopped.seccomp_filters().is_ok_and(|filters| filters.as_ref().is_some_and(objects))
}

/// Looks at every thread that is under a filter, and refuses what would not go well.
pub fn check(process: &Process) -> Result<(), Refusal> {
    let own = own_status().ok();
    // Who may not read filters stops nobody: a stop may lead to a system call (`may_restart`).
    let may_read =
        own.as_ref().is_some_and(|own| own.seccomp == 0 && own.capabilities & 1 << CAP_SYS_ADMIN != 0);
    let is_like_us = |tid| own.as_ref().is_some_and(|own| is_under_the_same(own, process, tid));
    for tid in process.tasks().unwrap_or_default() {
        if !process.status(tid).is_ok_and(|status| status.seccomp == MODE_FILTER) {
            continue;
        }
        let found = if may_read { filters(tid) } else { Ok(None) };
        let objection = match found {
            Ok(Some(filters)) => objection(&filters),
            Ok(None) if is_like_us(tid) => trial::objection(),
            Err(TraceError::Gone(_)) => None,
            Ok(None) | Err(_) => return Err(Refusal::UnknownFilters { pid: process.pid(), tid }),
        };
        if let Some(Objection { call, action }) = objection {
            return Err(Refusal::Filtered { pid: process.pid(), tid, call, action });
        }
    }
    Ok(())
}

/// Stops a thread to read its filters. It may be in a `vfork` for a while.
fn filters(tid: Tid) -> Result<Option<Vec<Filter>>, TraceError> {
    let read = || Tracer::run(|tracer| Seized::new(tracer, tid)?.stop(STOP_DEADLINE)?.seccomp_filters());
    let mut last = read();
    for _ in 1..TRIES {
        match last {
            Err(TraceError::Deadline { .. }) => last = read(),
            _ => break,
        }
    }
    last
}

fn own_status() -> std::io::Result<TaskStatus> {
    let pid = crate::Pid::this();
    Process::open(pid)?.status(Tid(pid.as_raw()))
}

/// Whether we are in the same container as a thread and neither of us has got a filter
/// more than the other: whoever starts a process in a container gives it the container's.
fn is_under_the_same(own: &TaskStatus, process: &Process, tid: Tid) -> bool {
    const NAMESPACES: [&str; 3] = ["mnt", "pid", "user"];
    let its_count = process.status(tid).ok().and_then(|status| status.filters);
    let namespace = |pid: &str, name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    let pid = process.pid().to_string();
    let is_shared = |name: &&str| {
        let its = namespace(&pid, name);
        its.is_some() && its == namespace("self", name)
    };
    own.filters.is_some_and(|count| count > 0) && own.filters == its_count && NAMESPACES.iter().all(is_shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each call the same.
    fn always(answer: u32) -> Filter {
        Filter(vec![0x06 | u64::from(answer) << 32])
    }

    #[test]
    fn the_strictest_filter_counts_and_only_needed_calls_must_succeed() {
        const ALLOW: u32 = 0x7fff_0000;
        assert_eq!(objection(&[]), None);
        assert_eq!(objection(&[always(ALLOW), always(0x7ffc_0000)]), None);
        let first = |action| Some(Objection { call: CALLS[0].name, action });
        assert_eq!(objection(&[always(ALLOW), always(0x0005_0001)]), first(Action::Errno));
        assert_eq!(objection(&[always(0), always(ALLOW)]), first(Action::KillThread));
        // if number == munlock: errno, else allow
        let munlock = u64::from(libc::SYS_munlock as u32) << 32;
        let fails =
            |answer: u64| vec![0x20, 0x15 | 1 << 24 | munlock, 0x06 | answer << 32, 0x06 | 0x7fff_0000 << 32];
        assert_eq!(objection(&[Filter(fails(0x0005_0026))]), None);
        let objection = objection(&[Filter(fails(0x8000_0000))]);
        assert_eq!(objection, Some(Objection { call: "munlock", action: Action::KillProcess }));
    }
}
