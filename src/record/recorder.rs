//! The prof that records a process, seen from another one.
//!
//! ```text
//!  prof detach ──► lock on the ring's file ◄── looked for by who records to it
//!      └ waits until that ring is not mapped there any more, or that prof is gone
//! ```
//!
//! The lock says which recording is meant where one prof makes several, in whatever namespace
//! it is, and goes with whoever holds it.

use super::Error;
use super::ground::refused;
use super::install::RING_NAME;
use prof_injector::process::{Mapping, Process, TaskState, Tid};
use prof_injector::{Pid, memfd};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// What the main thread of one is called.
const NAME: &str = "prof";

/// A ring's file: its device and inode.
type RingId = ((u32, u32), u64);

/// A prof that records a process.
pub struct Recorder {
    process: Process,
    ring: RingId,
}

impl Recorder {
    /// The one that records process `pid`. It and that process map the same ring; so do children
    /// of the process, which are called otherwise.
    pub fn of(pid: i32) -> Option<Recorder> {
        let target = Process::open(Pid::from_raw(pid)).ok()?;
        let ring = *rings(&target).first()?;
        let is_it = |process: &Process| {
            let name = process.thread_name(Tid(process.pid().as_raw()));
            process.pid() != target.pid()
                && name.is_ok_and(|name| name == NAME)
                && rings(process).contains(&ring)
        };
        let others = Process::all().ok()?.into_iter().filter_map(|pid| Process::open(pid).ok());
        others.into_iter().find(is_it).map(|process| Recorder { process, ring })
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.process.pid().as_raw()
    }

    /// Has it end this recording, and waits until it has: if it makes no other one, until it
    /// is gone.
    pub fn end(&self) -> Result<(), Error> {
        /// Between two looks.
        const LOOK: Duration = Duration::from_millis(50);
        self.process.pidfd().ok_or_else(|| self.refuses("this kernel has no pidfd"))?;
        let file = match self.file() {
            Ok(file) => file,
            Err(_) if !self.process.is_alive() => return Ok(()),
            Err(error) => return Err(self.refuses(&error.to_string())),
        };
        loop {
            // Who records takes it for moments, to see whether somebody has it.
            let _later = flock(&file, FlockOperation::NonBlockingLockExclusive);
            let is_gone = self.process.wait_exit(LOOK).map_err(Error::io("waiting for the other prof"))?;
            if is_gone || self.has_others_only() {
                return Ok(());
            }
            if self.is_stopped() {
                return Err(self.refuses("it is stopped by job control"));
            }
        }
    }

    /// The ring's.
    fn file(&self) -> io::Result<File> {
        for fd in memfd::find(&self.process, RING_NAME)? {
            let file = File::open(format!("/proc/{}/fd/{fd}", self.pid()))?;
            if file.metadata()?.ino() == self.ring.1 {
                return Ok(file);
            }
        }
        Err(io::Error::other("its ring is not there any more"))
    }

    /// Whether it goes on without this ring.
    fn has_others_only(&self) -> bool {
        let rings = rings(&self.process);
        !rings.is_empty() && !rings.contains(&self.ring)
    }

    fn is_stopped(&self) -> bool {
        let status = self.process.status(Tid(self.pid()));
        status.is_ok_and(|status| status.state == TaskState::Stopped)
    }

    fn refuses(&self, why: &str) -> Error {
        let pid = self.pid();
        refused(
            format!("the prof that records it, process {pid}, could not be told to end: {why}"),
            Some("end it there, by Ctrl-C; one that is stopped must go on first, by `kill -CONT`"),
        )
    }
}

/// The rings that it maps.
fn rings(process: &Process) -> Vec<RingId> {
    let is_ring = |mapping: &&Mapping| {
        let name = mapping.name.strip_prefix("/memfd:").unwrap_or_default();
        name.split(' ').next() == Some(RING_NAME)
    };
    let maps = process.maps().map(|maps| maps.0).unwrap_or_default();
    maps.iter().filter(is_ring).map(|mapping| (mapping.device, mapping.inode)).collect()
}
