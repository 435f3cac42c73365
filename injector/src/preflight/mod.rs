//! Refusals: what is known before a process is touched, and speaks against it.
//!
//! [`check`] looks, without ptrace, and [`Facts::verdict`] decides, without looking.
//! That the process is a CPython is not judged here.

mod cgroup;
mod facts;
mod marks;

use crate::Pid;
use crate::process::{Process, Tid};
use crate::seccomp::Action;

pub use cgroup::Confines;
pub use facts::{Facts, TracedBy};

/// Start of the name of the memfd that a payload is loaded from, as `maps` shows it.
pub const PAYLOAD_MAPPING: &str = "/memfd:prof-payload-";

/// What is taken of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Memory that is charged to it.
    pub memory: u64,
    /// Memory that is charged to it or to us.
    pub shared_memory: u64,
    /// Address space.
    pub address_space: u64,
}

/// Why a process is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pid names no process.
    #[error("there is no process {0}")]
    NoSuchProcess(Pid),
    /// It would be this process.
    #[error("process {0} is prof itself")]
    Myself(Pid),
    /// The kernel cannot do what is needed.
    #[error("Linux {0}.{1} is too old, 4.14 is needed")]
    OldKernel(u32, u32),
    /// It has exited.
    #[error("process {0} has exited (zombie)")]
    Zombie(Pid),
    /// It is stopped by job control.
    #[error("process {0} is stopped")]
    Stopped(Pid),
    /// Its control group is frozen.
    #[error("process {0} is in a frozen control group")]
    Frozen(Pid),
    /// What we need would bring its control group over its limit.
    #[error("process {pid} has {room} bytes left in its control group, and {need} are needed")]
    NoMemory {
        /// The process.
        pid: Pid,
        /// Bytes left, page cache included.
        room: u64,
        /// Bytes needed.
        need: u64,
    },
    /// It may not map so much more.
    #[error("process {pid} may map {room} more bytes (RLIMIT_AS), and {need} are needed")]
    NoAddressSpace {
        /// The process.
        pid: Pid,
        /// Bytes left.
        room: u64,
        /// Bytes needed.
        need: u64,
    },
    /// A debugger, or another tracer, has it.
    #[error("process {pid} is already traced by {}", .by)]
    Traced {
        /// The process.
        pid: Pid,
        /// Who has it.
        by: TracedBy,
    },
    /// It belongs to somebody else.
    #[error("process {pid} belongs to uid {owner}, not to you")]
    OtherUser {
        /// The process.
        pid: Pid,
        /// Its effective uid.
        owner: u32,
    },
    /// Yama forbids it.
    #[error("the kernel allows no tracing of process {pid} (kernel.yama.ptrace_scope is {scope})")]
    Yama {
        /// The process.
        pid: Pid,
        /// The setting.
        scope: u32,
    },
    /// Root, but not with every right.
    #[error("tracing process {0} needs the capability CAP_SYS_PTRACE")]
    MissingCapability(Pid),
    /// Anything else that the kernel holds against it.
    #[error("the kernel allows no tracing of process {0} (not dumpable, another user namespace, SELinux?)")]
    NotPermitted(Pid),
    /// Not x86_64 code with 64-bit pointers.
    #[error("process {0} is not a 64-bit x86 process")]
    OtherArchitecture(Pid),
    /// It may only read, write and exit.
    #[error("process {0} is confined by strict seccomp")]
    StrictSeccomp(Pid),
    /// A seccomp filter is in the way of what the process would have to do.
    #[error("a seccomp filter of process {pid} (thread {tid}) {action} {call}, which a recording needs")]
    Filtered {
        /// The process.
        pid: Pid,
        /// A thread under that filter.
        tid: Tid,
        /// The system call.
        call: &'static str,
        /// What the filter does about it.
        action: Action,
    },
    /// A seccomp filter cannot be read, so nobody knows what it kills for.
    #[error(
        "process {pid} (thread {tid}) is under a seccomp filter that prof may not read: it might kill it"
    )]
    UnknownFilters {
        /// The process.
        pid: Pid,
        /// A thread under that filter.
        tid: Tid,
    },
    /// A forged signal frame would not pass.
    #[error("process {0} uses a user shadow stack, which is not supported yet")]
    ShadowStack(Pid),
    /// Its code does not run as it stands in memory, or its memory is watched.
    #[error("process {pid} runs under {tool}")]
    Instrumented {
        /// The process.
        pid: Pid,
        /// What is mapped into it.
        tool: &'static str,
    },
    /// Another profiler hooks the same functions.
    #[error("the allocation profiler {tool} is loaded in process {pid}")]
    OtherProfiler {
        /// The process.
        pid: Pid,
        /// What is mapped into it.
        tool: &'static str,
    },
    /// A payload that we do not understand.
    #[error("process {pid} holds a payload of another build of prof ({name})")]
    OtherBuild {
        /// The process.
        pid: Pid,
        /// The mapping's name.
        name: String,
    },
}

impl Refusal {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Refusal::NoSuchProcess(_) => "in a container, use the pid as it is seen where prof runs",
            Refusal::Stopped(_) => "continue it first: kill -CONT PID",
            Refusal::Frozen(_) => "thaw it first: docker unpause, or write to its cgroup.freeze",
            Refusal::NoMemory { .. } => "at its limit the kernel would kill it: raise memory.max for a while",
            Refusal::NoAddressSpace { .. } => {
                "take a smaller --ring-size, or raise the limit: prlimit --as=… --pid PID"
            }
            Refusal::Traced { .. } => "end that tracer, or detach it, and try again",
            Refusal::OtherUser { .. } => "run prof as that user, or with sudo",
            Refusal::Yama { scope: 0..=2, .. } => {
                "run prof with sudo, or allow it: sysctl kernel.yama.ptrace_scope=0; in a container: \
                 docker run --cap-add=SYS_PTRACE …, or kubectl debug --profile=sysadmin …"
            }
            Refusal::Yama { .. } => "with ptrace_scope=3 nobody can trace until the machine is booted anew",
            Refusal::MissingCapability(_) => {
                "docker run --cap-add=SYS_PTRACE …, or kubectl debug --profile=sysadmin …"
            }
            Refusal::NotPermitted(_) => {
                "run prof as root where the process was started from; in a container: docker run \
                 --cap-add=SYS_PTRACE …, or kubectl debug --profile=sysadmin …"
            }
            Refusal::Instrumented { .. } => "start the program without it",
            Refusal::OtherProfiler { .. } => {
                "end that profiler's session; if it stays loaded, restart the process"
            }
            Refusal::OtherBuild { .. } => "detach with the build that attached: prof detach PID",
            Refusal::Filtered { .. } => "allow that call in the filter (seccomp profile, SystemCallFilter=)",
            Refusal::UnknownFilters { .. } => {
                "run prof as root on the host, in the process's own container, or in one of its own: docker run \
                 --privileged --pid=container:NAME …, kubectl debug --profile=sysadmin …"
            }
            Refusal::OldKernel(..)
            | Refusal::Myself(_)
            | Refusal::Zombie(_)
            | Refusal::OtherArchitecture(_)
            | Refusal::StrictSeccomp(_)
            | Refusal::ShadowStack(_) => return None,
        })
    }
}

/// Finds `pid` and what speaks against it. `own_payload` is the name, as in
/// `maps`, of the payload of this build.
pub fn check(pid: Pid, own_payload: &str, needs: Needs) -> Result<(Process, Option<Refusal>), Refusal> {
    let process = Process::open(pid).map_err(|_| Refusal::NoSuchProcess(pid))?;
    let facts = Facts::gather(&process);
    Ok((process, facts.verdict(own_payload, needs).err()))
}

#[cfg(test)]
mod tests;
