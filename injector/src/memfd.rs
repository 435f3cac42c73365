//! Memory files that the target made and we fill.

use crate::process::Process;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

/// Opens a memfd of `process`, which has the descriptor `fd`, for reading and writing.
///
/// The number is the process's word, and opening through `/proc` asks for nobody's
/// leave but ours: what is not a memfd whose seals are open may be anybody's file.
pub fn open(process: &Process, fd: u64) -> io::Result<File> {
    let path = format!("/proc/{}/fd/{fd}", process.pid());
    if !std::fs::read_link(&path)?.to_string_lossy().starts_with("/memfd:") {
        return Err(io::Error::other("the process gave another file for its memfd"));
    }
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // Other files of the same file systems are sealed against seals (mm/shmem.c).
    let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS)?);
    match seals.contains(SealFlag::F_SEAL_SEAL) {
        true => Err(io::Error::other("the process gave a sealed file for its memfd")),
        false => Ok(file),
    }
}

/// A memfd of our own: for tests, of what wants a file.
pub fn create(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC)?.into())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn only_a_memfd_with_open_seals_is_taken() {
        let own = Process::open(nix::unistd::getpid()).unwrap();
        let take = |file: &dyn AsRawFd| open(&own, file.as_raw_fd() as u64);
        let sealable = create("prof-test").unwrap();
        take(&sealable).unwrap();
        seal_size(&sealable).unwrap();
        assert!(take(&sealable).is_err());
        assert!(take(&memfd_create("prof-test", MFdFlags::empty()).unwrap()).is_err());
        // Not even opened: that alone has a meaning for a device.
        let is_known_by_name =
            |file: &dyn AsRawFd| take(file).unwrap_err().to_string().contains("another file");
        assert!(is_known_by_name(&tempfile::tempfile().unwrap()));
        assert!(is_known_by_name(&tempfile::tempfile_in("/dev/shm").unwrap()));
        assert!(is_known_by_name(&File::open("/dev/null").unwrap()));
    }
}
