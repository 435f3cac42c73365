//! Threads of another process, stopped and let go: ptrace as consumed states.
//!
//! ```text
//!  Tracer::run(|tracer| …)                 a thread of ours, made to be thrown away
//!      Seized::new(tracer, tid)            traced, running
//!      ──stop(deadline)──► Stopped         registers can be read and set
//!      ◄────resume()──────                 traced, running
//!      ──detach()────────► Pause           as if nothing had been
//! ```
//!
//! An operation that moves a thread on takes the old state and gives the new
//! one, so nothing is resumed twice. Dropping either state detaches.
//!
//! Death of the tracer is safe at every instant: `PTRACE_SEIZE` sets no option,
//! so the kernel lets go of a thread when the one that traces it exits. That is
//! also the way out where ptrace has none: a thread in uninterruptible sleep (a
//! parent in `vfork`) neither stops nor can be detached, and would stop for good
//! later. Hence [`Tracer::run`]: its thread's end releases whatever is left.

mod choose;
mod request;
mod resident;
mod seized;
pub mod sentry;
mod startup;
mod stopped;
mod writer;

use crate::process::Tid;
use std::cell::Cell;
use std::fs;
use std::marker::PhantomData;
use std::panic;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub use choose::{Fitness, choose};
pub use request::{RseqArea, take_precedence, wait_end};
pub use resident::fetch_own_code;
pub use seized::Seized;
pub use startup::{Call, Startup, Step};
pub use stopped::Stopped;
pub use writer::MemoryWriter;

/// How long a thread was kept from running, from the last look that did not
/// find it stopped (so rather too long than too short) to its release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pause(pub Duration);

/// The longest pause that this process has caused so far, in ns.
static LONGEST_NS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The same of this thread, and of those that trace for it.
    static OWN_LONGEST_NS: Cell<u64> = const { Cell::new(0) };
}

impl Pause {
    /// The longest that this process has caused to any thread, those included that
    /// were stopped only to be found unfit.
    pub fn longest() -> Pause {
        Pause(Duration::from_nanos(LONGEST_NS.load(Relaxed)))
    }

    /// The same of those that the calling thread has caused.
    pub fn longest_by_this_thread() -> Pause {
        Pause(Duration::from_nanos(OWN_LONGEST_NS.get()))
    }

    /// Takes note of one that ends now.
    fn since(start: Instant) -> Pause {
        let pause = Pause(start.elapsed());
        LONGEST_NS.fetch_max(pause.0.as_nanos() as u64, Relaxed);
        pause.count_here();
        pause
    }

    /// Counts it among those of the calling thread.
    fn count_here(self) {
        OWN_LONGEST_NS.set(OWN_LONGEST_NS.get().max(self.0.as_nanos() as u64));
    }
}

/// Why a thread could not be stopped or used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It has exited.
    #[error("thread {0} is gone")]
    Gone(Tid),
    /// Another tracer has it, or we may not trace it.
    #[error("thread {0} cannot be traced: another tracer has it, or permission is missing")]
    Refused(Tid),
    /// It is stopped by job control, and stays so.
    #[error("thread {0} is stopped by job control")]
    GroupStopped(Tid),
    /// It did not stop in time: uninterruptible, or starved of processor time.
    #[error("thread {tid} did not stop within {deadline:?}")]
    Deadline {
        /// The thread.
        tid: Tid,
        /// How long was waited.
        deadline: Duration,
    },
    /// A request failed for another reason.
    #[error("{request} on thread {tid}: {errno}")]
    Request {
        /// The ptrace request.
        request: &'static str,
        /// The thread.
        tid: Tid,
        /// What the kernel said.
        errno: nix::errno::Errno,
    },
}

/// Stands for the thread that traces: ptrace takes requests from no other one.
pub struct Tracer {
    not_send: PhantomData<*const ()>,
}

impl Tracer {
    /// Runs `work` on a thread of its own. When this returns, every thread that
    /// `work` seized is released, however it went.
    ///
    /// That thread has real-time priority where this is allowed: whoever holds a
    /// stop must not be preempted (load 7 on 2 processors: 99 of 100 pauses within
    /// 0.1 ms; without it 4.8 ms). So keep `work` short.
    pub fn run<T: Send>(work: impl FnOnce(&Tracer) -> T + Send) -> T {
        let _hold = sentry::Hold::new();
        let (own_tid, result, longest) = std::thread::scope(|scope| {
            let tracing = scope.spawn(|| {
                request::hurry();
                let result = work(&Tracer { not_send: PhantomData });
                (nix::unistd::gettid(), result, Pause::longest_by_this_thread())
            });
            tracing.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
        });
        longest.count_here();
        // A joined thread has yet to pass the end of its exit, where it lets go.
        let dir = format!("/proc/self/task/{own_tid}");
        while fs::exists(&dir).unwrap_or(false) {
            std::thread::yield_now();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_of_the_thread_they_were_caused_for() {
        const LONG: Duration = Duration::from_secs(3600);
        let own = |seconds| {
            let cause = move || {
                Tracer::run(|_| Pause::since(Instant::now() - Duration::from_secs(seconds)));
                Pause::longest_by_this_thread()
            };
            std::thread::spawn(cause).join().expect("it does not panic").0
        };
        assert!(own(3600) >= LONG && own(1) < LONG);
        assert!(Pause::longest().0 >= LONG);
        assert!(Pause::longest_by_this_thread().0 < LONG);
    }
}
