//! The oracle that says whether a stopped thread may be made to call `dlopen`.
//!
//! A libc call in a hijacked thread is only right when no frame of that thread is
//! inside malloc, the loader, thread start and exit, fork, or a signal handler:
//! all of these change state that `dlopen` meets again, much of it without a lock
//! (glibc's tcache), so looking at locks proves nothing. Two witnesses are heard:
//!
//! ```text
//!                    walk by unwind rules            conservative scan
//!   sees             the frames there are            every word that might be one
//!   fails by         missing or wrong rules          stale words of earlier calls
//!
//!   walk \ scan      clean              dirty
//!   forbidden frame  Unsafe             Unsafe
//!   complete         Safe               Unproven, Safe if stale words are accepted
//!   incomplete       Safe, if the stack is a normal one, seen to its end        Unsafe
//! ```
//!
//! What this does not look at: other threads (one may hold a lock that `dlopen`
//! waits for; it must be left running) and the thread's signal mask. glibc masks
//! every signal while it starts and ends a thread; the caller passes over such.
//!
//! Nothing is stopped or changed here, and no file is opened while the thread is
//! stopped: [`Forbidden`] is made before.

use crate::process::Module;
use std::ops::Range;

mod call;
mod forbidden;
mod glibc;
mod judge;
mod loader;
mod stack;

#[cfg(test)]
mod tests;

pub use forbidden::Forbidden;
pub use judge::{Look, Reason, Unsure, Verdict};
pub use loader::{Loader, find_dlopen};

/// Where the code of libc's own allocator lies.
pub fn allocator_text(modules: &[Module]) -> Option<Range<u64>> {
    modules.iter().find(|module| glibc::is_libc(module)).and_then(glibc::malloc_range)
}

/// Why the forbidden code of a process cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No module is glibc: what would be unsafe there is not known.
    #[error("the process has no glibc")]
    NoGlibc,
    /// glibc's allocator exports nothing at all.
    #[error("{0} does not tell where its malloc is")]
    NoMalloc(std::path::PathBuf),
    /// The loader was not found among the modules.
    #[error("the process has no dynamic loader")]
    NoLoader,
    /// A module's program headers are damaged.
    #[error("{path} cannot be read: {error}")]
    Damaged {
        /// The module.
        path: std::path::PathBuf,
        /// What goblin says.
        error: goblin::error::Error,
    },
}
