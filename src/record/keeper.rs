//! Looks after threads while recording: their names, and chunks that they sit on.

use super::Ground;
use super::family::Family;
use super::ring::{OpenChunk, Ring};
use crate::model::ThreadName;
use prof_injector::barrier;
use prof_injector::process::{Process, Tid};
use prof_injector::region::RegionHandle;
use prof_shared::region::{SLOTS, ThreadSlot, inside};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::offset_of;

/// Chunks are asked back when fewer than this part of them is free.
const SHORTAGE: usize = 8;

/// Knows the target's threads.
pub struct Keeper<'a> {
    ground: &'a Ground,
    region: RegionHandle,
    own_pid: u32,
    /// Children that record themselves.
    pub family: Family,
    names: HashMap<u32, String>,
    /// Whether the target numbers its threads otherwise than we do.
    is_nested: bool,
    /// Asked back, holder not yet seen outside; by index, for a target that scribbles can
    /// open a chunk that is asked back.
    revoked: BTreeMap<usize, OpenChunk>,
}

impl<'a> Keeper<'a> {
    /// Knows nobody yet.
    pub fn new(ground: &'a Ground, region: RegionHandle) -> Keeper<'a> {
        let status = ground.process.live_task().and_then(|task| ground.process.status(task));
        let is_nested = status.is_ok_and(|status| status.ns_pids.len() > 1);
        let family = Family::new(region.clone(), is_nested);
        // Nobody has 0: then all chunks are held by others, who are not found.
        let own_pid = ground.own_pid().unwrap_or(0);
        Keeper { ground, region, own_pid, family, names: HashMap::new(), is_nested, revoked: BTreeMap::new() }
    }

    /// The threads of a process, and how the target numbers them.
    fn threads(&self, process: &Process) -> Vec<(Tid, u32)> {
        let own = |tid: Tid| match self.is_nested {
            true => process.status(tid).ok()?.ns_pids.last().map(|&own| own as u32),
            false => Some(tid.0 as u32),
        };
        process.tasks().unwrap_or_default().into_iter().filter_map(|tid| Some((tid, own(tid)?))).collect()
    }

    /// Names that are new since the last call.
    pub fn new_names(&mut self, t_ns: u64) -> Vec<ThreadName> {
        let mut new = Vec::new();
        for process in std::iter::once(&self.ground.process).chain(self.family.living()) {
            for (task, tid) in self.threads(process) {
                let Ok(name) = process.thread_name(task) else { continue };
                if self.names.get(&tid) != Some(&name) {
                    self.names.insert(tid, name.clone());
                    new.push(ThreadName { t_ns, tid, serial: None, name });
                }
            }
        }
        new
    }

    /// Takes chunks back: those of dead threads now and then, those of idle ones
    /// when chunks run short.
    pub fn keep(&mut self, ring: &Ring, now_and_then: bool) {
        let is_short = ring.free_chunks() < ring.shape().chunk_count as usize / SHORTAGE;
        if now_and_then {
            self.take_from_dead(ring);
        }
        if is_short {
            let revoked = ring.open_chunks().filter(|&chunk| ring.revoke(chunk));
            self.revoked.extend(revoked.map(|chunk| (chunk.index, chunk)));
        }
        self.reclaim(ring);
    }

    fn take_from_dead(&mut self, ring: &Ring) {
        let open: Vec<OpenChunk> = ring.open_chunks().collect();
        let mut alive: HashMap<u32, Option<HashSet<u32>>> = HashMap::new();
        for chunk in open {
            let tids = alive.entry(chunk.pid).or_insert_with(|| self.tids(chunk.pid));
            let is_alone = chunk.pid == self.own_pid || tids.is_none();
            if tids.as_ref().is_some_and(|tids| tids.contains(&chunk.tid)) || !ring.revoke(chunk) {
                continue;
            }
            match is_alone {
                true => ring.reclaim(chunk),
                // A child that was cloned without libc has a tid that is not its own.
                false => drop(self.revoked.insert(chunk.index, chunk)),
            }
        }
    }

    /// The threads of the process that sees itself as `pid`; `None` if it is gone.
    fn tids(&self, pid: u32) -> Option<HashSet<u32>> {
        let tids = |process: &Process| self.threads(process).into_iter().map(|(_, tid)| tid).collect();
        match pid == self.own_pid {
            true => Some(tids(&self.ground.process)),
            false => self.family.with(pid, tids),
        }
    }

    /// A revoked chunk is free once its holder was seen outside of its hook, after
    /// a barrier: it looks at the chunk's state before it writes again.
    fn reclaim(&mut self, ring: &Ring) {
        if self.revoked.is_empty() || barrier::global().is_err() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.revoked);
        waiting.retain(|_, &mut chunk| {
            let is_outside = self.is_outside(chunk);
            if is_outside {
                ring.reclaim(chunk);
            }
            !is_outside
        });
        self.revoked = waiting;
    }

    fn is_outside(&self, chunk: OpenChunk) -> bool {
        let at = SLOTS
            + u64::from(chunk.slot) * size_of::<ThreadSlot>() as u64
            + offset_of!(ThreadSlot, inside) as u64;
        let says_so = |process: &Process| {
            process.memory().read_u32(self.region.at(at)).is_ok_and(|word| word == inside::OUT)
        };
        match chunk.pid == self.own_pid {
            true => says_so(&self.ground.process) || !self.ground.process.is_alive(),
            // Who is gone writes nothing any more.
            false => self.family.with(chunk.pid, says_so).unwrap_or(true),
        }
    }
}
