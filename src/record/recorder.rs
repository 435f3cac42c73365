//! The prof that records a process, seen from another one.

use super::Error;
use super::ground::refused;
use super::install::RING_NAME;
use prof_injector::Pid;
use prof_injector::process::{Mapping, Process, TaskState, Tid};
use rustix::process::{Signal, pidfd_send_signal};
use std::time::Duration;

/// What the main thread of one is called.
const NAME: &str = "prof";

/// A prof that records.
pub struct Recorder(Process);

impl Recorder {
    /// The one that records process `pid`. It and that process map the same ring; so do children
    /// of the process, which are called otherwise.
    pub fn of(pid: i32) -> Option<Recorder> {
        let target = Process::open(Pid::from_raw(pid)).ok()?;
        let ring = ring(&target)?;
        let is_it = |process: &Process| {
            let name = process.thread_name(Tid(process.pid().as_raw()));
            process.pid() != target.pid()
                && name.is_ok_and(|name| name == NAME)
                && self::ring(process) == Some(ring)
        };
        let others = Process::all().ok()?.into_iter().filter_map(|pid| Process::open(pid).ok());
        others.into_iter().find(is_it).map(Recorder)
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.0.pid().as_raw()
    }

    /// Has it end its recording, as Ctrl-C does, and waits until it is gone.
    pub fn end(&self) -> Result<(), Error> {
        /// Between two looks.
        const LOOK: Duration = Duration::from_secs(1);
        let pidfd = self.0.pidfd().ok_or_else(|| self.refuses("this kernel has no pidfd"))?;
        if let Err(error) = pidfd_send_signal(pidfd, Signal::INT)
            && self.0.is_alive()
        {
            return Err(self.refuses(&error.to_string()));
        }
        while !self.0.wait_exit(LOOK).map_err(Error::io("waiting for the other prof"))? {
            if self.is_stopped() {
                return Err(self.refuses("it is stopped by job control"));
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        let status = self.0.status(Tid(self.pid()));
        status.is_ok_and(|status| status.state == TaskState::Stopped)
    }

    fn refuses(&self, why: &str) -> Error {
        let pid = self.pid();
        refused(
            format!("the prof that records it, process {pid}, could not be told to end: {why}"),
            Some("end it there, by Ctrl-C, or have it go on by `kill -CONT`"),
        )
    }
}

/// The ring that it maps: a device and an inode.
fn ring(process: &Process) -> Option<((u32, u32), u64)> {
    let is_ring = |mapping: &&Mapping| {
        let name = mapping.name.strip_prefix("/memfd:").unwrap_or_default();
        name.split(' ').next() == Some(RING_NAME)
    };
    process.maps().ok()?.0.iter().find(is_ring).map(|mapping| (mapping.device, mapping.inode))
}
