//! One thing that happened to the target's memory, at one moment.

use super::{Addr, Kind, ProcessId, StackId, ThreadSerial, Tick, Tid};

/// What a thread did, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The moment: before the call for what ends, after it for what begins.
    pub at: Tick,
    /// Where.
    pub process: ProcessId,
    /// Who.
    pub thread: ThreadSerial,
    /// The kernel's name for who.
    pub tid: Tid,
    /// From where; [`StackId::EMPTY`] where no Python ran, and for what only ends memory.
    pub stack: StackId,
    /// What.
    pub what: What,
}

/// What happened. A call that ends one block and begins another happens twice:
///
/// ```text
///   before the call           after the call
///   ReallocBegin (old ends)   Realloc (new begins)
///   MremapBegin  (old ends)   Mremap  (new begins)
/// ```
///
/// The second carries the whole call; the first only what ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `malloc`, `calloc`, `mmap` and others that only make.
    Alloc {
        /// By which function.
        kind: Kind,
        /// The new block.
        addr: Addr,
        /// Bytes asked for.
        size: u64,
    },
    /// A block is given back.
    Free {
        /// By which function.
        kind: Kind,
        /// The block.
        addr: Addr,
    },
    /// The old block of a `realloc` that will succeed ends. It is not null.
    ReallocBegin {
        /// The old block.
        old_addr: Addr,
    },
    /// One of the `realloc` functions returned a block.
    Realloc {
        /// By which function.
        kind: Kind,
        /// The old block, null if none.
        old_addr: Addr,
        /// The new block, null if the call freed.
        addr: Addr,
        /// Bytes asked for.
        size: u64,
    },
    /// The old mapping of an `mremap` that will succeed ends, unless the flags keep it.
    MremapBegin {
        /// Where it was.
        old_addr: Addr,
        /// Its old length in bytes.
        old_size: u64,
        /// `MREMAP_*`.
        flags: u32,
    },
    /// `mremap` returned a mapping.
    Mremap {
        /// Where it was.
        old_addr: Addr,
        /// Its old length in bytes.
        old_size: u64,
        /// Where it is.
        addr: Addr,
        /// Its length in bytes.
        size: u64,
        /// `MREMAP_*`.
        flags: u32,
    },
    /// `munmap`.
    Munmap {
        /// First byte.
        addr: Addr,
        /// Bytes.
        size: u64,
    },
    /// The process has ended, or executes another program: all its memory is gone. Nobody
    /// records this; readers know from [`ProcessLife`](super::ProcessLife).
    ProcessEnd,
    /// This thread dropped events for want of room.
    Lost {
        /// Its last recorded event before the gap; the gap ends at [`Event::at`].
        since: Tick,
        /// Allocations dropped.
        allocations: u64,
        /// Frees dropped.
        frees: u64,
    },
    /// From now on only samples of this thread's blocks are recorded, mappings as ever.
    Sampling {
        /// The mean number of bytes between two samples.
        interval: u64,
    },
    /// Blocks that this thread has allocated since its previous event and that were no
    /// samples.
    Passed {
        /// How many.
        allocations: u64,
        /// Bytes asked for.
        bytes: u64,
    },
}

impl What {
    /// Whether it ends memory. Of events at one tick these come first.
    pub fn ends_memory(&self) -> bool {
        matches!(
            self,
            What::Free { .. }
                | What::ReallocBegin { .. }
                | What::MremapBegin { .. }
                | What::Munmap { .. }
                | What::ProcessEnd
        )
    }

    /// The new memory, if it begins any: kind, address, bytes.
    pub fn begins(&self) -> Option<(Kind, Addr, u64)> {
        match *self {
            What::Alloc { kind, addr, size } => Some((kind, addr, size)),
            What::Realloc { kind, addr, size, .. } if addr.0 != 0 => Some((kind, addr, size)),
            What::Mremap { addr, size, .. } => Some((Kind::Mremap, addr, size)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_fits_a_cache_line() {
        assert!(size_of::<Event>() <= 64, "{}", size_of::<Event>());
    }
}
