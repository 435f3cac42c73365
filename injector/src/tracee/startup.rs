//! A child of ours on its way from the exec on, traced by its system calls.
//!
//! ```text
//!  seize ─► exec ─► call ─► call ─► …      each `Call` is the end of a system call
//!             └──── unwatched ────► exec   (an image that is none of our business)
//! ```
//!
//! The options ask for reports only: our death lets it go here too. Signals and
//! job-control stops are passed on.

use super::request::{self, Progress};
use super::{Stopped, TraceError, Tracer};
use crate::arch::Registers;
use crate::process::Tid;
use std::marker::PhantomData;
use std::time::Instant;

/// What it has done.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// It executes a new program, and is stopped before its first instruction.
    Exec,
    /// It has made a system call, and is stopped before it goes on.
    Call(Call),
    /// It has ended, with this wait status.
    Ended(i32),
}

/// A system call that is over.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Which one.
    pub number: i64,
    /// Where the thread goes on.
    pub pc: u64,
}

/// A child that starts.
pub struct Startup<'t> {
    tid: Tid,
    is_stopped: bool,
    tracer: PhantomData<&'t Tracer>,
}

impl<'t> Startup<'t> {
    /// Begins to trace a child, which waits to be told to execute its program.
    pub fn new(_tracer: &'t Tracer, tid: Tid) -> Result<Startup<'t>, TraceError> {
        request::seize_startup(tid)?;
        Ok(Startup { tid, is_stopped: false, tracer: PhantomData })
    }

    /// Lets it run to its next step; with `watched` false to the next but a system call.
    pub fn next(&mut self, watched: bool) -> Result<Step, TraceError> {
        let mut signal = 0;
        loop {
            if self.is_stopped {
                request::run_on(self.tid, watched, signal)?;
            }
            self.is_stopped = true;
            signal = 0;
            match request::wait_progress(self.tid)? {
                Progress::Ended(status) => {
                    self.is_stopped = false;
                    return Ok(Step::Ended(status));
                }
                Progress::Exec => return Ok(Step::Exec),
                Progress::Call => {
                    let registers = request::registers(self.tid)?;
                    if is_over(&registers) {
                        return Ok(Step::Call(Call { number: registers.orig_rax as i64, pc: registers.rip }));
                    }
                }
                Progress::Signal(number) => signal = number,
                Progress::GroupStop => {
                    request::listen(self.tid)?;
                    self.is_stopped = false;
                }
                Progress::Other => {}
            }
        }
    }

    /// Whether no signal is about to be handled.
    pub fn is_quiet(&self) -> Result<bool, TraceError> {
        Ok(request::pending_signals(self.tid)? & !request::signal_mask(self.tid)? == 0)
    }

    /// The thread, at the end of a call.
    pub fn into_stopped(mut self) -> Stopped<'t> {
        self.is_stopped = false;
        Stopped::new(self.tid, Instant::now())
    }
}

impl Drop for Startup<'_> {
    fn drop(&mut self) {
        if self.is_stopped {
            let _ended = request::detach(self.tid);
        }
    }
}

/// Where a call begins the kernel has put this into `rax` (entry_64.S).
fn is_over(registers: &Registers) -> bool {
    registers.rax as i64 != -i64::from(libc::ENOSYS)
}
