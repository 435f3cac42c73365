//! Looks after threads while recording: their names, and chunks that they sit on.

use super::Ground;
use super::ring::{OpenChunk, Ring};
use crate::model::ThreadName;
use prof_injector::barrier;
use prof_injector::region::RegionHandle;
use prof_shared::region::{SLOTS, ThreadSlot, inside};
use std::collections::{HashMap, HashSet};
use std::mem::offset_of;

/// Chunks are asked back when fewer than this part of them is free.
const SHORTAGE: usize = 8;

/// Knows the target's threads.
pub struct Keeper<'a> {
    ground: &'a Ground,
    region: RegionHandle,
    names: HashMap<u32, String>,
}

impl<'a> Keeper<'a> {
    /// Knows nobody yet.
    pub fn new(ground: &'a Ground, region: RegionHandle) -> Keeper<'a> {
        Keeper { ground, region, names: HashMap::new() }
    }

    /// The threads as the target numbers them, with their names.
    fn threads(&self) -> Vec<(u32, String)> {
        let process = &self.ground.process;
        let own = |tid| process.status(tid).ok()?.ns_pids.last().map(|&own| own as u32);
        let tasks = process.tasks().unwrap_or_default();
        tasks.into_iter().filter_map(|tid| Some((own(tid)?, process.thread_name(tid).ok()?))).collect()
    }

    /// Names that are new since the last call.
    pub fn new_names(&mut self, t_ns: u64) -> Vec<ThreadName> {
        let mut new = Vec::new();
        for (tid, name) in self.threads() {
            if self.names.get(&tid) != Some(&name) {
                self.names.insert(tid, name.clone());
                new.push(ThreadName { t_ns, tid, serial: None, name });
            }
        }
        new
    }

    /// Takes chunks back: those of dead threads now and then, those of idle ones
    /// when chunks run short.
    pub fn keep(&self, ring: &mut Ring, now_and_then: bool) {
        let is_short = ring.free_chunks() < ring.shape().chunk_count as usize / SHORTAGE;
        if !is_short && !now_and_then {
            return;
        }
        let open: Vec<OpenChunk> = ring.open_chunks().collect();
        let alive: HashSet<u32> = self.threads().into_iter().map(|(tid, _)| tid).collect();
        let (living, dead): (Vec<_>, Vec<_>) = open.into_iter().partition(|chunk| alive.contains(&chunk.tid));
        for chunk in dead {
            if ring.revoke(chunk) {
                ring.reclaim(chunk);
            }
        }
        if is_short {
            self.take_from_idle(ring, living);
        }
    }

    /// A revoked chunk is free once its holder was seen outside of its hook, after
    /// a barrier: it will look at the chunk's state before it writes again.
    fn take_from_idle(&self, ring: &Ring, chunks: Vec<OpenChunk>) {
        let revoked: Vec<OpenChunk> = chunks.into_iter().filter(|&chunk| ring.revoke(chunk)).collect();
        if revoked.is_empty() || barrier::global().is_err() {
            return;
        }
        for chunk in revoked {
            if self.is_outside(chunk.slot) {
                ring.reclaim(chunk);
            }
        }
    }

    fn is_outside(&self, slot: u32) -> bool {
        let at =
            SLOTS + u64::from(slot) * size_of::<ThreadSlot>() as u64 + offset_of!(ThreadSlot, inside) as u64;
        let word = self.ground.process.memory().read_u32(self.region.at(at));
        word.is_ok_and(|word| word == inside::OUT)
    }
}
