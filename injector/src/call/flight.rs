//! Calls under way, and how their end is seen.
//!
//! While a call of ours runs, its thread blocks every signal, which no thread
//! that was used did before. So the mask in `/proc` tells when it has restored
//! itself, also where the call leaves no other trace.

use super::{CallError, Caller};
use crate::failpoint::fail_point;
use crate::process::Tid;
use crate::signals;
use crate::tracee::{Pause, Stopped};
use prof_shared::region::{Program, Step};
use std::io;
use std::mem::offset_of;
use std::time::{Duration, Instant};

const FIRST_NAP: Duration = Duration::from_micros(20);
const LONGEST_NAP: Duration = Duration::from_millis(1);

/// Raw calls that a thread was sent to make.
#[must_use = "the calls may be under way until `Caller::land` returns"]
#[derive(Debug)]
pub struct Flight {
    tid: Tid,
    pause: Pause,
}

/// A program that a thread was sent to execute.
#[must_use = "the program may be under way until `Caller::land_program` returns"]
#[derive(Debug)]
pub struct ProgramFlight {
    pub(super) flight: Flight,
    pub(super) program: u64,
    pub(super) steps: usize,
}

impl Flight {
    /// Lets go of a thread whose registers lead into frames of ours.
    pub(super) fn start(mut stopped: Stopped) -> Result<Flight, CallError> {
        fail_point("registers-set")?;
        let tid = stopped.tid();
        // The first frame does so too. Done here as well, the mask shows that the
        // calls are under way even before the thread has run.
        stopped.set_signal_mask(signals::ALL)?;
        fail_point("mask-set")?;
        let pause = stopped.detach()?;
        fail_point("detached")?;
        Ok(Flight { tid, pause })
    }
}

impl Caller<'_> {
    /// Waits until the thread has restored itself. A thread that has exited since
    /// had done so, unless all of its process ended.
    pub fn land(&self, flight: Flight, deadline: Duration) -> Result<Pause, CallError> {
        let tid = flight.tid;
        self.wait(tid, deadline, || match self.process.status(tid) {
            Ok(status) if status.state.is_live() => Ok(status.blocked != signals::ALL),
            _ if self.is_ending() => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(true),
        })?;
        Ok(flight.pause)
    }

    /// Waits until the program has ended and the thread has restored itself; the
    /// result of each step.
    pub fn land_program(
        &self,
        flight: ProgramFlight,
        deadline: Duration,
    ) -> Result<(Vec<u64>, Pause), CallError> {
        let ProgramFlight { flight, program, steps } = flight;
        let memory = self.memory();
        let done = program + offset_of!(Program, done) as u64;
        self.wait(flight.tid, deadline, || Ok(memory.read_u64(done)? == 1))?;
        // `done` is set just before the frame that lies in the region is loaded.
        let pause = self.land(flight, deadline)?;
        let result = |step: usize| {
            let at = offset_of!(Program, steps) + step * size_of::<Step>() + offset_of!(Step, result);
            memory.read_u64(program + at as u64)
        };
        let results: io::Result<Vec<u64>> = (0..steps).map(result).collect();
        let results = results.map_err(|source| CallError::Memory { what: "reading results", source })?;
        Ok((results, pause))
    }

    fn wait(
        &self,
        tid: Tid,
        deadline: Duration,
        is_over: impl Fn() -> io::Result<bool>,
    ) -> Result<(), CallError> {
        let start = Instant::now();
        let mut nap = FIRST_NAP;
        loop {
            match is_over() {
                Ok(true) => return Ok(()),
                Ok(false) if start.elapsed() < deadline => {}
                Ok(false) | Err(_) => return Err(self.unfinished(tid, deadline)),
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }

    fn unfinished(&self, tid: Tid, deadline: Duration) -> CallError {
        match self.process.is_alive() {
            true => CallError::Unfinished { tid, deadline, activity: self.process.activity(tid).ok() },
            false => CallError::ProcessGone,
        }
    }
}
