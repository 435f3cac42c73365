//! Whether a process can be recorded: all that is asked before anything is touched.

use super::ground::refused;
use super::install::{Recorded, needs, payload_name};
use super::lock::Lock;
use super::session::Options;
use super::withdraw::{self, remove};
use super::{Error, Ground};
use crate::cpython::{DomainFunction, Interpreter, Looks};
use crate::model::EndReason;
use prof_injector::Pid;
use prof_injector::preflight::{self, Refusal};
use prof_injector::region::RegionHandle;
use std::time::Duration;

/// How often a stopped process is looked at.
const REST: Duration = Duration::from_millis(50);

/// A process that can be recorded.
pub struct Admitted {
    /// The process.
    pub ground: Ground,
    /// Held for as long as it is changed.
    pub lock: Lock,
    /// What is recorded of it.
    pub what: Recorded,
}

/// Looks at the target, refuses what cannot be recorded, and removes what a killed
/// attacher left. Waits for a stopped process if that is wanted, until `stop`.
pub fn admit(options: &Options, stop: &dyn Fn() -> Option<EndReason>) -> Result<Admitted, Error> {
    preflight(options, stop)?;
    let (ground, lock, remains) = withdraw::open(options.pid)?;
    let ground = match remains {
        None => ground,
        Some(region) => {
            remove(&ground, &region)?;
            Ground::survey(options.pid)?
        }
    };
    let what = recorded(&ground, options)?;
    let ground = Ground { held: options.held, ..ground };
    Ok(Admitted { ground, lock, what })
}

/// The same without a change: what is there, and what a killed attacher left.
pub fn look(options: &Options) -> Result<(Ground, Recorded, Option<RegionHandle>), Error> {
    preflight(options, &|| None)?;
    let (ground, _lock, remains) = withdraw::open(options.pid)?;
    let what = recorded(&ground, options)?;
    Ok((ground, what, remains))
}

/// Refuses what cannot be attached to, before the first ptrace request.
fn preflight(options: &Options, stop: &dyn Fn() -> Option<EndReason>) -> Result<(), Error> {
    let pid = options.pid;
    let own_payload = format!("/memfd:{}", payload_name());
    loop {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(1, Iterator::count) as u64;
        let needs = needs(threads, options.ring, options.native);
        let refusal = match preflight::check(Pid::from_raw(pid), &own_payload, needs) {
            Ok((process, _)) if options.start_ticks.is_some_and(|ticks| ticks != process.start_ticks()) => {
                return Err(refused(format!("process {pid} has ended, and its pid is another's"), None));
            }
            Ok((_, None)) => return Ok(()),
            Ok((_, Some(refusal))) | Err(refusal) => refusal,
        };
        let can_pass = matches!(refusal, Refusal::Stopped(_) | Refusal::Frozen(_));
        if !options.wait || !can_pass || stop().is_some() {
            return Err(refused(refusal.to_string(), refusal.hint()));
        }
        std::thread::sleep(REST);
    }
}

fn recorded(ground: &Ground, options: &Options) -> Result<Recorded, Error> {
    let python = Interpreter::find(&ground.process, &ground.maps, &ground.modules);
    let python = python.map_err(Error::not_python(options.pid))?;
    check_layout(ground, &python)?;
    let domains = if options.domains { find_domains(ground, &python)? } else { Vec::new() };
    let (sample, native) = (options.sample, options.native);
    Ok(Recorded { python, domains, follows: options.follows, sample, native })
}

fn check_layout(ground: &Ground, python: &Interpreter) -> Result<(), Error> {
    match python.verify(&ground.process.memory()) {
        Looks::Right | Looks::NoFrames => Ok(()),
        Looks::Wrong(why) => Err(refused(
            format!(
                "the Python {} at {} does not look as expected: {why}",
                python.version(),
                python.path().display()
            ),
            Some("it may be a patched build; please report its version and origin"),
        )),
    }
}

/// The functions of the interpreter's allocator tables.
fn find_domains(ground: &Ground, python: &Interpreter) -> Result<Vec<DomainFunction>, Error> {
    let unusable =
        |why: String| refused(why, Some("without --trace-python-allocators this process can be recorded"));
    let module =
        ground.module_of(python).ok_or_else(|| unusable("the interpreter's module is gone".into()))?;
    let found = python.domains(&ground.process.memory(), &ground.maps, module);
    found.map_err(|error| unusable(error.to_string()))
}
