//! Where glibc keeps a thread's tid in its control block.
//!
//! No interface tells, and it moves between versions (0x2d0 in 2.36 and 2.43), so
//! it is found by looking: the offset at which the control block of every known
//! thread holds the tid of a thread.

use super::{Error, Ground};
use crate::cpython::Interpreter;
use std::collections::HashSet;
use std::time::Duration;

/// Where it has been since glibc 2.4 or so.
const USUAL: u32 = 0x2d0;
/// As far as control blocks are searched.
const SEARCHED: u32 = 0x800;

/// How often it is looked for: threads come and go meanwhile.
const ATTEMPTS: usize = 20;

/// Between two of them.
const REST: Duration = Duration::from_millis(1);

/// The offset from the thread pointer.
pub fn tid_offset(ground: &Ground, python: &Interpreter) -> Result<u32, Error> {
    for _ in 0..ATTEMPTS {
        if let Some(offset) = look(ground, python)? {
            return Ok(offset);
        }
        std::thread::sleep(REST);
    }
    Err(Error::Unexpected("the target's threads do not tell their tids"))
}

/// The first offset at which most control blocks hold a tid, each its own, or one
/// holds that of the leader, which outlives a storm of threads.
fn look(ground: &Ground, python: &Interpreter) -> Result<Option<u32>, Error> {
    let memory = ground.process.memory();
    let leader = ground.own_pid()?;
    let mut tids = own_tids(ground)?;
    let threads = python.threads(&memory).unwrap_or_default();
    tids.extend(own_tids(ground)?);
    let blocks: Vec<u64> = threads.iter().map(|thread| thread.id).filter(|&id| id != 0).collect();
    let holds = |offset: &u32| {
        let held = blocks.iter().filter_map(|block| memory.read_u32(block + u64::from(*offset)).ok());
        let held: HashSet<u32> = held.filter(|tid| tids.contains(tid)).collect();
        !blocks.is_empty() && (held.len() * 2 > blocks.len() || held.contains(&leader))
    };
    Ok(std::iter::once(USUAL).chain((0..SEARCHED).step_by(4)).find(holds))
}

/// The tids as the target sees them.
fn own_tids(ground: &Ground) -> Result<HashSet<u32>, Error> {
    let tasks = ground.process.tasks().map_err(Error::io("listing the target's threads"))?;
    let own = tasks.into_iter().filter_map(|tid| ground.process.status(tid).ok()?.ns_pids.last().copied());
    Ok(own.map(|tid| tid as u32).collect())
}
