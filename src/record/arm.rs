//! Putting the detours in and taking them out.
//!
//! One byte needs nobody to stop; one thread stays seized meanwhile, because some
//! kernels take forced writes only from an active tracer. Where five bytes had to
//! do, every thread is stopped and shown to be outside of them.

use super::look::words;
use super::{Error, Ground};
use prof_injector::call::{CallError, Caller};
use prof_injector::detour::{
    ArmError, arm as put_in, arm_all_stopped, disarm as take_out, disarm_all_stopped,
};
use prof_injector::process::{Maps, Tid};
use prof_injector::tracee::{Seized, Stopped, TraceError, Tracer, choose};
use prof_shared::region::{Entry, POINTER};
use std::collections::HashSet;
use std::time::Duration;

/// How long one thread is waited for when it shall stop.
const STOP_DEADLINE: Duration = Duration::from_millis(200);
/// How often all threads are stopped until none is inside of what changes.
const ROUNDS: usize = 50;
/// Pause between two rounds.
const REST: Duration = Duration::from_millis(2);

/// Puts every detour in.
pub fn arm(ground: &Ground, caller: &Caller, entries: &[Entry]) -> Result<(), Error> {
    change(ground, caller, entries, put_in, arm_all_stopped)
}

/// Takes every detour out; what somebody else has written there stays.
pub fn disarm(ground: &Ground, caller: &Caller, entries: &[Entry]) -> Result<(), Error> {
    change(ground, caller, entries, take_out, disarm_all_stopped)
}

type One = fn(&std::fs::File, &Entry) -> Result<(), ArmError>;
type Stopping = fn(&std::fs::File, &Entry, &[u64]) -> Result<(), ArmError>;

fn change(
    ground: &Ground,
    caller: &Caller,
    entries: &[Entry],
    one: One,
    stopping: Stopping,
) -> Result<(), Error> {
    let with = |len: fn(u8) -> bool| entries.iter().copied().filter(|e| len(e.patch_len)).collect::<Vec<_>>();
    let (single, several) = (with(|len| len == 1), with(|len| len > 1 && len != POINTER));
    let memory = caller.writer().file();
    // What somebody else has changed stops only what concerns it.
    let results = while_seized(ground, || single.iter().map(|entry| one(memory, entry)).collect::<Vec<_>>());
    results.into_iter().collect::<Result<(), ArmError>>()?;
    if several.is_empty() {
        return Ok(());
    }
    let change = |pcs: &[u64]| several.iter().try_for_each(|entry| stopping(memory, entry, pcs));
    while_stopped(ground, &several, change)
}

/// Stops every thread and lets it go: each passes a full barrier.
pub fn stop_everybody_once(ground: &Ground) -> Result<(), Error> {
    let round = Tracer::run(|tracer| stop_all(tracer, ground).map(drop));
    Ok(round.map_err(CallError::Trace)?)
}

/// Runs `work` with one thread seized, running on. If none can be, it is tried
/// without.
pub fn while_seized<T: Send>(ground: &Ground, work: impl FnOnce() -> T + Send) -> T {
    let threads = choose(&ground.process).unwrap_or_default();
    Tracer::run(|tracer| {
        let _seized = threads.into_iter().find_map(|(tid, _)| Seized::new(tracer, tid).ok());
        work()
    })
}

/// Runs `work` while every thread is stopped, with every address at which one may
/// go on; again while one is in the middle of `entries`.
fn while_stopped(
    ground: &Ground,
    entries: &[Entry],
    mut work: impl FnMut(&[u64]) -> Result<(), ArmError> + Send,
) -> Result<(), Error> {
    let mut last = None;
    for _ in 0..ROUNDS {
        let maps = ground.maps_now()?;
        let round = Tracer::run(|tracer| -> Result<Result<(), ArmError>, TraceError> {
            let stopped = stop_all(tracer, ground)?;
            Ok(places(ground, &maps, entries, &stopped)?.and_then(|places| work(&places)))
        });
        match round.map_err(CallError::Trace)? {
            Err(ArmError::ThreadInside { pc }) => last = Some(pc),
            done => return Ok(done?),
        }
        std::thread::sleep(REST);
    }
    Err(ArmError::ThreadInside { pc: last.unwrap_or_default() }.into())
}

/// Stops every thread, those included that are started meanwhile.
fn stop_all<'t>(tracer: &'t Tracer, ground: &Ground) -> Result<Vec<Stopped<'t>>, TraceError> {
    let mut stopped = Vec::new();
    let mut known: HashSet<Tid> = HashSet::new();
    loop {
        let tasks = ground.process.tasks().unwrap_or_default();
        let new: Vec<Tid> = tasks.into_iter().filter(|tid| !known.contains(tid)).collect();
        if new.is_empty() {
            return Ok(stopped);
        }
        for tid in new {
            known.insert(tid);
            match Seized::new(tracer, tid).and_then(|seized| seized.stop(STOP_DEADLINE)) {
                Ok(thread) => stopped.push(thread),
                Err(TraceError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The addresses near `entries` that are in a register or on a stack. A stack that
/// cannot be read may hold any.
fn places(
    ground: &Ground,
    maps: &Maps,
    entries: &[Entry],
    stopped: &[Stopped],
) -> Result<Result<Vec<u64>, ArmError>, TraceError> {
    let is_near = |word: &u64| entries.iter().any(|e| (e.patch..e.patch + 8).contains(word));
    let memory = ground.process.memory();
    let mut places = Vec::new();
    for thread in stopped {
        let registers = thread.registers()?;
        let Some(words) = words(&memory, maps, registers.rsp) else {
            return Ok(Err(ArmError::ThreadInside { pc: registers.rip }));
        };
        places.push(registers.rip);
        places.extend(words.iter().filter(is_near));
    }
    Ok(Ok(places))
}
