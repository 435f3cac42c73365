//! What threads are called.

use hashbrown::HashMap;

use crate::model::{ProcessId, ProcessLife, ThreadName, ThreadSerial, Tid};

/// The threads of a recording that allocated.
#[derive(Debug, Default)]
pub struct Threads {
    ids: HashMap<ThreadSerial, (Tid, ProcessId)>,
    /// Of forked processes.
    pids: HashMap<ProcessId, u32>,
    by_serial: HashMap<ThreadSerial, String>,
    /// Of threads whose serial was not known when the name was read.
    by_tid: HashMap<Tid, String>,
}

impl Threads {
    /// With the names that were read, of which the last one of each counts, and the processes that
    /// were forked.
    pub fn new<'a>(names: &[ThreadName], processes: impl Iterator<Item = &'a ProcessLife>) -> Threads {
        let pids = processes.map(|life| (ProcessId(life.number), life.pid)).collect();
        let mut threads = Threads { pids, ..Threads::default() };
        for name in names {
            match name.serial {
                Some(serial) => threads.by_serial.insert(ThreadSerial(serial), name.name.clone()),
                None => threads.by_tid.insert(Tid(name.tid), name.name.clone()),
            };
        }
        threads
    }

    /// Of a thread that there was, who it was.
    pub fn met(&mut self, thread: ThreadSerial, tid: Tid, process: ProcessId) {
        self.ids.insert(thread, (tid, process));
    }

    /// The kernel's id of a thread.
    pub fn tid(&self, thread: ThreadSerial) -> Tid {
        self.ids.get(&thread).map(|(tid, _)| *tid).unwrap_or_default()
    }

    /// The process of a thread.
    pub fn process(&self, thread: ThreadSerial) -> ProcessId {
        self.ids.get(&thread).map(|(_, process)| *process).unwrap_or_default()
    }

    /// The last name of a thread; empty if none is known.
    pub fn name(&self, thread: ThreadSerial) -> &str {
        let by_tid = || self.by_tid.get(&self.tid(thread));
        self.by_serial.get(&thread).or_else(by_tid).map_or("", String::as_str)
    }

    /// Name and id, as `worker-3 (tid 4711)`. The name is the target's.
    pub fn label(&self, thread: ThreadSerial) -> String {
        let Tid(tid) = self.tid(thread);
        // A process's first thread has its number.
        let pid = self.pids.get(&self.process(thread)).filter(|pid| **pid != tid);
        let of = pid.map(|pid| format!(" of pid {pid}")).unwrap_or_default();
        match self.name(thread) {
            "" => format!("tid {tid}{of}"),
            name => format!("{name} (tid {tid}{of})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tid_that_is_used_again_is_another_thread() {
        let name = |tid, serial, name: &str| ThreadName { t_ns: 0, tid, serial, name: name.into() };
        let names = [name(7, Some(1), "early"), name(7, Some(1), "main"), name(8, None, "pool")];
        let child = ProcessLife { number: 1, pid: 9, ..ProcessLife::default() };
        let mut threads = Threads::new(&names, [&child].into_iter());
        for (process, thread, tid) in [(0, 1, 7), (0, 2, 8), (0, 3, 7), (1, 4, 9), (1, 5, 10)] {
            let (process, thread, tid) = (ProcessId(process), ThreadSerial(thread), Tid(tid));
            threads.met(thread, tid, process);
        }
        let labels = [1, 2, 3, 4, 5].map(|serial| threads.label(ThreadSerial(serial)));
        assert_eq!(labels, ["main (tid 7)", "pool (tid 8)", "tid 7", "tid 9", "tid 10 of pid 9"]);
    }
}
