//! The right to change a process: one of us at a time.
//!
//! An exclusive `flock` on a file of the process in `/proc`. The kernel keeps one
//! inode for it as long as somebody has it open, and drops the lock when its
//! holder dies, however that comes. Not seen: somebody who looks through another
//! mount of `/proc`.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io;
use std::path::Path;

/// A file that every process has, and that only those may open who may trace it.
const FILE: &str = "personality";

/// Held by whoever changes a process.
#[derive(Debug)]
pub struct Claim {
    _lock: Flock<File>,
}

impl Claim {
    /// Takes it for the process of `dir`; `None` if somebody has it.
    pub(super) fn take(dir: &Path) -> io::Result<Option<Claim>> {
        match Flock::lock(File::open(dir.join(FILE))?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Claim { _lock: lock })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }
}
