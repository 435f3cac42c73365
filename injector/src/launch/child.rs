//! The child before it becomes the program.
//!
//! ```text
//!  we      fork ── seize ── one byte ──────────────► nothing, or errno
//!  child    └────────────── read ── execvp ─────────────┘
//!                            └ the end of the pipe: nobody is left, so nothing is started
//! ```
#![expect(unsafe_code)]

use crate::Pid;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{ForkResult, fork, pipe2, read, write};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

/// The first descriptor at which the program may get one that is ours: out of the way
/// of small numbers, and below every usual limit.
const LOWEST_FD: RawFd = 200;

/// A process that waits to become a program.
pub struct Child {
    pub pid: Pid,
    go: OwnedFd,
    /// Says why the program could not be executed; ends if it was.
    failure: OwnedFd,
    /// What the program has open of ours, and reads from.
    pub held_fd: RawFd,
    /// Closing it ends that read.
    pub release: OwnedFd,
}

impl Child {
    /// Forks. To be called while this process has one thread.
    pub fn new(command: &[OsString]) -> io::Result<Child> {
        let words: Vec<CString> =
            command.iter().map(|word| CString::new(word.clone().into_vec())).collect::<Result<_, _>>()?;
        let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
        pointers.push(ptr::null());
        let (told_to_go, go) = pipe2(OFlag::O_CLOEXEC)?;
        let (failure, failed) = pipe2(OFlag::O_CLOEXEC)?;
        let (held, release) = pipe2(OFlag::O_CLOEXEC)?;
        // Not to be closed by the exec.
        let held_fd = fcntl(&held, FcntlArg::F_DUPFD(LOWEST_FD))?;
        // SAFETY: there is no other thread, whose locks the child could miss.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                let _closed = nix::unistd::close(held_fd);
                Ok(Child { pid: child, go, failure, held_fd, release })
            }
            ForkResult::Child => {
                drop((go, failure, release));
                become_program(&pointers, &told_to_go, &failed)
            }
        }
    }

    /// Lets it execute the program.
    pub fn go(&self) -> io::Result<()> {
        write(&self.go, &[1])?;
        Ok(())
    }

    /// Why it could not; `None` if it could. To be asked when it has executed or ended.
    pub fn failure(self) -> Option<io::Error> {
        drop(self.go);
        let mut errno = [0; 4];
        let len = read(&self.failure, &mut errno).unwrap_or(0);
        (len == errno.len()).then(|| io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
    }
}

/// Ends without a trace if nobody says that it is time.
fn become_program(words: &[*const libc::c_char], told_to_go: &OwnedFd, failed: &OwnedFd) -> ! {
    if read(told_to_go, &mut [0]) == Ok(1) {
        // SAFETY: both calls get what they are declared for: a signal that Rust's runtime
        // ignores and a program should not, and a list of texts that ends in a null.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::execvp(words[0], words.as_ptr());
        }
        let errno = Errno::last_raw().to_ne_bytes();
        let _nobody_listens = write(failed, &errno);
    }
    // SAFETY: ends the process and nothing else.
    unsafe { libc::_exit(127) }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Child({}, {})", self.pid, self.release.as_raw_fd())
    }
}
