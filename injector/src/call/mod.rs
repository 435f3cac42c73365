//! Calls in a foreign process, made by one of its own threads.
//!
//! ```text
//!  stop a thread ── read it ── write frames ── set registers ── let go ── look for the result
//!                              └ dead stack ┘  └ the one step that changes the thread
//! ```
//!
//! A [`Caller`] makes raw system calls ([`Caller::run_raw`]) by a chain of forged
//! signal frames on the thread's own stack, and runs programs of the region
//! ([`Caller::run_program`]) on the stub's stack. Either way the thread restores
//! itself, nobody has to be there, and this process may die after any step: up to
//! the registers only dead stack was written, and they bring everything else.
//!
//! What is not promised: a thread that waited in a call with a relative time
//! limit returns EINTR, as after a signal handler; a socket wait with a timeout
//! (`SO_RCVTIMEO`) does so already because of the stop.

mod flight;
mod forge;
mod held;
mod program;
mod raw;
mod saved;
mod search;
mod turn;

use crate::failpoint::ToldToFail;
use crate::process::{Activity, Maps, Memory, Module, Process, Tid, is_late};
use crate::tracee::{MemoryWriter, Pause, TraceError, fetch_own_code};
use std::io;
use std::time::Duration;

pub use flight::{Flight, ProgramFlight};
pub use held::Held;
pub use raw::RawCall;
pub use saved::Unsuitable;

use forge::Forge;

/// How long a process may take from the loss of its memory or threads to its end.
const DYING: Duration = Duration::from_millis(5);

/// Why a call was not made, or is not known to have ended.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A thread could not be stopped.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The thread was let go unchanged: another thread or moment may do.
    #[error("thread {tid} cannot be used now: {why}")]
    Unsuitable {
        /// The thread.
        tid: Tid,
        /// What is in the way.
        why: Unsuitable,
    },
    /// No thread could be used within the time given.
    #[error("no thread could be used at {looks} looks within {elapsed:.1?}; the last one: {last}")]
    NoThread {
        /// How many looks were taken.
        looks: u32,
        /// How long that took.
        elapsed: Duration,
        /// Why the last one could not.
        last: Box<CallError>,
    },
    /// No code of the process makes a system call and returns.
    #[error("no system call instruction was found in the process's libraries")]
    NoSystemCall,
    /// A call of a function needs `__errno_location`, which no module defines.
    #[error("no module defines __errno_location, so errno could not be kept")]
    NoErrno,
    /// More steps or text than a program holds.
    #[error("a program of {steps} steps and {text_bytes} bytes of text does not fit")]
    TooLong {
        /// Steps asked for.
        steps: usize,
        /// Bytes of text asked for.
        text_bytes: usize,
    },
    /// The region's stub has not ended an earlier program.
    #[error("an earlier program has not ended")]
    Busy,
    /// Memory of the process could not be read or written.
    #[error("{what}: {source}")]
    Memory {
        /// What was done.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The call was begun and has not ended. It will, or not; nothing is forced.
    #[error("thread {tid} has not come back within {deadline:?} ({activity:?})")]
    Unfinished {
        /// The thread.
        tid: Tid,
        /// How long was waited.
        deadline: Duration,
        /// What the thread does.
        activity: Option<Activity>,
    },
    /// The process ended or executed another program.
    #[error("the process is gone")]
    ProcessGone,
    /// A test asked for it.
    #[error(transparent)]
    ToldToFail(#[from] ToldToFail),
}

impl CallError {
    /// Whether the thread was left as it was, so that another may be tried.
    pub fn is_worth_another_try(&self) -> bool {
        match self {
            CallError::Unsuitable { .. } | CallError::Trace(_) => true,
            CallError::Memory { source, .. } => is_late(source),
            _ => false,
        }
    }
}

/// Makes calls in one process.
pub struct Caller<'p> {
    process: &'p Process,
    forge: Forge,
    writer: MemoryWriter,
    errno_location: Option<u64>,
}

impl<'p> Caller<'p> {
    /// Prepares calls in `process`. Nothing is changed.
    pub fn new(process: &'p Process, maps: &Maps, modules: &[Module]) -> Result<Caller<'p>, CallError> {
        // Without it all works, but a thread may be held for longer.
        let _stays_on_disk = fetch_own_code();
        let writer = MemoryWriter::open(process);
        let writer = writer.map_err(|source| CallError::Memory { what: "opening memory", source })?;
        let forge = Forge::find(&process.memory(), maps).ok_or(CallError::NoSystemCall)?;
        let errno = modules.iter().find_map(|module| module.symbol("__errno_location"));
        Ok(Caller { process, forge, writer, errno_location: errno.map(|symbol| symbol.addr) })
    }

    /// The process.
    pub fn process(&self) -> &'p Process {
        self.process
    }

    /// Its memory, for writing.
    pub fn writer(&self) -> &MemoryWriter {
        &self.writer
    }

    /// Whether the memory that this was prepared for is no more: the process has ended, or
    /// executes another program.
    pub fn is_image_gone(&self) -> bool {
        self.writer.is_gone()
    }

    /// Whether the process has ended or is just about to.
    fn is_ending(&self) -> bool {
        self.process.wait_exit(DYING).unwrap_or(true)
    }

    fn memory(&self) -> Memory {
        self.process.memory()
    }

    /// Makes `calls` on some thread and waits for their end, `budget` for each.
    pub fn call_raw(&self, calls: &[RawCall], budget: Duration) -> Result<Pause, CallError> {
        // Read before the stop: with many mappings it takes long.
        let maps = self.process.maps().map_err(|_| CallError::ProcessGone)?;
        let flight = self.on_some_thread(budget, |stopped| self.run_raw(stopped, &maps, calls))?;
        self.land(flight, budget)
    }
}
