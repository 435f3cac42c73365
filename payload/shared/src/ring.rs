//! The shared ring: a header, a table of chunk headers, and the chunks.
//!
//! ```text
//!  0        4096                 data_offset
//!  | Header | ChunkHeader × n … | chunk 0 | chunk 1 | …
//!
//!  chunk state, and who moves it:
//!
//!    FREE ──thread──► OPEN ───────thread──────► FULL ──attacher──► FREE
//!                      └─attacher─► REVOKED ─attacher─┘
//! ```
//!
//! A thread appends to the one chunk that it holds open and publishes each
//! record by a release store of `committed`. The attacher reads up to
//! `committed` at any time, also of open chunks. A state word carries the tid of
//! its holder, so that nobody frees a chunk which has changed hands.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// First word of a ring.
pub const MAGIC: u64 = u64::from_le_bytes(*b"profring");
/// Where the table of chunk headers starts.
pub const TABLE_OFFSET: usize = 4096;
/// The kernel sets this bit in [`Header::owner`] when the attacher's thread has died.
pub const OWNER_DIED: u32 = 0x4000_0000;

/// Nobody holds the chunk.
pub const FREE: u32 = 0;
/// A thread appends to it.
pub const OPEN: u32 = 1;
/// The thread went on to another chunk.
pub const FULL: u32 = 2;
/// The attacher wants it back.
pub const REVOKED: u32 = 3;

/// The state word of a chunk.
#[inline(always)]
pub const fn state(state: u32, tid: u32) -> u32 {
    tid << 2 | state
}

/// State and tid of a state word.
pub const fn split_state(word: u32) -> (u32, u32) {
    (word & 3, word >> 2)
}

/// The ring's first page. `owner` lies on a cache line that nobody writes while
/// recording, so reading it costs nothing.
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// Bytes a chunk.
    pub chunk_size: u32,
    /// Number of chunks.
    pub chunk_count: u32,
    pad: [u64; 6],
    /// The tid of the attacher's thread, a futex on its robust list.
    pub owner: AtomicU32,
    owner_rest: [u32; 15],
    /// Ticks at the attacher's latest look at the ring.
    pub heartbeat: AtomicU64,
    /// Raised by the attacher after each chunk that it has freed; never 0.
    pub freed: AtomicU64,
    heartbeat_rest: [u64; 6],
    /// Where to look for a free chunk next.
    pub cursor: AtomicU32,
    cursor_pad: u32,
    /// What [`Header::freed`] was before the latest search that found no chunk: while it is
    /// the same, no search is needed.
    pub exhausted: AtomicU64,
    cursor_rest: [u32; 12],
    /// Where the processors' clocks cannot be trusted: the time in ns, as the attacher
    /// sets it every few ms, plus one for each moment asked for since.
    pub sequence: AtomicU64,
    sequence_rest: [u64; 7],
    /// What was dropped or cut, in total.
    pub losses: Losses,
    /// What to give out next, to whichever process.
    pub next: Next,
}

/// Numbers that are given out once, in all processes that share the ring.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Next {
    /// The next id of a code object.
    pub code: AtomicU32,
    /// The next serial of a thread.
    pub thread: AtomicU32,
    /// The next number of a process.
    pub process: AtomicU32,
}

/// Counters that only slow paths touch.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Losses {
    /// Allocations that found no free chunk.
    pub allocations: AtomicU64,
    /// Frees that found no free chunk.
    pub frees: AtomicU64,
    /// Events of threads that found no slot in the thread table.
    pub threadless: AtomicU64,
    /// Events inside another event of the same thread that were not its doing (signal handlers).
    pub nested: AtomicU64,
    /// Stacks cut at the root.
    pub truncated: AtomicU64,
    /// Stacks that could not be read (a frame failed its checks).
    pub unreadable: AtomicU64,
    /// Texts of code objects that were too long to be sent whole.
    pub texts: AtomicU64,
    /// Ticks that threads spent waiting for a free chunk.
    pub waited_ticks: AtomicU64,
}

/// One chunk's header, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Default)]
pub struct ChunkHeader {
    /// See [`state`].
    pub state: AtomicU32,
    /// Bytes of the chunk that may be read.
    pub committed: AtomicU32,
    /// The holder's slot in the thread table,
    pub slot: AtomicU32,
    /// of the process with this pid, as it sees itself.
    pub pid: AtomicU32,
}

/// Sizes of a ring, derived from the size asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes a chunk.
    pub chunk_size: u32,
    /// Number of chunks.
    pub chunk_count: u32,
}

impl Shape {
    /// The smallest ring.
    pub const MIN_BYTES: u64 = 256 << 10;
    /// The largest ring.
    pub const MAX_BYTES: u64 = 16 << 30;

    /// The ring for `bytes` of chunks: each min(64 KiB, bytes / 256).
    pub const fn new(bytes: u64) -> Shape {
        let chunk_size = if bytes / 256 < 64 << 10 { (bytes / 256) & !63 } else { 64 << 10 };
        Shape { chunk_size: chunk_size as u32, chunk_count: (bytes / chunk_size) as u32 }
    }

    /// Where the chunks start.
    pub const fn data_offset(self) -> u64 {
        let table = self.chunk_count as u64 * size_of::<ChunkHeader>() as u64;
        (TABLE_OFFSET as u64 + table).next_multiple_of(4096)
    }

    /// Bytes of the whole mapping.
    pub const fn total_bytes(self) -> u64 {
        (self.data_offset() + self.chunk_count as u64 * self.chunk_size as u64).next_multiple_of(4096)
    }
}

const _: () = assert!(size_of::<Header>() <= TABLE_OFFSET);
const _: () = assert!(size_of::<ChunkHeader>() == 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let default = Shape::new(32 << 20);
        assert_eq!(default, Shape { chunk_size: 64 << 10, chunk_count: 512 });
        assert_eq!(default.data_offset(), 4096 + 512 * 64);
        assert_eq!(Shape::new(Shape::MIN_BYTES), Shape { chunk_size: 1024, chunk_count: 256 });
    }
}
