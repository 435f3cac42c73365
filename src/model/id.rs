//! Numbers that must not be mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A thread within a recording; never reused, unlike its [`Tid`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreadSerial(pub u32);

/// A process of a recording: 0 the one that it began with, others as they were forked.
/// Never reused, unlike pids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId(pub u32);

/// The kernel's id of a thread, in the target's pid namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tid(pub u32);

/// A code object within a recording; never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeId(pub u32);

/// A stack interned in a [`Stacks`](super::Stacks).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StackId(pub u32);

/// One handing-out of a ring chunk to a thread; grows with time, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkSerial(pub u64);

/// A moment in the target: its cycle counter, shifted right by [`Clock::shift`](super::Clock::shift).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tick(pub u64);

/// An address in the target. That of a forked child's memory has the process in its upper
/// bits, so that addresses of different processes differ: see [`ProcessId::addr`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub u64);

impl CodeId {
    /// Stands for all frames that were cut off at the root of a stack.
    pub const TRUNCATED: CodeId = CodeId(prof_shared::record::TRUNCATED);
}

impl ProcessId {
    /// The process that the recording began with.
    pub const ROOT: ProcessId = ProcessId(0);
    /// Bits of an address of user space (with four levels of page tables).
    const SPACE_BITS: u32 = 47;

    /// The address `addr` of this process. The first process has its addresses as they are.
    pub fn addr(self, addr: u64) -> Addr {
        match self {
            ProcessId::ROOT => Addr(addr),
            ProcessId(number) => {
                let upper = u64::from(number) << ProcessId::SPACE_BITS;
                Addr(upper | addr & ((1 << ProcessId::SPACE_BITS) - 1))
            }
        }
    }

    /// The inverse of [`ProcessId::addr`].
    pub fn own_addr(self, addr: Addr) -> Addr {
        match self {
            ProcessId::ROOT => addr,
            _ => Addr(addr.0 & ((1 << ProcessId::SPACE_BITS) - 1)),
        }
    }

    /// All its addresses. Beyond 131,071 processes they come again: of processes that have
    /// ended long before.
    pub fn space(self) -> std::ops::Range<u64> {
        let start = self.addr(0).0;
        start..start.saturating_add(1 << ProcessId::SPACE_BITS)
    }
}

impl StackId {
    /// The stack without frames.
    pub const EMPTY: StackId = StackId(0);
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_processes_differ() {
        let (root, second, last) = (ProcessId::ROOT, ProcessId(2), ProcessId(u32::MAX));
        let addr = 0x7fff_1234_5678;
        assert_eq!([root, second].map(|process| process.addr(addr).0), [addr, 2 << 47 | addr]);
        for process in [root, second, last] {
            assert_eq!(process.own_addr(process.addr(addr)), Addr(addr));
            assert!(process.space().contains(&process.addr(addr).0));
        }
        assert!(!second.space().contains(&addr) && !root.space().contains(&second.addr(0).0));
    }
}
