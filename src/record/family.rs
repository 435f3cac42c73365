//! The processes of a recording that follows forks: who they are, and when they are gone.
//!
//! A child that records itself says so with its first record, and its chunks name its
//! pid. So nobody is looked for among all processes, and one that was gone before we looked
//! is known too.

use super::register::Field;
use super::register::field;
use crate::model::ProcessId;
use prof_injector::Pid;
use prof_injector::process::Process;
use prof_injector::region::RegionHandle;
use prof_shared::record::Process as Born;
use prof_shared::region::{HEADER, MAGIC};
use std::collections::BTreeMap;
use std::io;

/// The children that record themselves.
pub struct Family {
    region: RegionHandle,
    /// Whether they number themselves otherwise than we do.
    is_nested: bool,
    /// By number, with the pid as each sees itself.
    living: BTreeMap<u32, (u32, Process)>,
    /// Not looked at yet.
    born: Vec<Born>,
    /// How many were seen to execute another program.
    pub executed: u64,
}

impl Family {
    /// Of a process whose region this is: the region of each child lies at the same place.
    pub fn new(region: RegionHandle, is_nested: bool) -> Family {
        Family { region, is_nested, living: BTreeMap::new(), born: Vec::new(), executed: 0 }
    }

    /// Takes note of a child.
    pub fn add(&mut self, born: Born) {
        self.born.push(born);
    }

    /// Looks at them; those that are gone since.
    pub fn gone(&mut self) -> Vec<ProcessId> {
        let mut gone = Vec::new();
        for Born { number, pid, .. } in std::mem::take(&mut self.born) {
            let is_it =
                |process: &Process| self.half(process, field::PROCESS).is_none_or(|own| own == number);
            match self.find(pid).filter(is_it) {
                Some(process) => drop(self.living.insert(number, (pid, process))),
                None => gone.push(ProcessId(number)),
            }
        }
        self.living.retain(|&number, (_, process)| {
            let is_there = process.is_alive() && stands(&self.region, process);
            if !is_there {
                gone.push(ProcessId(number));
                self.executed += u64::from(executes(process));
            }
            is_there
        });
        gone
    }

    /// Whether any child is there that has not ended.
    pub fn is_empty(&self) -> bool {
        self.living.is_empty() && self.born.is_empty()
    }

    /// Those that are there.
    pub fn living(&self) -> impl Iterator<Item = &Process> {
        self.living.values().map(|(_, process)| process)
    }

    /// Does something with the child that sees itself as `pid`; `None` if it is gone.
    pub fn with<T>(&self, pid: u32, work: impl FnOnce(&Process) -> T) -> Option<T> {
        let known = self.living.values().find(|(own, process)| *own == pid && process.is_alive());
        match known {
            Some((_, process)) if stands(&self.region, process) => Some(work(process)),
            _ => self.find(pid).map(|process| work(&process)),
        }
    }

    fn find(&self, pid: u32) -> Option<Process> {
        // Who may not be looked into any more is there all the same.
        let is_it = |process: &Process| self.half(process, field::OWN_PID).is_none_or(|own| own == pid);
        let is_it = |process: &Process| stands(&self.region, process) && is_it(process);
        match self.is_nested {
            false => Process::open(Pid::from_raw(pid as i32)).ok().filter(is_it),
            true => {
                let all = Process::all().unwrap_or_default();
                all.into_iter().filter_map(|pid| Process::open(pid).ok()).find(is_it)
            }
        }
    }

    /// A field of the child's copy of the region; `None` if it cannot be read.
    fn half(&self, process: &Process, field: Field) -> Option<u32> {
        process.memory().read_u32(self.region.at(HEADER) + field.offset()).ok()
    }
}

/// Whether a process without our region executes something else; one that ends has no
/// memory at all for a moment.
fn executes(process: &Process) -> bool {
    process.maps().is_ok_and(|maps| !maps.0.is_empty()) && process.is_alive()
}

/// Whether the region is in the process, as far as that can be seen: an exec drops it.
fn stands(region: &RegionHandle, process: &Process) -> bool {
    match process.memory().read_u64(region.at(HEADER)) {
        Ok(word) => word == MAGIC,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}
