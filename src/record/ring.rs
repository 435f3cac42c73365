//! The attacher's side of the shared ring: own it, drain it, take chunks back.
//!
//! Everything read from the ring is the target's word and may be nonsense: sizes
//! come from our own [`Shape`], `committed` is clamped, and a chunk's bytes are
//! copied out before anybody looks at them. Nothing that stands there is a pointer of
//! ours: see [`super::robust`].
//!
//! This file is the only one of the crate that touches shared memory.
#![expect(unsafe_code)]

use super::clock::Clock;
use super::robust;
use prof_injector::memfd;
use prof_shared::ring::{self, ChunkHeader, Header, Shape};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Bytes of one chunk that follow those drained before.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Serial number of the chunk: counts every hand-out of any chunk.
    pub chunk: u64,
    /// Where in the chunk the bytes start.
    pub offset: u32,
    /// Records, committed by the target. Empty if there is only to say that it is the last.
    pub bytes: Vec<u8>,
    /// Whether the chunk gets no more.
    pub is_last: bool,
}

/// What the target counted in the ring's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Allocations without room.
    pub allocations: u64,
    /// Frees without room.
    pub frees: u64,
    /// Events of threads without a slot.
    pub threadless: u64,
    /// Events inside a hook that was recording (signal handlers).
    pub nested: u64,
    /// Stacks cut at the root.
    pub truncated: u64,
    /// Stacks in which a frame failed its checks.
    pub unreadable: u64,
    /// Texts of code objects that were cut.
    pub texts: u64,
    /// Ticks that threads waited for room.
    pub waited_ticks: u64,
}

impl Losses {
    /// Events that are not recorded.
    pub fn events(&self) -> u64 {
        [self.allocations, self.frees, self.threadless, self.nested].into_iter().fold(0, u64::saturating_add)
    }
}

/// How eagerly [`Ring::drain`] takes what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eagerness {
    /// Leave small remainders of open chunks for later.
    Batches,
    /// Take everything that is committed.
    Everything,
}

/// An open chunk is drained in batches of at least this many bytes.
const BATCH_BYTES: u32 = 16 << 10;

/// A mapped ring that this thread owns until it dies.
pub struct Ring {
    map: memmap2::MmapRaw,
    file: File,
    shape: Shape,
    /// For each chunk, what of its present contents was drained.
    drained: Vec<Drained>,
    next_chunk: u64,
}

#[derive(Clone, Copy, Default)]
struct Drained {
    serial: u64,
    bytes: u32,
}

impl Ring {
    /// Sizes `file` (a new memfd), maps it, touches every page so that the target
    /// never has to wait for memory, and takes ownership in this thread's name.
    ///
    /// The size is sealed before the file is mapped: whoever else has the file open
    /// cannot take pages away from under the map, which would be a SIGBUS here.
    pub fn create(file: File, shape: Shape) -> io::Result<Ring> {
        file.set_len(shape.total_bytes())?;
        memfd::seal_size(&file)?;
        if file.metadata()?.len() != shape.total_bytes() {
            return Err(io::Error::other("the target changed its size"));
        }
        let map = memmap2::MmapOptions::new().populate().map_raw(&file)?;
        let drained = (0..u64::from(shape.chunk_count)).map(|serial| Drained { serial, bytes: 0 }).collect();
        let ring = Ring { map, file, shape, drained, next_chunk: shape.chunk_count.into() };
        ring.initialize()?;
        Ok(ring)
    }

    fn initialize(&self) -> io::Result<()> {
        let header = self.map.as_mut_ptr().cast::<Header>();
        // SAFETY: the map is larger than a header, page aligned, and not yet shared
        // with the target.
        unsafe {
            (&raw mut (*header).magic).write(ring::MAGIC);
            (&raw mut (*header).chunk_size).write(self.shape.chunk_size);
            (&raw mut (*header).chunk_count).write(self.shape.chunk_count);
            (*header).freed.store(1, Relaxed);
            for next in [&(*header).next.code, &(*header).next.thread, &(*header).next.process] {
                next.store(1, Relaxed);
            }
        }
        // SAFETY: `Drop` lets go of it before the map goes away.
        unsafe { robust::hold(self.owner()) }
    }

    fn owner(&self) -> &AtomicU32 {
        &self.header().owner
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    fn header(&self) -> &Header {
        // SAFETY: page-aligned shared memory of sufficient size; every field that
        // changes is atomic.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }

    fn chunk(&self, index: usize) -> &ChunkHeader {
        assert!(index < self.drained.len());
        // SAFETY: the table holds `chunk_count` headers; all their fields are atomic.
        unsafe { &*self.map.as_ptr().add(ring::TABLE_OFFSET).cast::<ChunkHeader>().add(index) }
    }

    /// Lets go of the ring: from now on every hook of every process passes through.
    pub fn silence(&self) {
        robust::let_go(self.owner());
    }

    /// Whether another prof wants the recording to end: it then holds a lock on the file.
    pub fn is_asked_back(&self) -> bool {
        match flock(&self.file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => flock(&self.file, FlockOperation::Unlock).is_err(),
            Err(error) => error == Errno::WOULDBLOCK,
        }
    }

    /// Tells the target that we look and make room, and sets its sequence clock.
    pub fn beat(&self, clock: Clock) {
        let now = self.set_clock(clock);
        self.header().heartbeat.store(now, Relaxed);
    }

    /// Sets the target's sequence clock, if it has one; what it is now.
    pub fn set_clock(&self, clock: Clock) -> u64 {
        let now = clock.now();
        if clock == Clock::Sequence {
            self.header().sequence.fetch_max(now, Relaxed);
        }
        now
    }

    /// Takes what is committed and frees the chunks that are through. Returns the
    /// number of bytes taken.
    pub fn drain(&mut self, eagerness: Eagerness, mut sink: impl FnMut(Piece)) -> usize {
        let mut total = 0;
        for index in 0..self.drained.len() {
            let (state, _) = ring::split_state(self.chunk(index).state.load(Acquire));
            if state == ring::FREE {
                continue;
            }
            if let Some(piece) = self.take(index, state, eagerness) {
                total += piece.bytes.len();
                sink(piece);
            }
            if state == ring::FULL {
                self.release(index);
            }
        }
        total
    }

    /// The bytes of a chunk since the last look, if they are worth a piece.
    fn take(&mut self, index: usize, state: u32, eagerness: Eagerness) -> Option<Piece> {
        let committed = self.chunk(index).committed.load(Acquire).min(self.shape.chunk_size);
        let drained = &mut self.drained[index];
        let len = committed.saturating_sub(drained.bytes);
        let is_last = state == ring::FULL;
        let waits = state == ring::OPEN && eagerness == Eagerness::Batches;
        let is_little = len == 0 || waits && len < BATCH_BYTES.min(self.shape.chunk_size / 4);
        // Who took the pieces before is told of the end, even if nothing came since.
        if is_little && !(is_last && drained.bytes > 0) {
            return None;
        }
        let offset = drained.bytes;
        drained.bytes += len;
        let serial = drained.serial;
        Some(Piece { chunk: serial, offset, bytes: self.copy(index, offset, len), is_last })
    }

    fn copy(&self, index: usize, offset: u32, len: u32) -> Vec<u8> {
        let start =
            self.shape.data_offset() + index as u64 * u64::from(self.shape.chunk_size) + u64::from(offset);
        let mut bytes = Vec::with_capacity(len as usize);
        // SAFETY: `offset + len` is at most a chunk's size, so the source lies in the
        // map. An honest target does not write to committed bytes; a hostile one can
        // change what is copied, which is all the same to the decoder.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.map.as_ptr().add(start as usize),
                bytes.as_mut_ptr(),
                len as usize,
            );
            bytes.set_len(len as usize);
        }
        bytes
    }

    fn release(&mut self, index: usize) {
        self.drained[index] = Drained { serial: self.next_chunk, bytes: 0 };
        self.next_chunk += 1;
        self.spoil(index);
        self.chunk(index).committed.store(0, Relaxed);
        self.chunk(index).state.store(ring::FREE, Release);
        self.header().freed.fetch_add(1, Release);
    }

    /// Makes what stands in a chunk no records any more: a target that says that the chunk is
    /// full again could have it taken for new as often as it likes.
    fn spoil(&self, index: usize) {
        let start = self.shape.data_offset() + index as u64 * u64::from(self.shape.chunk_size);
        // SAFETY: a chunk lies in the map. Who else writes there, a hostile target, can only
        // change what it says.
        unsafe { self.map.as_mut_ptr().add(start as usize).write_volatile(0) };
    }

    /// Number of chunks that nobody holds.
    pub fn free_chunks(&self) -> usize {
        (0..self.drained.len()).filter(|&i| self.chunk(i).state.load(Relaxed) == ring::FREE).count()
    }

    /// The chunks held open: index, tid and slot of each holder.
    pub fn open_chunks(&self) -> impl Iterator<Item = OpenChunk> + '_ {
        (0..self.drained.len()).filter_map(|index| {
            let chunk = self.chunk(index);
            let (state, tid) = ring::split_state(chunk.state.load(Acquire));
            let written = chunk.committed.load(Acquire) > 0;
            let (slot, pid) = (chunk.slot.load(Relaxed), chunk.pid.load(Relaxed));
            (state == ring::OPEN && written).then_some(OpenChunk { index, tid, slot, pid })
        })
    }

    /// Asks for an open chunk back; `false` if it changed hands meanwhile. Its
    /// holder may still be writing to it until it was seen outside of its hook.
    pub fn revoke(&self, chunk: OpenChunk) -> bool {
        let (open, revoked) = (ring::state(ring::OPEN, chunk.tid), ring::state(ring::REVOKED, chunk.tid));
        self.chunk(chunk.index).state.compare_exchange(open, revoked, AcqRel, Relaxed).is_ok()
    }

    /// Gives a revoked chunk to whoever needs one; its holder is known to be
    /// outside of its hook, or dead.
    pub fn reclaim(&self, chunk: OpenChunk) {
        let (revoked, full) = (ring::state(ring::REVOKED, chunk.tid), ring::state(ring::FULL, chunk.tid));
        let _hostile_target = self.chunk(chunk.index).state.compare_exchange(revoked, full, AcqRel, Relaxed);
    }

    /// What the target counted so far.
    pub fn losses(&self) -> Losses {
        let losses = &self.header().losses;
        Losses {
            allocations: losses.allocations.load(Relaxed),
            frees: losses.frees.load(Relaxed),
            threadless: losses.threadless.load(Relaxed),
            nested: losses.nested.load(Relaxed),
            truncated: losses.truncated.load(Relaxed),
            unreadable: losses.unreadable.load(Relaxed),
            texts: losses.texts.load(Relaxed),
            waited_ticks: losses.waited_ticks.load(Relaxed),
        }
    }
}

/// A chunk that a thread appends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenChunk {
    /// Index in the ring.
    pub index: usize,
    /// The holder, as the target sees it.
    pub tid: u32,
    /// The holder's slot, as the target says,
    pub slot: u32,
    /// and the pid of its process, as that sees itself.
    pub pid: u32,
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Children of the target may have the ring mapped for ever; it shall not cost
        // them memory. Their hooks pass through.
        let _stays = memfd::punch(&self.file, self.shape.data_offset(), self.shape.total_bytes());
        robust::let_go(self.owner());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prof_shared::record::ORIGIN;

    const TID: u32 = 7;

    fn ring() -> Ring {
        let file = memfd::create("prof-test").expect("memory files can be made");
        Ring::create(file, Shape::new(Shape::MIN_BYTES)).expect("a new memory file")
    }

    fn drain(ring: &mut Ring) -> Vec<(u64, u32, usize, bool)> {
        let mut pieces = Vec::new();
        ring.drain(Eagerness::Everything, |p| pieces.push((p.chunk, p.offset, p.bytes.len(), p.is_last)));
        pieces
    }

    fn set(ring: &Ring, index: usize, state: u32, committed: u32) {
        ring.chunk(index).committed.store(committed, Relaxed);
        ring.chunk(index).state.store(ring::state(state, TID), Release);
    }

    #[test]
    fn the_last_piece_of_a_chunk_is_told_even_if_it_is_empty() {
        let mut ring = ring();
        set(&ring, 3, ring::OPEN, 100);
        assert_eq!(drain(&mut ring), [(3, 0, 100, false)]);
        set(&ring, 3, ring::FULL, 100);
        assert_eq!(drain(&mut ring), [(3, 100, 0, true)]);
        set(&ring, 3, ring::FULL, 10);
        assert_eq!(drain(&mut ring), [(256, 0, 10, true)], "the next has a serial of its own");
    }

    #[test]
    fn a_chunk_is_taken_for_new_once() {
        let mut ring = ring();
        let at = ring.shape.data_offset() as usize + 3 * ring.shape.chunk_size as usize;
        // SAFETY: within the map.
        unsafe { ring.map.as_mut_ptr().add(at).write(ORIGIN) };
        let mut tags = Vec::new();
        for _ in 0..2 {
            set(&ring, 3, ring::FULL, 100);
            ring.drain(Eagerness::Everything, |piece| tags.push(piece.bytes[0]));
        }
        assert_eq!(tags, [ORIGIN, 0]);
    }

    #[test]
    fn counts_that_lie_stay_in_their_chunk() {
        let mut ring = ring();
        let size = ring.shape.chunk_size;
        for (committed, expected) in [(u32::MAX, vec![(0, 0, 1024, false)]), (5, vec![]), (size, vec![])] {
            set(&ring, 0, ring::OPEN, committed);
            assert_eq!(drain(&mut ring), expected, "{committed}");
        }
    }

    #[test]
    fn a_lock_asks_it_back() {
        use std::os::fd::AsRawFd;
        let ring = ring();
        assert!(!ring.is_asked_back() && !ring.is_asked_back());
        let path = format!("/proc/self/fd/{}", ring.file.as_raw_fd());
        let other = File::open(path).expect("the file is there");
        flock(&other, FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
        assert!(ring.is_asked_back());
        drop(other);
        assert!(!ring.is_asked_back());
    }

    #[test]
    fn its_size_is_sealed() {
        let ring = ring();
        assert!(ring.file.set_len(0).is_err() && ring.file.set_len(1 << 30).is_err());
    }

    #[test]
    fn another_size_is_refused() {
        let file = memfd::create("prof-test").expect("memory files can be made");
        memfd::seal_size(&file).expect("its seals are open");
        assert!(Ring::create(file, Shape::new(Shape::MIN_BYTES)).is_err());
    }
}
