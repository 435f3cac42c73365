//! One thread of a process, as `/proc/PID/task/TID` tells it.

use crate::Pid;
use procfs::process::{Stat, Status};
use procfs::{FromBufRead, FromRead};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// A thread's id, as seen by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub i32);

impl Tid {
    /// As system calls take it.
    pub fn as_pid(self) -> Pid {
        Pid::from_raw(self.0)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The state letter of a thread (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// `R`: running or ready to.
    Running,
    /// `S`: waiting, a signal wakes it.
    Sleeping,
    /// `D`: waiting, nothing wakes it early.
    Uninterruptible,
    /// `T`: stopped by job control.
    Stopped,
    /// `t`: stopped by a tracer.
    Traced,
    /// `Z`: exited, not yet reaped.
    Zombie,
    /// `X`: on its way out.
    Dead,
    /// Any other letter.
    Other(char),
}

impl TaskState {
    /// The state that `letter` stands for.
    pub fn from_letter(letter: char) -> TaskState {
        match letter {
            'R' => TaskState::Running,
            'S' => TaskState::Sleeping,
            'D' => TaskState::Uninterruptible,
            'T' => TaskState::Stopped,
            't' => TaskState::Traced,
            'Z' => TaskState::Zombie,
            'X' | 'x' => TaskState::Dead,
            other => TaskState::Other(other),
        }
    }

    /// Whether the thread has not exited.
    pub fn is_live(self) -> bool {
        !matches!(self, TaskState::Zombie | TaskState::Dead)
    }
}

/// What we use of `status`. Signal sets have signal n in bit n - 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// What it does.
    pub state: TaskState,
    /// Who traces it, 0 if nobody; 0 too if that one is in a pid namespace that we do not see.
    pub tracer_pid: i32,
    /// Its id in each pid namespace, ours first, its own last.
    pub ns_pids: Vec<i32>,
    /// Real, effective, saved and file system uid.
    pub uids: [u32; 4],
    /// Pending for the thread or for its process.
    pub pending: u64,
    /// Blocked.
    pub blocked: u64,
    /// Effective capabilities (n in bit n).
    pub capabilities: u64,
    /// Number of threads in its process.
    pub thread_count: u64,
    /// 0 off, 1 strict, 2 filter.
    pub seccomp: u32,
    /// How many seccomp filters it is under; `None` where the kernel (before 5.9) does not say.
    pub filters: Option<u32>,
    /// Whether a user shadow stack is on.
    pub shadow_stack: bool,
    /// Bytes of address space that its process has mapped.
    pub virtual_bytes: u64,
    /// Of these, locked into memory.
    pub locked_bytes: u64,
}

impl TaskStatus {
    pub(super) fn read(path: &Path) -> io::Result<TaskStatus> {
        TaskStatus::parse(&String::from_utf8_lossy(&fs::read(path)?))
    }

    /// Takes the text of a `status` file.
    pub fn parse(text: &str) -> io::Result<TaskStatus> {
        let status = Status::from_buf_read(text.as_bytes()).map_err(io::Error::other)?;
        let letter = status.state.chars().next().unwrap_or('?');
        Ok(TaskStatus {
            state: TaskState::from_letter(letter),
            tracer_pid: status.tracerpid,
            ns_pids: status.nspid.unwrap_or_else(|| vec![status.pid]),
            uids: [status.ruid, status.euid, status.suid, status.fuid],
            pending: status.sigpnd | status.shdpnd,
            blocked: status.sigblk,
            capabilities: status.capeff,
            thread_count: status.threads,
            seccomp: status.seccomp.unwrap_or(0),
            filters: field(text, "Seccomp_filters:").and_then(|count| count.trim().parse().ok()),
            shadow_stack: has_shadow_stack(text),
            virtual_bytes: status.vmsize.unwrap_or(0) << 10,
            locked_bytes: status.vmlck.unwrap_or(0) << 10,
        })
    }

    /// Signals that the thread would take at once.
    pub fn deliverable(&self) -> u64 {
        self.pending & !self.blocked
    }
}

/// A line that procfs does not know.
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

/// `x86_Thread_features: shstk wrss` (Linux 6.6).
fn has_shadow_stack(status: &str) -> bool {
    field(status, "x86_Thread_features:")
        .is_some_and(|features| features.split_whitespace().any(|feature| feature == "shstk"))
}

/// The parts of a resident set that the kernel counts (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResidentSet {
    /// `RssAnon`: private and written.
    pub anonymous_bytes: u64,
    /// `RssFile`: of files.
    pub file_bytes: u64,
    /// `RssShmem`: shared memory.
    pub shared_bytes: u64,
}

impl ResidentSet {
    pub(super) fn read(path: &Path) -> io::Result<ResidentSet> {
        ResidentSet::parse(&fs::read(path)?)
    }

    fn parse(text: &[u8]) -> io::Result<ResidentSet> {
        // The name in it is cut at 15 bytes, in the middle of a character if need be.
        let text = String::from_utf8_lossy(text);
        let status = Status::from_buf_read(text.as_bytes()).map_err(io::Error::other)?;
        let bytes = |kib: Option<u64>| kib.map(|kib| kib << 10).ok_or(io::ErrorKind::InvalidData);
        Ok(ResidentSet {
            anonymous_bytes: bytes(status.rssanon)?,
            file_bytes: bytes(status.rssfile)?,
            shared_bytes: bytes(status.rssshmem)?,
        })
    }

    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.anonymous_bytes + self.file_bytes + self.shared_bytes
    }
}

/// Where a thread is, seen without stopping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// On a processor, or waiting for one.
    Running,
    /// Waiting in a system call, or (`number` -1) in a page fault or a stop.
    Blocked {
        /// The system call.
        number: i64,
        /// Its arguments.
        args: [u64; 6],
        /// Stack pointer.
        sp: u64,
        /// Program counter.
        pc: u64,
    },
}

impl Activity {
    pub(super) fn read(path: &Path) -> io::Result<Activity> {
        Activity::parse(&fs::read_to_string(path)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// `running`, `-1 SP PC` or `NUMBER ARG×6 SP PC` (fs/proc/base.c, Linux 6.12).
    pub fn parse(line: &str) -> Option<Activity> {
        let line = line.trim_end();
        let Some((number, words)) = line.split_once(' ') else {
            return (line == "running").then_some(Activity::Running);
        };
        let word = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let words: Vec<u64> = words.split(' ').map(word).collect::<Option<_>>()?;
        let (args, &[sp, pc]) = words.split_last_chunk()?;
        let args = if args.is_empty() { [0; 6] } else { args.try_into().ok()? };
        Some(Activity::Blocked { number: number.parse().ok()?, args, sp, pc })
    }
}

pub(super) fn start_ticks(path: &Path) -> io::Result<u64> {
    Ok(stat(path)?.starttime)
}

pub(super) fn state(path: &Path) -> io::Result<TaskState> {
    Ok(TaskState::from_letter(stat(path)?.state))
}

/// The wait status in the `stat` of a zombie.
pub(super) fn exit_status(path: &Path) -> io::Result<Option<i32>> {
    let stat = stat(path)?;
    Ok(stat.exit_code.filter(|_| !TaskState::from_letter(stat.state).is_live()))
}

fn stat(path: &Path) -> io::Result<Stat> {
    Stat::from_read(&fs::read(path)?[..]).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_has_three_forms() {
        let blocked = |number, args, sp, pc| Activity::Blocked { number, args, sp, pc };
        let cases = [
            ("running\n", Activity::Running),
            ("-1 0x7ffd10 0x401000\n", blocked(-1, [0; 6], 0x7ffd10, 0x401000)),
            (
                "202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd10 0x401000\n",
                blocked(202, [1, 2, 3, 4, 5, 6], 0x7ffd10, 0x401000),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(Activity::parse(line), Some(expected));
        }
        for broken in ["", "-1", "-1 0xg 0x1", "7 0x1", "7 0x1 0x2 0x3"] {
            assert_eq!(Activity::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_resident_set_is_read_whatever_the_thread_is_called() {
        let own = fs::read_to_string("/proc/self/status").unwrap();
        let odd = own.replacen("Name:\t", "Name:\t\u{1}\u{1b}", 1).into_bytes();
        let odd: Vec<u8> = odd.into_iter().map(|byte| if byte == 1 { 0xd0 } else { byte }).collect();
        assert!(String::from_utf8(odd.clone()).is_err());
        assert!(ResidentSet::parse(&odd).unwrap().total_bytes() > 0);
    }

    #[test]
    fn a_status_is_read_whatever_the_thread_is_called() {
        let own = fs::read_to_string("/proc/thread-self/status").unwrap();
        let odd = own.replacen("Name:\t", "Name:\ta: b\u{fffd}", 1);
        let status = TaskStatus::parse(&odd).unwrap();
        assert_eq!((status.state, status.tracer_pid, status.seccomp), (TaskState::Running, 0, 0));
        assert!(!status.shadow_stack);
        assert_eq!(field("Seccomp:\t2\nSeccomp_filters:\t3\n", "Seccomp_filters:"), Some("\t3"));
        let with = TaskStatus::parse(&format!("{odd}x86_Thread_features:\twrss shstk \n")).unwrap();
        assert!(with.shadow_stack);
    }
}
