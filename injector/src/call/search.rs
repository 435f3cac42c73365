//! Finding a thread, and a moment of it, that can be used.
//!
//! ```text
//!  threads, the least noticeable first ─► stop ─► its signals first? ─► launch ─► used
//!     ▲                                    ▲                             │ wrong place
//!     └───────────── rest ◄────────────────┴── runs for a while ◄────────┘
//! ```

use super::turn::{NAP, Turn};
use super::{CallError, Caller, Unsuitable};
use crate::process::Tid;
use crate::seccomp;
use crate::tracee::{Fitness, Seized, Stopped, Tracer, choose};
use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long one thread is waited for when it shall stop.
const STOP_DEADLINE: Duration = Duration::from_millis(200);
/// How often, and for how long, a thread may handle its signals before it is used.
const SIGNAL_TRIES: u32 = 3;
const HANDLING: Duration = Duration::from_micros(300);
/// How long to wait before all threads are tried again, at first and at most.
const FIRST_REST: Duration = Duration::from_micros(100);
const LONGEST_REST: Duration = Duration::from_millis(10);
/// How often a thread that is in an unsuitable place is looked at in a row, and how long it runs
/// in between: so long, twice as long, …
const LOOKS_IN_A_ROW: u32 = 8;
const BETWEEN_LOOKS: Duration = Duration::from_micros(20);
/// A thread that seldom has a processor is looked at no less often than so, if that takes no
/// longer than so many times the time given.
const FEWEST_LOOKS: u32 = 500;
const LONGEST_SEARCH: u32 = 6;

impl Caller<'_> {
    /// Stops one thread after another, the least noticeable first, until `launch`
    /// could use one. Each try has a [`Tracer`] of its own. Gives up after `budget`, but
    /// of a thread that seldom has a processor not before so many looks or that longer time.
    pub fn on_some_thread<T: Send>(
        &self,
        budget: Duration,
        mut launch: impl FnMut(Stopped<'_>) -> Result<T, CallError> + Send,
    ) -> Result<T, CallError> {
        let start = Instant::now();
        let mut rest = FIRST_REST;
        let mut last = CallError::ProcessGone;
        let mut looked = HashMap::new();
        let mut looks = 0;
        loop {
            let threads = choose(self.process).map_err(|_| CallError::ProcessGone)?;
            for (tid, fitness) in threads {
                // On a busy machine it would be stopped where it was before, and come no
                // further.
                let ran = self.process.run_ns(tid).filter(|_| fitness == Fitness::Running);
                if ran.is_some() && looked.get(&tid) == Some(&ran) {
                    continue;
                }
                let row = if fitness == Fitness::Running { LOOKS_IN_A_ROW } else { 1 };
                match Tracer::run(|tracer| self.look(tracer, tid, row, &mut looks, &mut launch)) {
                    Err(error) if error.is_worth_another_try() => {
                        last = error;
                        looked.insert(tid, self.process.run_ns(tid));
                    }
                    Err(_) if self.is_ending() => return Err(CallError::ProcessGone),
                    done => return done,
                }
                if is_spent(start.elapsed(), looks, budget) {
                    break;
                }
            }
            let elapsed = start.elapsed();
            match self.process.is_alive() {
                false => return Err(CallError::ProcessGone),
                true if is_spent(elapsed, looks, budget) => {
                    return Err(CallError::NoThread { looks, elapsed, last: Box::new(last) });
                }
                true => sleep(rest),
            }
            rest = (rest * 2).min(LONGEST_REST);
        }
    }

    /// Stops this thread once, for `launch` to use it.
    pub fn on_thread<T: Send>(
        &self,
        tid: Tid,
        mut launch: impl FnMut(Stopped<'_>) -> Result<T, CallError> + Send,
    ) -> Result<T, CallError> {
        Tracer::run(|tracer| launch(self.stop(tracer, tid)?))
    }

    /// Stops a thread for `launch` to use it, up to `row` times, as long as it only is in the
    /// wrong place: one that seldom has a processor would be found in too few places otherwise.
    fn look<T>(
        &self,
        tracer: &Tracer,
        tid: Tid,
        row: u32,
        looks: &mut u32,
        launch: &mut impl FnMut(Stopped<'_>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut run = BETWEEN_LOOKS;
        for _ in 1..row {
            *looks += 1;
            let stopped = self.stop(tracer, tid)?;
            let turn = Turn::after(self.process, tid);
            match launch(stopped) {
                Err(CallError::Unsuitable { why: Unsuitable::UnsafePlace, .. }) => {}
                done => return done,
            }
            turn.wait(run, STOP_DEADLINE);
            run *= 2;
        }
        *looks += 1;
        launch(self.stop(tracer, tid)?)
    }

    /// Stops a thread that lives through what it will be made to do.
    fn stop<'t>(&self, tracer: &'t Tracer, tid: Tid) -> Result<Stopped<'t>, CallError> {
        let mut stopped = Seized::new(tracer, tid)?.stop(STOP_DEADLINE)?;
        for _ in 0..SIGNAL_TRIES {
            if stopped.pending_signals()? & !stopped.signal_mask()? == 0 {
                break;
            }
            stopped = self.let_handle(stopped)?.stop(STOP_DEADLINE)?;
        }
        match seccomp::objection_of(&stopped)? {
            Some(objection) => Err(CallError::Unsuitable { tid, why: Unsuitable::Filtered(objection) }),
            None => Ok(stopped),
        }
    }

    /// Lets a thread run until its handlers have had some time. One that has little of a
    /// processor always finds the signals of a timer waiting when it is stopped.
    fn let_handle<'t>(&self, stopped: Stopped<'t>) -> Result<Seized<'t>, CallError> {
        let tid = stopped.tid();
        let start = Instant::now();
        let mut turn = Turn::after(self.process, tid);
        let (mut seized, _) = stopped.resume()?;
        let mut runs_since = None;
        while start.elapsed() < STOP_DEADLINE {
            sleep(NAP);
            let next = Turn::after(self.process, tid);
            if seized.tend()? {
                // It had stopped for a signal, and handles it in its next turn.
                (turn, runs_since) = (next, None);
            } else if turn.has_come() && runs_since.get_or_insert_with(Instant::now).elapsed() >= HANDLING {
                break;
            }
        }
        Ok(seized)
    }
}

/// Whether enough has been tried to use a thread.
fn is_spent(elapsed: Duration, looks: u32, budget: Duration) -> bool {
    let is_seldom_there = (1..FEWEST_LOOKS).contains(&looks);
    elapsed >= budget && (!is_seldom_there || elapsed >= budget * LONGEST_SEARCH)
}
