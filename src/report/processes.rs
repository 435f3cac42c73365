//! The processes of a recording.

use std::collections::BTreeMap;

use crate::model::{Metadata, ProcessId, ProcessLife};

/// The process that the recording began with, and those that it forked.
#[derive(Debug)]
pub struct Processes(BTreeMap<ProcessId, ProcessLife>);

impl Processes {
    /// Of a capture.
    pub fn new<'a>(metadata: &Metadata, forked: impl Iterator<Item = &'a ProcessLife>) -> Processes {
        let began_tick = metadata.clock.origin_ticks;
        let root = ProcessLife { pid: metadata.pid, began_tick, ..ProcessLife::default() };
        let forked = forked.map(|life| (ProcessId(life.number), life.clone()));
        Processes([(ProcessId::ROOT, root)].into_iter().chain(forked).collect())
    }

    /// All of them by number.
    pub fn all(&self) -> impl Iterator<Item = (ProcessId, &ProcessLife)> {
        self.0.iter().map(|(&process, life)| (process, life))
    }

    /// Whether there is only one.
    pub fn is_single(&self) -> bool {
        self.0.len() == 1
    }

    /// The pid, if it is known.
    pub fn pid(&self, process: ProcessId) -> Option<u32> {
        self.0.get(&process).map(|life| life.pid)
    }

    /// Pid and number, as `pid 4711 (#3)`.
    pub fn label(&self, process: ProcessId) -> String {
        match self.0.get(&process) {
            Some(life) => format!("pid {} (#{})", life.pid, process.0),
            None => format!("#{}", process.0),
        }
    }
}
