//! A thread that is traced and runs.

use super::request::{self, Report};
use super::{Stopped, TraceError, Tracer};
use crate::failpoint::fail_point;
use crate::process::{Tid, patience};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

/// How long dropping one tries to detach before it is left to the tracer's end.
const DROP_PATIENCE: Duration = Duration::from_millis(50);
/// Looks in a row before sleeping between them: about ten microseconds.
const EAGER_LOOKS: u32 = 16;
const FIRST_NAP: Duration = Duration::from_micros(10);
/// The thread may stop at the beginning of a nap, and is held until its end.
const LONGEST_NAP: Duration = Duration::from_micros(100);

/// A thread that is traced and runs.
///
/// A signal for it now waits until [`Seized::tend`] passes it on: keep this
/// state short, or tend it.
pub struct Seized<'t> {
    tid: Tid,
    /// False once another state has it, or once it is known that it cannot be had.
    owned: bool,
    tracer: PhantomData<&'t Tracer>,
}

impl<'t> Seized<'t> {
    /// Begins to trace `tid`, which runs on.
    pub fn new(_tracer: &'t Tracer, tid: Tid) -> Result<Seized<'t>, TraceError> {
        request::seize(tid)?;
        let seized = Seized::again(tid);
        // An error drops `seized`, which detaches.
        match fail_point("seized") {
            Ok(()) => Ok(seized),
            Err(_) => Err(TraceError::Refused(tid)),
        }
    }

    pub(super) fn again(tid: Tid) -> Seized<'t> {
        Seized { tid, owned: true, tracer: PhantomData }
    }

    /// The thread.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Stops it. Signals that come first are passed on. On any error it runs on,
    /// untraced, but for [`TraceError::Deadline`]: then it may stop late, and the
    /// [`Tracer`] must end soon.
    pub fn stop(mut self, deadline: Duration) -> Result<Stopped<'t>, TraceError> {
        patience::ready();
        request::interrupt(self.tid)?;
        let stopped_after = self.wait_stop(deadline);
        self.owned = matches!(stopped_after, Err(TraceError::GroupStopped(_)));
        if self.owned {
            self.owned = request::detach(self.tid).is_err();
        }
        stopped_after.map(|since| Stopped::new(self.tid, since))
    }

    /// Waits for the stop that was asked for; a moment before which it ran.
    fn wait_stop(&self, deadline: Duration) -> Result<Instant, TraceError> {
        let start = Instant::now();
        let mut naps = Naps::default();
        let mut running_at = start;
        loop {
            let now = Instant::now();
            match request::poll_report(self.tid)? {
                Report::Interrupted => return Ok(running_at),
                Report::Exited => return Err(TraceError::Gone(self.tid)),
                Report::GroupStop => return Err(TraceError::GroupStopped(self.tid)),
                Report::Signal(signal) => {
                    // Any stop uses up the request for ours (`ptrace_stop`,
                    // kernel/signal.c), so ask again.
                    request::interrupt(self.tid)?;
                    request::resume(self.tid, signal)?;
                }
                Report::Nothing if now - start >= deadline => {
                    return Err(TraceError::Deadline { tid: self.tid, deadline });
                }
                Report::Nothing => naps.next(),
            }
            running_at = now;
        }
    }

    /// Passes on what the thread reported since: signals, job-control stops. Whether there
    /// was anything.
    pub fn tend(&mut self) -> Result<bool, TraceError> {
        let mut had_any = false;
        loop {
            match request::poll_report(self.tid)? {
                Report::Nothing => return Ok(had_any),
                Report::Signal(signal) => request::resume(self.tid, signal)?,
                Report::GroupStop => request::listen(self.tid)?,
                Report::Interrupted => request::resume(self.tid, 0)?,
                Report::Exited => {
                    self.owned = false;
                    return Err(TraceError::Gone(self.tid));
                }
            }
            had_any = true;
        }
    }
}

impl Drop for Seized<'_> {
    /// Detaches, which needs a stop first. If that fails the tracer's end does it.
    fn drop(&mut self) {
        if self.owned && request::interrupt(self.tid).is_ok() {
            match self.wait_stop(DROP_PATIENCE) {
                Ok(since) => drop(Stopped::new(self.tid, since)),
                Err(TraceError::GroupStopped(_)) => drop(request::detach(self.tid)),
                Err(_) => {}
            }
        }
    }
}

/// Looks that are dense at first and then grow apart.
#[derive(Default)]
struct Naps {
    count: u32,
    length: Duration,
}

impl Naps {
    fn next(&mut self) {
        self.count += 1;
        if self.count > EAGER_LOOKS {
            self.length = (self.length * 2).clamp(FIRST_NAP, LONGEST_NAP);
            std::thread::sleep(self.length);
        }
    }
}
