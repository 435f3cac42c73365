//! A pidfd: a process by handle, not by number (pidfd_open(2)).

use crate::Pid;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::statfs::{FsType, fstatfs};
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
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
            let left = Some(TimeSpec::from_duration(left));
            match ppoll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], left, None) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Locks the process against everybody else who does so, in whatever namespace, for
    /// as long as this is open: whether nobody had it. `None` where a pidfd is not of a
    /// file of its own for each process (before Linux 6.9), so that a lock would be on all.
    pub fn lock(&self) -> io::Result<Option<bool>> {
        let is_own = fstatfs(&self.0)?.filesystem_type() == PID_FS;
        if !is_own {
            return Ok(None);
        }
        #[expect(unsafe_code)]
        // SAFETY: the call takes two integers.
        let result = unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
        match Errno::result(result) {
            Ok(_) => Ok(Some(true)),
            Err(Errno::EWOULDBLOCK) => Ok(Some(false)),
            Err(error) => Err(error.into()),
        }
    }

    /// The wait status of a process that has exited, also once it was reaped;
    /// `None` where the kernel cannot tell (before 6.15).
    pub fn exit_status(&self) -> Option<i32> {
        let mut info = PidFdInfo { mask: INFO_EXIT, ..PidFdInfo::default() };
        #[expect(unsafe_code)]
        // SAFETY: `info` has the size that the request's number states.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), GET_INFO, &raw mut info) };
        (result == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
    }
}

/// `PID_FS_MAGIC` (uapi/linux/magic.h, Linux 6.9).
const PID_FS: FsType = FsType(0x5049_4446);
/// `PIDFD_INFO_EXIT` (uapi/linux/pidfd.h, Linux 6.15).
const INFO_EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO`: `_IOWR(0xff, 11, struct pidfd_info)`.
const GET_INFO: libc::c_ulong = 0xc000_ff0b | ((size_of::<PidFdInfo>() as libc::c_ulong) << 16);

/// `struct pidfd_info` in its first published size.
#[repr(C)]
#[derive(Default)]
struct PidFdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}
