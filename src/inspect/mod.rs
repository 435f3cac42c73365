//! Looks at a process that change and stop nothing.
//!
//! ```text
//!  maps, stack pointers, malloc heaps, pymalloc arenas ─► segments (pure)
//!                            pagemap ─► resident bytes of each ─► parts of the resident set
//! ```
//!
//! What a look costs, on a 2-core machine with Linux 6.18: 18 ms for each GiB that is
//! resident in small pages, on a thread of its own, at most one part in a hundred of
//! the time. The target never waits longer for it than the walk of 2 MiB takes;
//! `smaps`, which costs the same, holds up every `mmap` of the target while it walks
//! its largest mapping (see `prof_injector::process::Pagemap`). Between the looks the
//! kernel's own counters are read, which needs no lock.

mod arenas;
mod bins;
mod category;
mod heaps;
mod look;
mod looker;
mod sum;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
pub use category::{Category, Landmarks, Segment, segments};
pub use look::{counters, look};
pub use looker::{Detail, Looker};
