//! Another process's memory, read by `process_vm_readv`.

use super::patience;
use crate::Pid;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use std::io::{self, IoSliceMut};

/// Reads the memory of one process. Every read may fail: the process runs on.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pid: Pid,
}

impl Memory {
    /// The memory of `pid`.
    pub fn new(pid: Pid) -> Memory {
        Memory { pid }
    }

    /// Fills `out` from `addr`, or fails as a whole.
    pub fn read(&self, addr: u64, out: &mut [u8]) -> io::Result<()> {
        match self.read_some(addr, out)? {
            n if n == out.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads up to the first unreadable page; the number of bytes read. On a thread that
    /// holds somebody it may be late, see [`super::is_late`].
    pub fn read_some(&self, addr: u64, out: &mut [u8]) -> io::Result<usize> {
        patience::read(*self, addr, out).unwrap_or_else(|| self.read_patiently(addr, out))
    }

    /// Reads, however long the lock of the mappings is in other hands.
    pub(super) fn read_patiently(&self, addr: u64, out: &mut [u8]) -> io::Result<usize> {
        let remote = [RemoteIoVec { base: addr as usize, len: out.len() }];
        Ok(process_vm_readv(self.pid, &mut [IoSliceMut::new(out)], &remote)?)
    }

    /// A thread that holds somebody waits here, as it does for a read, for its turn to write
    /// to `addr`: where the lock was free just now it is hardly ever taken the next moment.
    pub(crate) fn await_turn(&self, addr: u64) -> io::Result<()> {
        patience::read(*self, addr, &mut [0]).unwrap_or(Ok(0)).map(drop)
    }

    /// Reads one word.
    pub fn read_u64(&self, addr: u64) -> io::Result<u64> {
        let mut word = [0; 8];
        self.read(addr, &mut word)?;
        Ok(u64::from_ne_bytes(word))
    }

    /// Reads one half word.
    pub fn read_u32(&self, addr: u64) -> io::Result<u32> {
        let mut word = [0; 4];
        self.read(addr, &mut word)?;
        Ok(u32::from_ne_bytes(word))
    }
}
