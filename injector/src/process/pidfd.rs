//! A pidfd: a process by handle, not by number (pidfd_open(2)).

use crate::Pid;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Refers to one process for as long as it is open.
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens one; `None` if this kernel (before 5.3) or a filter has no pidfds.
    pub fn open(pid: Pid) -> io::Result<Option<PidFd>> {
        #[expect(unsafe_code)]
        // SAFETY: the call takes two integers and touches no memory of ours.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        match Errno::result(result) {
            #[expect(unsafe_code)]
            // SAFETY: the kernel has just made this descriptor, nobody else has it.
            Ok(fd) => Ok(Some(PidFd(unsafe { OwnedFd::from_raw_fd(fd as i32) }))),
            Err(Errno::ENOSYS | Errno::EPERM) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The descriptor, for `poll`.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Whether all threads of the process have exited within `timeout`.
    pub fn wait_exit(&self, timeout: Duration) -> io::Result<bool> {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], left) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
