//! Processes that the target forked while it was recorded: they carry our hooks, and a copy
//! of all that belongs to them.

use super::Error;
use super::install::PAYLOAD_NAME;
use super::register::field;
use super::withdraw::withdraw;
use prof_injector::Pid;
use prof_injector::process::Process;
use prof_injector::region::RegionHandle;
use prof_shared::region::HEADER;
use std::collections::HashSet;

/// How often heirs are looked for again: they may fork while others are cleaned.
const ROUNDS: usize = 10;

/// What was done with a child.
pub struct Cleaned {
    /// The child.
    pub pid: i32,
    /// Why it could not be cleaned, if so.
    pub error: Option<Error>,
}

/// The descendants of `process` that carry what is ours.
pub fn carriers(process: &Process) -> Vec<i32> {
    let mut found = Vec::new();
    let mut waiting = process.children();
    while let Some(pid) = waiting.pop() {
        let Ok(child) = Process::open(pid) else { continue };
        waiting.extend(child.children());
        if carries(&child) {
            found.push(pid.as_raw());
        }
    }
    found.sort_unstable();
    found
}

/// Removes what is ours from every process that inherited it from a recording of
/// process `pid`, which may have ended.
pub fn withdraw_children(pid: i32) -> Result<Vec<Cleaned>, Error> {
    let root = Root { pid, own_pid: own_pid(pid) };
    Ok(withdraw_all(&heirs(root)?, root))
}

/// The process that a recording began with.
#[derive(Clone, Copy)]
pub struct Root {
    /// As we see it.
    pub pid: i32,
    /// As it sees itself.
    pub own_pid: u32,
}

/// The same until there are no more, for a recording that has just ended; those that could
/// not be cleaned.
pub fn withdraw_heirs(root: Root) -> Result<Vec<Cleaned>, Error> {
    for _ in 0..ROUNDS {
        let heirs = heirs(root)?;
        if heirs.is_empty() {
            break;
        }
        let mut failed = withdraw_all(&heirs, root);
        failed.retain(|cleaned| cleaned.error.is_some());
        if !failed.is_empty() {
            return Ok(failed);
        }
    }
    Ok(Vec::new())
}

/// The processes that carry a region which was made in `root`.
pub fn heirs(root: Root) -> Result<Vec<Pid>, Error> {
    let all = Process::all().map_err(Error::io("listing processes"))?;
    Ok(all.into_iter().filter(|pid| pid.as_raw() != root.pid && is_heir(*pid, root)).collect())
}

/// The numbers in the recording of the processes that carry such a region.
pub fn numbers(root: Root) -> HashSet<u32> {
    let number = |heir: Pid| {
        let process = Process::open(heir).ok()?;
        let addr = region_of(&process)?.at(HEADER) + field::PROCESS.offset();
        process.memory().read_u32(addr).ok()
    };
    heirs(root).unwrap_or_default().into_iter().filter_map(number).collect()
}

fn withdraw_all(heirs: &[Pid], root: Root) -> Vec<Cleaned> {
    let clean = |&heir: &Pid| match withdraw(heir.as_raw()) {
        // It ended meanwhile, or somebody else cleaned it.
        Err(_) | Ok(None) if !is_heir(heir, root) => None,
        result => Some(Cleaned { pid: heir.as_raw(), error: result.err() }),
    };
    heirs.iter().filter_map(clean).collect()
}

fn is_heir(heir: Pid, root: Root) -> bool {
    let Ok(process) = Process::open(heir) else { return false };
    let Some(region) = carries(&process).then(|| region_of(&process)).flatten() else { return false };
    let recorded = region.at(HEADER) + field::ROOT_PID.offset();
    process.memory().read_u32(recorded).is_ok_and(|recorded| recorded == root.own_pid)
}

fn region_of(process: &Process) -> Option<RegionHandle> {
    RegionHandle::find(process, &process.maps().ok()?)
}

/// How the process numbers itself; its number here, if it has ended.
fn own_pid(pid: i32) -> u32 {
    let process = Process::open(Pid::from_raw(pid));
    process.ok().and_then(|process| super::ground::own_pid(&process).ok()).unwrap_or(pid as u32)
}

fn carries(process: &Process) -> bool {
    let name = format!("/memfd:{PAYLOAD_NAME}");
    process.maps().is_ok_and(|maps| maps.0.iter().any(|mapping| mapping.name.starts_with(&name)))
}
