//! Writing to a process's memory, apart from the read-only half.

use crate::process::{Memory, Process};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Writes the memory of one process through `/proc/PID/mem`.
///
/// It belongs to the memory that the process had when this was opened: after an
/// `exec` writes go nowhere. Writes pass over page protection, as a debugger's
/// do, unless the kernel is told otherwise (`proc_mem.force_override`, Linux
/// 6.12). A write of more than one byte can tear towards running threads.
#[derive(Debug)]
pub struct MemoryWriter {
    file: File,
    memory: Memory,
}

impl MemoryWriter {
    /// Opens the memory of `process`; needs the right to trace it.
    pub fn open(process: &Process) -> io::Result<MemoryWriter> {
        Ok(MemoryWriter { file: process.open_memory()?, memory: process.memory() })
    }

    /// Writes `bytes` to `addr`, or nothing if it is late, see [`is_late`](crate::process::is_late).
    pub fn write(&self, addr: u64, bytes: &[u8]) -> io::Result<()> {
        self.memory.await_turn(addr)?;
        self.file.write_all_at(bytes, addr)
    }

    /// Whether that memory is no more. Nothing is at address 0, so a read there fails as long
    /// as there is memory at all (mem_rw in fs/proc/base.c, Linux 6.12).
    pub fn is_gone(&self) -> bool {
        matches!(self.file.read_at(&mut [0], 0), Ok(0))
    }

    /// The open `/proc/PID/mem`.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes one word.
    pub fn write_u64(&self, addr: u64, word: u64) -> io::Result<()> {
        self.write(addr, &word.to_ne_bytes())
    }
}
