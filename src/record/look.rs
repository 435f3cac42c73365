//! Whether any thread of the target is, or may come back, in given code.
//!
//! A blocked thread is looked at from outside: where it waits, and every word of
//! its stack. A running one, or one whose stack holds a suspicious word, is
//! stopped for one look each.

use super::safe::Judge;
use super::{Error, Ground};
use prof_injector::process::{Activity, Maps, Memory, Tid};
use prof_injector::tracee::{Seized, TraceError, Tracer};
use std::ops::Range;
use std::time::Duration;

/// The most of a stack that is read.
const STACK_MAX: u64 = 8 << 20;
/// Below the stack pointer leaf functions keep words too.
const RED_ZONE: u64 = 128;
/// How long one thread is waited for when it shall stop.
const STOP_DEADLINE: Duration = Duration::from_millis(200);

/// A thread that may be in `code`, if there is one. Those of `claiming` say that they
/// are: they are believed to be outside only if their stack was walked to its end.
pub fn anybody_in(
    ground: &Ground,
    judge: &mut Judge,
    code: &[Range<u64>],
    claiming: &[Tid],
) -> Result<Option<Tid>, Error> {
    judge.refresh()?;
    let maps = ground.maps_now()?;
    for tid in ground.process.tasks().map_err(Error::io("listing the target's threads"))? {
        let claims = claiming.contains(&tid);
        if !claims && is_outside(ground, &maps, tid, code) {
            continue;
        }
        let is_out = Tracer::run(|tracer| -> Result<bool, TraceError> {
            let stopped = Seized::new(tracer, tid)?.stop(STOP_DEADLINE)?;
            Ok(judge.is_outside(&stopped, code, claims))
        });
        match is_out {
            Ok(true) | Err(TraceError::Gone(_)) => {}
            Ok(false) | Err(_) => return Ok(Some(tid)),
        }
    }
    Ok(None)
}

/// Whether a thread that waits in the kernel has nothing of `code` on its stack.
fn is_outside(ground: &Ground, maps: &Maps, tid: Tid, code: &[Range<u64>]) -> bool {
    let Ok(Activity::Blocked { number: 0.., pc, sp, .. }) = ground.process.activity(tid) else {
        return false;
    };
    let is_clean = !holds(code, pc)
        && words(&ground.process.memory(), maps, sp)
            .is_some_and(|words| !words.iter().any(|&w| holds(code, w)));
    // It may have woken up meanwhile.
    let again = ground.process.activity(tid);
    is_clean
        && matches!(again, Ok(Activity::Blocked { pc: now_pc, sp: now_sp, .. }) if (now_pc, now_sp) == (pc, sp))
}

/// Whether `word` points into `code`, or just behind a call at its end.
pub fn holds(code: &[Range<u64>], word: u64) -> bool {
    code.iter().any(|range| range.contains(&word) || range.end == word)
}

/// Every aligned word of the stack around `sp`; `None` if it cannot be read whole.
pub fn words(memory: &Memory, maps: &Maps, sp: u64) -> Option<Vec<u64>> {
    let mapping = maps.at(sp)?;
    let start = (sp.saturating_sub(RED_ZONE) & !7).max(mapping.range.start);
    let len = mapping.range.end - start;
    if len > STACK_MAX {
        return None;
    }
    let mut bytes = vec![0; len as usize];
    memory.read(start, &mut bytes).ok()?;
    Some(bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("of eight"))).collect())
}
