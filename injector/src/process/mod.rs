//! A foreign process, looked at from outside. Nothing here stops or changes it.
//!
//! All files are read through one open directory, so a reused pid cannot be
//! mistaken for the process, and below `task/TID`, because the files of a leader
//! that has exited before its threads are empty (proc(5), `/proc/PID/task`).

mod cut;
mod maps;
mod memory;
mod module;
mod pagemap;
pub(crate) mod patience;
mod pidfd;
mod task;

use crate::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

pub use maps::{Mapping, Maps};
pub use memory::Memory;
pub use module::{Module, Symbol, map_file};
pub use pagemap::{Pagemap, Resident};
pub use patience::is_late;
pub use task::{Activity, ResidentSet, TaskState, TaskStatus, Tid};

use pidfd::PidFd;
use procfs::Current;
use prof_shared::region::PAGE;

/// Bytes of memory that this machine has.
pub fn machine_memory() -> io::Result<u64> {
    let memory = procfs::Meminfo::current().map_err(io::Error::other)?;
    Ok(memory.mem_total)
}

/// A process, pinned: if its pid is reused, every look fails.
pub struct Process {
    pid: Pid,
    /// Keeps `dir` meaning this process.
    _pin: File,
    dir: PathBuf,
    pidfd: Option<PidFd>,
    start_ticks: u64,
}

/// The file that a process executes: another one after an `exec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExeIdentity {
    /// Device of the file.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

impl Process {
    /// Finds the process. A thread that does not lead its process is not found.
    pub fn open(pid: Pid) -> io::Result<Process> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let pin = OpenOptions::new().read(true).custom_flags(flags).open(format!("/proc/{pid}"))?;
        let dir = PathBuf::from(format!("/proc/self/fd/{}", pin.as_raw_fd()));
        let pidfd = PidFd::open(pid)?;
        // Read after the pidfd was made: if it can be read, both mean one process.
        let start_ticks = task::start_ticks(&dir.join("stat"))?;
        let process = Process { pid, _pin: pin, dir, pidfd, start_ticks };
        match process.tasks()?.contains(&Tid(pid.as_raw())) {
            true => Ok(process),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Every process that we see.
    pub fn all() -> io::Result<Vec<Pid>> {
        let entries = std::fs::read_dir("/proc")?.flatten();
        Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw)).collect())
    }

    /// The processes that it has started, or inherited (proc_pid_task_children(5)).
    pub fn children(&self) -> Vec<Pid> {
        let tasks = self.tasks().unwrap_or_default();
        let of = |tid: Tid| std::fs::read_to_string(self.dir.join(format!("task/{}/children", tid.0)));
        let text: String = tasks.into_iter().filter_map(|tid| of(tid).ok()).collect();
        text.split_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
    }

    /// Its pid, as seen by us.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When it started, in clock ticks since boot: with the pid it names the
    /// process for good.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// Becomes readable when the process exits; `None` before Linux 5.3.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(PidFd::as_fd)
    }

    /// Whether any of its threads lives.
    pub fn is_alive(&self) -> bool {
        match &self.pidfd {
            Some(pidfd) => !pidfd.wait_exit(Duration::ZERO).unwrap_or(true),
            None => self.live_task().is_ok(),
        }
    }

    /// Waits for its end; whether it came within `timeout`. Without a pidfd this
    /// does not wait.
    pub fn wait_exit(&self, timeout: Duration) -> io::Result<bool> {
        match &self.pidfd {
            Some(pidfd) => pidfd.wait_exit(timeout),
            None => Ok(!self.is_alive()),
        }
    }

    /// Locks it against everybody else who does so, for as long as this is open: whether
    /// nobody had it. `None` where the kernel cannot tell processes apart (before 6.9).
    pub fn lock(&self) -> io::Result<Option<bool>> {
        self.pidfd.as_ref().map_or(Ok(None), PidFd::lock)
    }

    /// Whether a signal ended it; `None` if it lives or nobody can tell any more.
    pub fn was_killed(&self) -> Option<bool> {
        let status = self.pidfd.as_ref().and_then(PidFd::exit_status);
        let status = status.or_else(|| task::exit_status(&self.dir.join("stat")).ok().flatten())?;
        Some(libc::WIFSIGNALED(status))
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        Memory::new(self.live_task().map_or(self.pid, Tid::as_pid))
    }

    /// Its mappings now.
    pub fn maps(&self) -> io::Result<Maps> {
        Maps::read(&self.live_dir()?.join("maps"))
    }

    /// The ELF files that are loaded into it, one for each load; those that
    /// cannot be read are left out.
    pub fn modules(&self, maps: &Maps) -> Vec<Module> {
        self.modules_that(maps, |_| true)
    }

    /// Of these, those whose first mapping is wanted.
    pub fn modules_that(&self, maps: &Maps, is_wanted: impl Fn(&Mapping) -> bool) -> Vec<Module> {
        let root = self.live_dir().unwrap_or_else(|_| self.dir.clone()).join("root");
        module::loaded(&self.dir.join("map_files"), &root, maps, is_wanted)
    }

    /// Its threads now, by ascending age as the kernel lists them.
    pub fn tasks(&self) -> io::Result<Vec<Tid>> {
        let names = fs::read_dir(self.dir.join("task"))?;
        Ok(names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Tid)).collect())
    }

    /// What `status` says of a thread.
    pub fn status(&self, tid: Tid) -> io::Result<TaskStatus> {
        TaskStatus::read(&self.task_dir(tid).join("status"))
    }

    /// Whether a thread runs, or in which system call it waits.
    pub fn activity(&self, tid: Tid) -> io::Result<Activity> {
        Activity::read(&self.task_dir(tid).join("syscall"))
    }

    /// How long a thread has had a processor, in ns; `None` where the kernel does not count it.
    /// It may be told late, by a tick or when the thread gives its processor up.
    pub fn run_ns(&self, tid: Tid) -> Option<u64> {
        self.schedstat(tid, 0)
    }

    /// How often a thread was given a processor; `None` where the kernel does not count it.
    pub fn turns(&self, tid: Tid) -> Option<u64> {
        self.schedstat(tid, 2)
    }

    /// A number of `schedstat` (Documentation/scheduler/sched-stats.rst, Linux 6.12).
    fn schedstat(&self, tid: Tid, index: usize) -> Option<u64> {
        let text = fs::read_to_string(self.task_dir(tid).join("schedstat")).ok()?;
        text.split_whitespace().nth(index)?.parse().ok().filter(|&number| number != 0)
    }

    /// The name of a thread.
    pub fn thread_name(&self, tid: Tid) -> io::Result<String> {
        let name = fs::read(self.task_dir(tid).join("comm"))?;
        Ok(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
    }

    /// Its command line.
    pub fn command_line(&self) -> io::Result<Vec<String>> {
        let bytes = fs::read(self.live_dir()?.join("cmdline"))?;
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        Ok(bytes.split(|&byte| byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect())
    }

    /// Path of its executable, as the process sees it.
    pub fn exe_path(&self) -> io::Result<PathBuf> {
        fs::read_link(self.live_dir()?.join("exe"))
    }

    /// Which file it executes.
    pub fn exe(&self) -> io::Result<ExeIdentity> {
        let file = fs::metadata(self.live_dir()?.join("exe"))?;
        Ok(ExeIdentity { device: file.dev(), inode: file.ino() })
    }

    /// The first bytes of its executable: an ELF header up to the machine.
    pub(crate) fn exe_head(&self) -> io::Result<[u8; 20]> {
        let mut head = [0; 20];
        File::open(self.live_dir()?.join("exe"))?.read_exact(&mut head)?;
        Ok(head)
    }

    /// Its control groups, as `/proc/PID/cgroup` shows them (cgroups(7)).
    pub fn control_groups(&self) -> io::Result<String> {
        fs::read_to_string(self.dir.join("cgroup"))
    }

    /// Its resident set.
    pub fn rss_bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.live_dir()?.join("statm"))?;
        let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Ok(pages.ok_or(io::ErrorKind::InvalidData)? * PAGE)
    }

    /// Its resident set by the kernel's three counters; takes no lock of the process.
    pub fn resident_set(&self) -> io::Result<ResidentSet> {
        ResidentSet::read(&self.live_dir()?.join("status"))
    }

    /// Which of its pages are resident.
    pub fn pagemap(&self) -> io::Result<Pagemap> {
        Pagemap::open(&self.live_dir()?.join("pagemap"))
    }

    /// A thread that has not exited: the leader if it can be.
    pub fn live_task(&self) -> io::Result<Tid> {
        let lives = |tid: &Tid| task::state(&self.task_dir(*tid).join("stat")).is_ok_and(|s| s.is_live());
        let leader = Tid(self.pid.as_raw());
        match lives(&leader) {
            true => Ok(leader),
            false => self.tasks()?.into_iter().find(lives).ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens `mem` for whoever may write.
    pub(crate) fn open_memory(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.live_dir()?.join("mem"))
    }

    fn live_dir(&self) -> io::Result<PathBuf> {
        Ok(self.task_dir(self.live_task()?))
    }

    fn task_dir(&self, tid: Tid) -> PathBuf {
        self.dir.join("task").join(tid.0.to_string())
    }
}

#[cfg(test)]
mod tests;
