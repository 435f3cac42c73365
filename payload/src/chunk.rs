//! The running thread's open chunk: room in it, and how it changes.
//!
//! A thread appends behind `written` and publishes by a release store of
//! `committed`. The last eighth of a chunk is kept for frees: when no chunk is
//! free, allocations are dropped first, for a lost free looks like a leak.

use crate::machine;
use crate::memory::load;
use crate::thread;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::compiler_fence;
use prof_shared::record::{Encoder, LOST_MAX, ORIGIN_MAX};
use prof_shared::region::{ABSENT, GATE, HEADER, Region, ThreadSlot};
use prof_shared::ring::{self, ChunkHeader, Header};

/// A single event waits for a free chunk at most so long: a second / 512.
const WAIT_SHARE: u64 = 512;

/// What a record is for; decides how hard room is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Allocation,
    Free,
}

/// The ring's header.
#[inline(always)]
pub fn header(region: &Region) -> &'static Header {
    // SAFETY: the attacher mapped the ring before it let any hook run, and unmaps it
    // only when no thread is inside.
    unsafe { &*(region.ring as *const Header) }
}

#[inline(always)]
fn chunk_header(region: &Region, index: u32) -> &'static ChunkHeader {
    let table = region.ring + ring::TABLE_OFFSET as u64;
    // SAFETY: as for `header`; the index is below `chunk_count`, which is private.
    unsafe { &*(table as *const ChunkHeader).add(index as usize) }
}

/// The most bytes that one record can take.
pub fn largest_record(region: &Region) -> u32 {
    region.chunk_size - region.chunk_size / 8 - (ORIGIN_MAX + LOST_MAX) as u32
}

/// Room for a record of `need` bytes, in this chunk or a new one; a new one makes
/// the thread's wire state empty. `None`: no room, the event is to be dropped.
#[inline(always)]
pub fn reserve(region: &Region, slot: &ThreadSlot, need: u32, purpose: Purpose) -> Option<()> {
    let current = slot.chunk.get();
    if current != ABSENT && slot.lost_allocations.get() | slot.lost_frees.get() == 0 {
        let held = chunk_header(region, current).state.load(Relaxed);
        let end = slot.written.get() + need;
        if held == ring::state(ring::OPEN, slot.owner.load(Relaxed))
            && end <= region.chunk_size - region.chunk_size / 8
        {
            return Some(());
        }
    }
    renew(region, slot, need, purpose)
}

#[cold]
#[inline(never)]
fn renew(region: &Region, slot: &ThreadSlot, need: u32, purpose: Purpose) -> Option<()> {
    let tid = slot.owner.load(Relaxed);
    let current = slot.chunk.get();
    let held = current != ABSENT
        && chunk_header(region, current).state.load(Relaxed) == ring::state(ring::OPEN, tid);
    if !held {
        slot.chunk.set(ABSENT);
    }
    let lost = slot.lost_allocations.get() | slot.lost_frees.get() != 0;
    let need = need + if lost { LOST_MAX as u32 } else { 0 };
    let fits = |limit: u32| held && slot.written.get() + need <= limit;
    if !fits(region.chunk_size - region.chunk_size / 8) {
        match take(region, slot, tid) {
            Some(taken) => {
                if held {
                    hand_over(region, current, tid);
                }
                begin(slot, taken);
                origin(region, slot, tid);
            }
            None if purpose == Purpose::Free && fits(region.chunk_size) => {}
            None => return None,
        }
    }
    if lost {
        report_losses(region, slot);
    }
    Some(())
}

/// Finds a free chunk, within the budget for waiting.
fn take(region: &Region, slot: &ThreadSlot, tid: u32) -> Option<u32> {
    if let Some(index) = search(region, slot, tid) {
        return Some(index);
    }
    let now = || machine::tick(region, header(region), machine::stamp_before);
    let start = now();
    let mut waited = 0;
    let mut found = None;
    let allowed = allowance(region, start);
    while found.is_none() && waited < allowed {
        core::hint::spin_loop();
        found = search(region, slot, tid);
        waited = now().saturating_sub(start);
    }
    region.wait_spent.fetch_add(waited, Relaxed);
    header(region).losses.waited_ticks.fetch_add(waited, Relaxed);
    found
}

/// How many ticks this event may wait: none once the second's budget is spent or
/// the attacher has not looked for a second.
fn allowance(region: &Region, now: u64) -> u64 {
    let ring = header(region);
    if now.saturating_sub(ring.heartbeat.load(Relaxed)) > region.ticks_per_second {
        return 0;
    }
    if now.saturating_sub(region.wait_window.load(Relaxed)) > region.ticks_per_second {
        region.wait_window.store(now, Relaxed);
        region.wait_spent.store(0, Relaxed);
    }
    let left = region.wait_budget_ticks.saturating_sub(region.wait_spent.load(Relaxed));
    left.min(region.ticks_per_second / WAIT_SHARE)
}

/// One round over the chunk headers.
fn search(region: &Region, slot: &ThreadSlot, tid: u32) -> Option<u32> {
    let ring = header(region);
    if !has_owner(region) {
        return None;
    }
    let cursor = ring.cursor.load(Relaxed);
    let start = if cursor < region.chunk_count { cursor } else { 0 };
    for index in (start..region.chunk_count).chain(0..start) {
        let chunk = chunk_header(region, index);
        if chunk.state.load(Relaxed) == ring::FREE
            && chunk.state.compare_exchange(ring::FREE, ring::state(ring::OPEN, tid), AcqRel, Relaxed).is_ok()
        {
            ring.cursor.store(index.wrapping_add(1), Relaxed);
            chunk.slot.store(thread::index(region, slot), Relaxed);
            return Some(index);
        }
    }
    None
}

/// Lets the attacher have a chunk, if its holder still was `tid`.
pub fn hand_over(region: &Region, index: u32, tid: u32) {
    if index < region.chunk_count {
        let _changed_hands = chunk_header(region, index).state.compare_exchange(
            ring::state(ring::OPEN, tid),
            ring::state(ring::FULL, tid),
            AcqRel,
            Relaxed,
        );
    }
}

fn begin(slot: &ThreadSlot, index: u32) {
    slot.chunk.set(index);
    slot.written.set(0);
    slot.sent.set(0);
    slot.wire_depth.set(0);
    slot.wire_truncated.set(0);
}

fn origin(region: &Region, slot: &ThreadSlot, tid: u32) {
    // The chunk may be taken after the event's first moment: start its clock there.
    let ticks = slot.began.get();
    let sequence = slot.chunks.get();
    slot.chunks.set(sequence + 1);
    append(region, slot, |encoder| encoder.origin(slot.serial.get(), tid, sequence, ticks));
}

fn report_losses(region: &Region, slot: &ThreadSlot) {
    append(region, slot, |encoder| encoder.lost(slot.lost_allocations.get(), slot.lost_frees.get()));
    slot.lost_allocations.set(0);
    slot.lost_frees.set(0);
}

/// Writes behind `written`, without publishing. Room has been reserved.
#[inline(always)]
pub fn append(region: &Region, slot: &ThreadSlot, write: impl FnOnce(&mut Encoder)) {
    let (index, written) = (slot.chunk.get(), slot.written.get());
    // Reserved before; a handler that came between and gave the chunk up cannot lead
    // outside of the ring.
    if index >= region.chunk_count || written > region.chunk_size {
        return;
    }
    let start = region.ring + region.ring_data + u64::from(index) * u64::from(region.chunk_size);
    let room = (region.chunk_size - written) as usize;
    // SAFETY: the chunk belongs to this thread, `written` is below its size, and
    // nobody else writes to it; the attacher reads only what is committed.
    let out = unsafe { core::slice::from_raw_parts_mut((start + u64::from(written)) as *mut u8, room) };
    let mut delta = slot.delta.get();
    let mut encoder = Encoder::new(out, &mut delta);
    write(&mut encoder);
    let len = encoder.len() as u32;
    slot.delta.set(delta);
    slot.written.set(written + len);
}

/// Whether recording is on: the gate, and an attacher that lives.
#[inline(always)]
pub fn is_open(region: &Region) -> bool {
    is_open_at(core::ptr::from_ref(region) as u64)
}

/// The same, for a region that may be incomplete.
#[inline(always)]
pub fn is_open_at(region: u64) -> bool {
    // SAFETY: the gate page and the header are parts of one mapping.
    let gate = unsafe { load::<u8>(region - HEADER + GATE) };
    // SAFETY: with the gate open the region is complete and the ring is mapped.
    gate != 0 && has_owner(unsafe { &*(region as *const Region) })
}

/// Publishes everything written, unless this is a child, forked in the middle of a
/// hook: the chunk is its parent's.
#[inline(always)]
pub fn publish(region: &Region, slot: &ThreadSlot) -> Option<()> {
    compiler_fence(SeqCst);
    is_open(region).then(|| commit(region, slot))
}

/// Publishes everything written.
#[inline(always)]
pub fn commit(region: &Region, slot: &ThreadSlot) {
    let index = slot.chunk.get();
    if index < region.chunk_count {
        chunk_header(region, index).committed.store(slot.written.get(), Release);
    }
}

/// Counts an event that found no room.
#[cold]
pub fn lose(region: &Region, slot: &ThreadSlot, purpose: Purpose) {
    let losses = &header(region).losses;
    let (total, own) = match purpose {
        Purpose::Allocation => (&losses.allocations, &slot.lost_allocations),
        Purpose::Free => (&losses.frees, &slot.lost_frees),
    };
    total.fetch_add(1, Relaxed);
    own.set(own.get() + 1);
}

/// Whether an attacher holds the ring: not one that died, which the kernel marks,
/// nor one that let go of it (0).
#[inline(always)]
fn has_owner(region: &Region) -> bool {
    header(region).owner.load(Acquire).wrapping_sub(1) < ring::OWNER_DIED - 1
}
