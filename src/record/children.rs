//! Children that the target forked while it was recorded: they carry our hooks, inert,
//! and a copy of all that belongs to them.

use super::Error;
use super::install::PAYLOAD_NAME;
use super::withdraw::withdraw;
use prof_injector::Pid;
use prof_injector::process::Process;
use prof_injector::region::RegionHandle;
use prof_shared::region::{HEADER, Region};
use std::mem::offset_of;

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
    let all = Process::all().map_err(Error::io("listing processes"))?;
    let heirs = all.into_iter().filter(|process| process.as_raw() != pid && is_heir(*process, pid));
    let clean = |heir: Pid| match withdraw(heir.as_raw()) {
        // It ended meanwhile, or somebody else cleaned it.
        Err(_) | Ok(None) if !is_heir(heir, pid) => None,
        result => Some(Cleaned { pid: heir.as_raw(), error: result.err() }),
    };
    Ok(heirs.filter_map(clean).collect())
}

/// Whether the process carries a region that was made in process `pid`.
fn is_heir(heir: Pid, pid: i32) -> bool {
    let Ok(process) = Process::open(heir) else { return false };
    let Some(region) = carries(&process).then(|| region_of(&process)).flatten() else { return false };
    let recorded = region.at(HEADER) + offset_of!(Region, own_pid) as u64;
    process.memory().read_u32(recorded).is_ok_and(|recorded| recorded == own_pid(pid))
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
