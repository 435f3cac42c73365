//! What is gathered about a process, and the decision over it.

use super::cgroup::Confines;
use super::{Needs, PAYLOAD_MAPPING, Refusal, marks};
use crate::Pid;
use crate::process::{Process, TaskState, TaskStatus, Tid};
use std::fmt;
use std::fs;
use std::io;

/// The oldest kernel with everything that is needed (`MADV_WIPEONFORK`).
const OLDEST_KERNEL: (u32, u32) = (4, 14);
/// Bit of `CAP_SYS_PTRACE` in a capability set.
const CAP_SYS_PTRACE: u32 = 19;
/// `e_ident[EI_CLASS]` of 64-bit files, and `e_machine` of x86_64.
const ELF_CLASS_64: u8 = 2;
const ELF_MACHINE: u16 = 62;

/// Who traces a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedBy {
    /// Its pid.
    pub pid: i32,
    /// Its name, if it can be seen.
    pub name: Option<String>,
}

impl fmt::Display for TracedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} (pid {})", name.escape_debug(), self.pid),
            None => write!(f, "pid {}", self.pid),
        }
    }
}

/// All that a verdict depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The process.
    pub pid: Pid,
    /// This process.
    pub own_pid: Pid,
    /// The kernel's version.
    pub kernel: (u32, u32),
    /// State of each thread.
    pub states: Vec<TaskState>,
    /// Who traces any of its threads.
    pub traced_by: Option<TracedBy>,
    /// Its effective uid.
    pub owner: u32,
    /// Our effective uid.
    pub own_uid: u32,
    /// Whether we hold `CAP_SYS_PTRACE`.
    pub has_capability: bool,
    /// `kernel.yama.ptrace_scope`, where there is Yama.
    pub yama_scope: Option<u32>,
    /// Whether its memory could be opened for writing, which asks the kernel for
    /// exactly the right that ptrace needs.
    pub is_permitted: bool,
    /// Whether its executable is 64-bit x86; `None` if it could not be read.
    pub is_x86_64: Option<bool>,
    /// The highest seccomp mode of its threads.
    pub seccomp: u32,
    /// Whether any thread has a user shadow stack.
    pub shadow_stack: bool,
    /// What its control groups leave it.
    pub confines: Confines,
    /// Bytes that it may still map; `None` without a limit.
    pub address_room: Option<u64>,
    /// The names of its mappings.
    pub mappings: Vec<String>,
}

impl Facts {
    /// Looks. What cannot be seen is taken as harmless: the right to see it is
    /// judged by `is_permitted`.
    pub fn gather(process: &Process) -> Facts {
        let tasks = process.tasks().unwrap_or_default();
        let status: Vec<TaskStatus> = tasks.iter().filter_map(|&tid| process.status(tid).ok()).collect();
        let own_pid = nix::unistd::getpid();
        let own = Process::open(own_pid).and_then(|own| own.status(Tid(own_pid.as_raw())));
        let capabilities = own.map_or(0, |own| own.capabilities);
        Facts {
            pid: process.pid(),
            own_pid,
            kernel: kernel().unwrap_or(OLDEST_KERNEL),
            states: status.iter().map(|s| s.state).collect(),
            traced_by: status.iter().find_map(|s| (s.tracer_pid != 0).then(|| tracer(s.tracer_pid))),
            owner: status.first().map_or(0, |s| s.uids[1]),
            own_uid: nix::unistd::geteuid().as_raw(),
            has_capability: capabilities & 1 << CAP_SYS_PTRACE != 0,
            yama_scope: yama_scope(),
            is_permitted: process.open_memory().is_ok(),
            is_x86_64: is_x86_64(process).ok(),
            seccomp: status.iter().map(|s| s.seccomp).max().unwrap_or(0),
            shadow_stack: status.iter().any(|s| s.shadow_stack),
            confines: Confines::read(process.pid()),
            address_room: address_room(process.pid(), &status),
            mappings: process
                .maps()
                .map(|maps| maps.0.into_iter().map(|m| m.name).collect())
                .unwrap_or_default(),
        }
    }

    /// Decides. What rules the process out comes before what only we may not do;
    /// what could be forced comes last.
    pub fn verdict(&self, own_payload: &str, needs: Needs) -> Result<(), Refusal> {
        self.judge_state()?;
        self.judge_permission()?;
        self.judge_machine()?;
        self.judge_mappings(own_payload)?;
        self.judge_room(needs)
    }

    fn judge_state(&self) -> Result<(), Refusal> {
        let pid = self.pid;
        if pid == self.own_pid {
            return Err(Refusal::Myself(pid));
        }
        if self.kernel < OLDEST_KERNEL {
            return Err(Refusal::OldKernel(self.kernel.0, self.kernel.1));
        }
        let is_over = !self.states.is_empty() && !self.states.iter().any(|state| state.is_live());
        if is_over {
            return Err(Refusal::Zombie(pid));
        }
        if let Some(by) = self.traced_by.clone() {
            return Err(Refusal::Traced { pid, by });
        }
        if self.states.contains(&TaskState::Stopped) {
            return Err(Refusal::Stopped(pid));
        }
        match self.confines.is_frozen {
            true => Err(Refusal::Frozen(pid)),
            false => Ok(()),
        }
    }

    fn judge_permission(&self) -> Result<(), Refusal> {
        let pid = self.pid;
        Err(match self.yama_scope {
            _ if self.is_permitted => return Ok(()),
            Some(scope @ 3..) => Refusal::Yama { pid, scope },
            _ if self.has_capability => Refusal::NotPermitted(pid),
            _ if self.own_uid == 0 => Refusal::MissingCapability(pid),
            _ if self.own_uid != self.owner => Refusal::OtherUser { pid, owner: self.owner },
            Some(scope @ 1..) => Refusal::Yama { pid, scope },
            _ => Refusal::NotPermitted(pid),
        })
    }

    fn judge_machine(&self) -> Result<(), Refusal> {
        const STRICT: u32 = 1;
        if self.is_x86_64 == Some(false) {
            return Err(Refusal::OtherArchitecture(self.pid));
        }
        if self.seccomp == STRICT {
            return Err(Refusal::StrictSeccomp(self.pid));
        }
        match self.shadow_stack {
            true => Err(Refusal::ShadowStack(self.pid)),
            false => Ok(()),
        }
    }

    /// What we take must not be what brings it over a limit.
    fn judge_room(&self, needs: Needs) -> Result<(), Refusal> {
        let pid = self.pid;
        let short = |room: Option<u64>, need: u64| room.filter(|&room| room < need);
        for (room, need) in
            [(self.confines.memory_room, needs.memory), (self.confines.shared_room, needs.shared_memory)]
        {
            if let Some(room) = short(room, need) {
                return Err(Refusal::NoMemory { pid, room, need });
            }
        }
        match short(self.address_room, needs.address_space) {
            Some(room) => Err(Refusal::NoAddressSpace { pid, room, need: needs.address_space }),
            None => Ok(()),
        }
    }

    fn judge_mappings(&self, own_payload: &str) -> Result<(), Refusal> {
        let pid = self.pid;
        if let Some(tool) = self.mappings.iter().find_map(|name| marks::instrument(name)) {
            return Err(Refusal::Instrumented { pid, tool });
        }
        let plain = |name: &str| name.trim_end_matches(" (deleted)").to_owned();
        let mut payloads = self.mappings.iter().filter(|name| name.starts_with(PAYLOAD_MAPPING));
        if let Some(name) = payloads.find(|name| plain(name) != plain(own_payload)) {
            return Err(Refusal::OtherBuild { pid, name: plain(name) });
        }
        match self.mappings.iter().find_map(|name| marks::profiler(name)) {
            Some(tool) => Err(Refusal::OtherProfiler { pid, tool }),
            None => Ok(()),
        }
    }
}

fn tracer(pid: i32) -> TracedBy {
    let name = fs::read(format!("/proc/{pid}/comm"));
    let name = name.map(|name| String::from_utf8_lossy(&name).trim_end().to_owned());
    TracedBy { pid, name: name.ok() }
}

/// What `RLIMIT_AS` leaves.
fn address_room(pid: Pid, status: &[TaskStatus]) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(status.first()?.virtual_bytes))
}

fn kernel() -> Option<(u32, u32)> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn yama_scope() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}

fn is_x86_64(process: &Process) -> io::Result<bool> {
    let head = process.exe_head()?;
    Ok(head[4] == ELF_CLASS_64 && u16::from_le_bytes([head[18], head[19]]) == ELF_MACHINE)
}
