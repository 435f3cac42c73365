//! Whether any thread of the target is, or may come back, in given code.
//!
//! A blocked thread is looked at from outside: where it waits, and every word of
//! its stack. A running one, or one whose stack holds a suspicious word, is
//! stopped for one look each.

use super::safe::{Judge, Patience, Walk};
use super::{Error, Ground};
use prof_injector::process::{Activity, Maps, Memory, Tid};
use prof_injector::tracee::{Seized, TraceError, Tracer};
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

/// The most of a stack that is read.
const STACK_MAX: u64 = 8 << 20;
/// Below the stack pointer leaf functions keep words too.
const RED_ZONE: u64 = 128;
/// How long one thread is waited for when it shall stop.
const STOP_DEADLINE: Duration = Duration::from_millis(200);

/// Code that is to be unmapped.
pub struct Doomed {
    /// All of it.
    pub code: Vec<Range<u64>>,
    /// That of it which pointers to functions lead to. Nobody else has the address of
    /// anything in it, but for what it returns to.
    pub thunks: Range<u64>,
}

/// The look at every thread of a process. Nobody enters the code any more, so a thread
/// that was seen outside once stays outside.
pub struct Census<'a> {
    ground: &'a Ground,
    doomed: &'a Doomed,
    outside: HashSet<Tid>,
}

impl<'a> Census<'a> {
    /// Nobody was looked at yet.
    pub fn new(ground: &'a Ground, doomed: &'a Doomed) -> Census<'a> {
        Census { ground, doomed, outside: HashSet::new() }
    }

    /// A thread that may be in the code, if there is one. Those of `claiming` say that they
    /// are: they are believed to be outside only if their stack was walked to its end.
    /// Very deep stacks are looked at only with patience.
    pub fn anybody_inside(
        &mut self,
        judge: &mut Judge,
        claiming: &[Tid],
        patience: Patience,
    ) -> Result<Option<Tid>, Error> {
        judge.refresh()?;
        let maps = self.ground.maps_now()?;
        let tasks = self.ground.process.tasks().map_err(Error::io("listing the target's threads"))?;
        let mut inside = None;
        for tid in tasks {
            if self.outside.contains(&tid) {
                continue;
            }
            let walk = if claiming.contains(&tid) { Walk::Always } else { Walk::IfNeeded };
            let is_seen_outside =
                walk == Walk::IfNeeded && is_outside(self.ground, &maps, tid, &self.doomed.code);
            if is_seen_outside || self.is_found_outside(judge, tid, walk, patience) {
                self.outside.insert(tid);
            } else {
                inside = Some(tid);
            }
        }
        Ok(inside)
    }

    /// Stops a thread for a look.
    fn is_found_outside(&self, judge: &mut Judge, tid: Tid, walk: Walk, patience: Patience) -> bool {
        let looked = Tracer::run(|tracer| -> Result<bool, TraceError> {
            let stopped = Seized::new(tracer, tid)?.stop(STOP_DEADLINE)?;
            Ok(judge.is_outside(&stopped, self.doomed, walk, patience))
        });
        matches!(looked, Ok(true) | Err(TraceError::Gone(_)))
    }
}

/// Whether a thread that waits in the kernel has nothing of `code` on its stack.
fn is_outside(ground: &Ground, maps: &Maps, tid: Tid, code: &[Range<u64>]) -> bool {
    let Ok(Activity::Blocked { number: 0.., pc, sp, .. }) = ground.process.activity(tid) else {
        return false;
    };
    let is_clean = !holds(code, pc)
        && words(&ground.process.memory(), maps, sp)
            .is_some_and(|words| !words.iter().any(|w| holds(code, w)));
    // It may have woken up meanwhile.
    let again = ground.process.activity(tid);
    is_clean
        && matches!(again, Ok(Activity::Blocked { pc: now_pc, sp: now_sp, .. }) if (now_pc, now_sp) == (pc, sp))
}

/// Whether `word` points into `code`. Not behind it: nothing of ours ends in a call,
/// and where our library ends a thread's stack may begin, whose address every
/// thread keeps on it.
pub fn holds(code: &[Range<u64>], word: u64) -> bool {
    code.iter().any(|range| range.contains(&word))
}

/// Every aligned word of the stack around `sp`; `None` if it is too long, or cannot be
/// read at all. It ends with its mapping, or at a guard region within (glibc 2.42).
pub fn words(memory: &Memory, maps: &Maps, sp: u64) -> Option<Words> {
    let mapping = maps.at(sp)?;
    let start = (sp.saturating_sub(RED_ZONE) & !7).max(mapping.range.start);
    let len = mapping.range.end - start;
    let mut bytes = vec![0; len.min(STACK_MAX) as usize];
    let read = memory.read_some(start, &mut bytes).ok()?;
    if start + read as u64 <= sp || read == bytes.len() && len > STACK_MAX {
        return None;
    }
    let words = bytes[..read].as_chunks().0;
    Some(Words { start, words: words.iter().map(|&word| u64::from_ne_bytes(word)).collect() })
}

/// A piece of a stack as it was when it was read.
pub struct Words {
    start: u64,
    words: Vec<u64>,
}

impl Words {
    /// All of them, upwards.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.words.iter().copied()
    }

    fn at(&self, addr: u64) -> Option<u64> {
        let offset = addr.checked_sub(self.start).filter(|offset| offset % 8 == 0)?;
        self.words.get((offset / 8) as usize).copied()
    }
}

/// The stacks that a walk comes to, each read once and as a whole where it is not too long.
pub struct Stacks<'a> {
    memory: Memory,
    maps: &'a Maps,
    read: Vec<Words>,
}

impl<'a> Stacks<'a> {
    /// Of a thread whose stack may have been read already.
    pub fn new(memory: Memory, maps: &'a Maps, first: Option<Words>) -> Stacks<'a> {
        Stacks { memory, maps, read: Vec::from_iter(first) }
    }

    /// The word at `addr`.
    pub fn word(&mut self, addr: u64) -> Option<u64> {
        if let Some(word) = self.read.iter().find_map(|words| words.at(addr)) {
            return Some(word);
        }
        match words(&self.memory, self.maps, addr) {
            Some(words) => {
                self.read.push(words);
                self.read.last()?.at(addr)
            }
            None => self.memory.read_u64(addr).ok(),
        }
    }
}
