//! A foreign process, looked at from outside. Nothing here stops or changes it.

mod maps;
mod memory;
mod module;

use crate::Pid;
use std::io;
use std::path::PathBuf;

pub use maps::{Mapping, Maps};
pub use memory::Memory;
pub use module::{Module, Symbol};

/// A process, pinned: if its pid is reused, every look fails.
pub struct Process {
    pid: Pid,
    dir: PathBuf,
}

impl Process {
    /// Finds the process.
    pub fn open(pid: Pid) -> io::Result<Process> {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        std::fs::metadata(&dir)?;
        Ok(Process { pid, dir })
    }

    /// Its pid, as seen by us.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        Memory::new(self.pid)
    }

    /// Its mappings now.
    pub fn maps(&self) -> io::Result<Maps> {
        Maps::read(&self.dir.join("maps"))
    }

    /// The ELF files mapped into it; those that cannot be read are left out.
    pub fn modules(&self, maps: &Maps) -> Vec<Module> {
        let starts = maps.0.iter().filter(|m| m.offset == 0 && m.inode != 0 && !m.shared);
        starts.filter_map(|first| Module::open(&self.dir, maps, first).ok()).collect()
    }
}
