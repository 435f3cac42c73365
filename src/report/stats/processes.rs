//! What each process of a recording did, where forks were followed.

use hashbrown::HashMap;
use serde::Serialize;
use std::cmp::Reverse;

use crate::analysis::Figures;
use crate::model::{ProcessId, Tick};
use crate::report::profile::Profile;

/// The sums of one process.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ProcessSums {
    /// Its number in the recording.
    pub process: u32,
    /// The number of the one that forked it.
    pub parent: u32,
    /// Its pid, as it sees itself.
    pub pid: u32,
    /// Its first event, ns since the start.
    pub began_ns: u64,
    /// Its end, if it ended or executed another program.
    pub ended_ns: Option<u64>,
    /// Blocks and mappings that it allocated.
    pub allocations: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What it held when all together held most.
    pub peak_bytes: u64,
    /// What it held at the end of the recording, of what it had allocated; nothing if it had
    /// ended.
    pub held_bytes: u64,
}

impl ProcessSums {
    /// What became of it, to be put behind its figures.
    pub fn fate(&self) -> &'static str {
        if self.ended_ns.is_some() { "  ended" } else { "" }
    }
}

/// Those with most bytes first; none if there is one process only.
pub fn sums(profile: &Profile<'_>) -> Vec<ProcessSums> {
    if profile.processes.is_single() {
        return Vec::new();
    }
    let mut figures: HashMap<ProcessId, Figures> = HashMap::new();
    for row in &profile.rows {
        figures.entry(profile.threads.process(row.thread)).or_default().add(&row.figures);
    }
    let mut sums: Vec<_> = profile
        .processes
        .all()
        .map(|(process, life)| {
            let Figures { made, peak, live, .. } = figures.get(&process).copied().unwrap_or_default();
            let ended_ns = (life.ended_tick > 0).then(|| profile.nanos(Tick(life.ended_tick)));
            ProcessSums {
                process: process.0,
                parent: life.parent,
                pid: life.pid,
                began_ns: profile.nanos(Tick(life.began_tick)),
                ended_ns,
                allocations: made.blocks,
                bytes: made.bytes,
                peak_bytes: peak.bytes,
                held_bytes: live.bytes,
            }
        })
        .collect();
    sums.sort_by_key(|sums| (Reverse(sums.bytes), sums.process));
    sums
}
