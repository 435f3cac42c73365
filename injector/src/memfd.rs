//! Memory files that the target made and we fill.

use crate::process::Process;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use std::fs::{File, OpenOptions};
use std::io;

/// Opens a file descriptor of `process` for reading and writing.
pub fn open(process: &Process, fd: u64) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(format!("/proc/{}/fd/{fd}", process.pid()))
}

/// Fixes the size of a memfd: a file that shrinks under a mapping is a SIGBUS.
pub fn seal_size(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// Gives the memory behind `offset` back, whoever has it mapped.
pub fn punch(file: &File, offset: u64, end: u64) -> io::Result<()> {
    let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(file, mode, offset as i64, (end - offset) as i64)?)
}

/// The descriptors of `process` that are memfds whose name begins with `prefix`.
pub fn find(process: &Process, prefix: &str) -> io::Result<Vec<u64>> {
    let wanted = format!("/memfd:{prefix}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", process.pid()))?.flatten() {
        let is_ours =
            std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with(&wanted));
        found
            .extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()).filter(|_| is_ours));
    }
    Ok(found)
}
