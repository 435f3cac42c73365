//! Starting a program and holding it at a moment of its start.
//!
//! The program is a child of ours, traced from before its exec; at the end of each of
//! its system calls somebody is asked whether this is the moment. Then it is let go, into a
//! wait that ends when we say so, or when we are gone ([`Held`]). At every step our death
//! lets it run on as if it had been started without us.

mod child;

use crate::Pid;
use crate::call::{CallError, Caller, Held};
use crate::failpoint::fail_point;
use crate::process::{Process, Tid};
pub use crate::tracee::Call;
use crate::tracee::{Startup, Step, TraceError, Tracer};
use child::Child;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;

/// What is to be done with a program after one of its system calls.
pub enum Moment<E> {
    /// It is not the moment.
    NotYet,
    /// It never will be in this image: only an exec is waited for.
    Never,
    /// It is held here.
    Now,
    /// It is ended, for this reason.
    Wrong(E),
}

/// How the start of a program went.
pub enum Launched<E> {
    /// It is held at the moment.
    Held(Box<Program>),
    /// It ended before, with this wait status.
    Ended(i32),
    /// It was ended for that reason.
    Wrong(E),
}

/// Why a program could not be started or held.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No process could be made.
    #[error("no process could be started: {0}")]
    Fork(#[source] io::Error),
    /// It could not be executed.
    #[error("{0}")]
    Exec(#[source] io::Error),
    /// It could not be traced.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It could not be held.
    #[error(transparent)]
    Hold(#[from] CallError),
}

/// A child of ours that is held; dropping this lets it go on.
pub struct Program {
    /// The child.
    pub pid: Pid,
    /// What it waits in.
    pub held: Held,
    /// What it waits for.
    _release: OwnedFd,
}

/// Starts `command` and holds it where `moment` says so; `moment` gets the process and the
/// system call that it has made. To be called while this process has one thread.
pub fn launch<E: Send>(
    command: &[OsString],
    mut moment: impl FnMut(&Process, Call) -> Moment<E> + Send,
) -> Result<Launched<E>, LaunchError> {
    let child = Child::new(command).map_err(LaunchError::Fork)?;
    match Tracer::run(|tracer| follow(tracer, &child, &mut moment)) {
        Ok(Outcome::Held(held)) => {
            let program = Program { pid: child.pid, held: *held, _release: child.release };
            Ok(Launched::Held(Box::new(program)))
        }
        Ok(Outcome::Ended(status)) => match child.failure() {
            Some(error) => Err(LaunchError::Exec(error)),
            None => Ok(Launched::Ended(status)),
        },
        Ok(Outcome::Wrong(error)) => {
            end(child.pid);
            Ok(Launched::Wrong(error))
        }
        Err(error) => {
            end(child.pid);
            Err(error)
        }
    }
}

/// Ends a child of ours and buries it.
pub fn end(pid: Pid) {
    let _ended_before = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    let _nobody_asks = wait(pid);
}

/// Waits for the end of a child of ours; its wait status.
pub fn wait(pid: Pid) -> Result<i32, TraceError> {
    crate::tracee::wait_end(Tid(pid.as_raw()))
}

/// Sends a signal to a child of ours that has not been waited for.
pub fn signal(pid: Pid, number: i32) {
    let Ok(signal) = nix::sys::signal::Signal::try_from(number) else { return };
    let _ended = nix::sys::signal::kill(pid, signal);
}

enum Outcome<E> {
    Held(Box<Held>),
    Ended(i32),
    Wrong(E),
}

fn follow<E>(
    tracer: &Tracer,
    child: &Child,
    moment: &mut impl FnMut(&Process, Call) -> Moment<E>,
) -> Result<Outcome<E>, LaunchError> {
    let mut startup = Startup::new(tracer, Tid(child.pid.as_raw()))?;
    child.go().map_err(LaunchError::Fork)?;
    fail_point("started").map_err(CallError::from)?;
    let process = Process::open(child.pid).map_err(LaunchError::Fork)?;
    let mut is_watched = false;
    loop {
        match startup.next(is_watched)? {
            Step::Ended(status) => return Ok(Outcome::Ended(status)),
            Step::Exec => {
                fail_point("executed").map_err(CallError::from)?;
                is_watched = true;
            }
            Step::Call(call) => match moment(&process, call) {
                Moment::NotYet => {}
                Moment::Never => is_watched = false,
                Moment::Wrong(error) => return Ok(Outcome::Wrong(error)),
                Moment::Now if !startup.is_quiet()? => {}
                Moment::Now => return Ok(Outcome::Held(Box::new(hold(&process, startup, child)?))),
            },
        }
    }
}

fn hold(process: &Process, startup: Startup, child: &Child) -> Result<Held, CallError> {
    let maps = process.maps().map_err(|_| CallError::ProcessGone)?;
    let caller = Caller::new(process, &maps, &[])?;
    // How long it waits in all is no pause of a running program.
    let held = caller.hold(startup.into_stopped(), &maps, child.held_fd)?;
    fail_point("held")?;
    Ok(held)
}
