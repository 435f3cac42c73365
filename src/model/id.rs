//! Numbers that must not be mixed up.

use std::fmt;

/// A thread within a recording; never reused, unlike its [`Tid`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadSerial(pub u32);

/// The kernel's id of a thread, in the target's pid namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u32);

/// A code object within a recording; never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeId(pub u32);

/// A stack interned in a [`Stacks`](super::Stacks).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub u32);

/// One handing-out of a ring chunk to a thread; grows with time, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkSerial(pub u64);

/// A moment in the target: its cycle counter, shifted right by [`Clock::shift`](super::Clock::shift).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// An address in the target.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub u64);

impl CodeId {
    /// Stands for all frames that were cut off at the root of a stack.
    pub const TRUNCATED: CodeId = CodeId(prof_shared::record::TRUNCATED);
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
