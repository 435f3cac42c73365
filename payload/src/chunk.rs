//! The running thread's open chunk: room in it, and how it changes.
//!
//! A thread appends behind `written` and publishes by a release store of
//! `committed`. The last eighth of a chunk is kept for frees: when no chunk is
//! free, allocations are dropped first, for a lost free looks like a leak.

use crate::follow;
use crate::machine;
use crate::memory::load;
use crate::sample;
use crate::thread;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::compiler_fence;
use prof_shared::record::{Encoder, LOST_MAX, ORIGIN_MAX, SAMPLING_MAX};
use prof_shared::region::{ABSENT, GATE, HEADER, Region, ThreadSlot, wire};
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
    limit(region) - (ORIGIN_MAX + SAMPLING_MAX + LOST_MAX) as u32
}

/// What is behind this is kept for frees.
fn limit(region: &Region) -> u32 {
    region.chunk_size - region.chunk_size / 8
}

/// Whether the thread's chunk still is its own.
#[inline(always)]
fn is_held(region: &Region, slot: &ThreadSlot) -> bool {
    let (index, tid) = (slot.chunk.get(), slot.owner.load(Relaxed));
    index < region.chunk_count
        && chunk_header(region, index).state.load(Relaxed) == ring::state(ring::OPEN, tid)
}

/// Whether a record of `need` bytes can be appended as it is.
#[inline(always)]
pub fn has_room(region: &Region, slot: &ThreadSlot, need: u32) -> bool {
    slot.written.get() + need <= slot.limit.get() && is_held(region, slot)
}

/// Room for a record of `need` bytes, in this chunk or a new one; a new one makes
/// the thread's wire state empty. `None`: no room, the event is to be dropped.
#[inline(always)]
pub fn reserve(region: &Region, slot: &ThreadSlot, need: u32, purpose: Purpose) -> Option<()> {
    if has_room(region, slot, need) {
        return Some(());
    }
    renew(region, slot, need, purpose)
}

#[cold]
#[inline(never)]
fn renew(region: &Region, slot: &ThreadSlot, need: u32, purpose: Purpose) -> Option<()> {
    let (tid, current) = (slot.owner.load(Relaxed), slot.chunk.get());
    let held = is_held(region, slot);
    if !held {
        close(slot);
    }
    let lost = slot.lost_allocations.get() | slot.lost_frees.get() != 0;
    let need = need + if lost { LOST_MAX as u32 } else { 0 };
    let fits = |limit: u32| held && slot.written.get() + need <= limit;
    if !fits(limit(region)) {
        match take(region, slot, tid) {
            Some(taken) => {
                if held {
                    hand_over(region, current, tid);
                }
                begin(region, slot, taken);
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
    let granted = grant(region, start);
    if granted == 0 {
        return None;
    }
    let mut waited = 0;
    let mut found = None;
    while found.is_none() && waited < granted {
        core::hint::spin_loop();
        found = search(region, slot, tid);
        // A thread that was preempted meanwhile would have been so anywhere.
        waited = now().saturating_sub(start).min(granted);
    }
    region.wait_spent.fetch_sub(granted - waited, Relaxed);
    header(region).losses.waited_ticks.fetch_add(waited, Relaxed);
    found
}

/// How many ticks this event may wait: none once the second's budget is spent or the
/// attacher has not looked for a second. They are taken from the budget beforehand, or
/// many threads at once would each see it whole.
fn grant(region: &Region, now: u64) -> u64 {
    let ring = header(region);
    if now.saturating_sub(ring.heartbeat.load(Relaxed)) > region.ticks_per_second {
        return 0;
    }
    if now.saturating_sub(region.wait_window.load(Relaxed)) > region.ticks_per_second {
        region.wait_window.store(now, Relaxed);
        region.wait_spent.store(0, Relaxed);
    }
    let share = region.ticks_per_second / WAIT_SHARE;
    let spent = region.wait_spent.fetch_add(share, Relaxed);
    if spent.saturating_add(share) <= region.wait_budget_ticks {
        return share;
    }
    region.wait_spent.fetch_sub(share, Relaxed);
    0
}

/// One round over the chunk headers.
fn search(region: &Region, slot: &ThreadSlot, tid: u32) -> Option<u32> {
    let ring = header(region);
    if !has_owner(region) {
        return None;
    }
    // While the attacher is stopped or its disk is slow, events are to be lost cheaply.
    let freed = ring.freed.load(Acquire);
    if ring.exhausted.load(Relaxed) == freed {
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
            chunk.slot.store(thread::index(region, slot) as u32, Relaxed);
            chunk.pid.store(region.own_pid.load(Relaxed), Relaxed);
            return Some(index);
        }
    }
    ring.exhausted.store(freed, Relaxed);
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

fn begin(region: &Region, slot: &ThreadSlot, index: u32) {
    let offset = region.ring_data + u64::from(index) * u64::from(region.chunk_size);
    slot.chunk.set(index);
    slot.data.set(region.ring + offset);
    slot.limit.set(limit(region));
    for number in [&slot.written, &slot.sent, &slot.is_sent, &slot.wire_depth] {
        number.set(0);
    }
    slot.wire_truncated.set(if region.native == 0 { 0 } else { wire::NATIVE });
}

/// The thread has no chunk any more.
pub fn close(slot: &ThreadSlot) {
    slot.chunk.set(ABSENT);
    slot.data.set(0);
    slot.limit.set(0);
    slot.written.set(0);
}

fn origin(region: &Region, slot: &ThreadSlot, tid: u32) {
    // The chunk may be taken after the event's first moment: start its clock there.
    let ticks = slot.began.get();
    let sequence = slot.chunks.get();
    slot.chunks.set(sequence + 1);
    let (thread, process) = (slot.serial.get(), follow::process(region));
    append(region, slot, ORIGIN_MAX as u32, |encoder| match process.number {
        0 => encoder.origin(thread, tid, sequence, ticks),
        _ => encoder.origin_of_child(process, thread, tid, sequence, ticks),
    });
    if sample::is_on(region) {
        let interval = sample::interval(region, sample::of(region, slot));
        append(region, slot, SAMPLING_MAX as u32, |encoder| encoder.sampling(interval));
    }
}

fn report_losses(region: &Region, slot: &ThreadSlot) {
    let (allocations, frees) = (slot.lost_allocations.take(), slot.lost_frees.take());
    append(region, slot, LOST_MAX as u32, |encoder| encoder.lost(allocations.into(), frees.into()));
    slot.limit.set(limit(region));
}

/// Writes behind `written`, without publishing. Room for `need` bytes has been reserved.
#[inline(always)]
pub fn append(region: &Region, slot: &ThreadSlot, need: u32, write: impl FnOnce(&mut Encoder)) {
    let (data, written) = (slot.data.get(), slot.written.get());
    let end = u64::from(written) + u64::from(need);
    // Reserved before; a handler that came between may have given the chunk up.
    if data == 0 || end > u64::from(region.chunk_size) {
        return;
    }
    // SAFETY: the chunk belongs to this thread, `written` is not above its size, and
    // nobody else writes to it; the attacher reads only what is committed.
    let out =
        unsafe { core::slice::from_raw_parts_mut((data + u64::from(written)) as *mut u8, need as usize) };
    // SAFETY: nobody but this function looks into that cell.
    let mut encoder = Encoder::new(out, unsafe { &mut *slot.delta.as_ptr() });
    write(&mut encoder);
    slot.written.set(written + encoder.len() as u32);
}

/// Whether recording is on, for a region that may be incomplete: the gate, and an
/// attacher that lives.
#[inline(always)]
pub fn is_open_at(region: u64) -> bool {
    // SAFETY: the gate page and the header are parts of one mapping; with the gate
    // open the region is complete and the ring is mapped.
    unsafe { load::<u8>(region - HEADER + GATE) != 0 && has_owner(&*(region as *const Region)) }
}

/// Whether the gate is open: shut in a child, forked in the middle of a hook.
#[inline(always)]
pub fn is_gate_open(region: &Region) -> bool {
    // SAFETY: as above.
    unsafe { load::<u8>(core::ptr::from_ref(region) as u64 - HEADER + GATE) != 0 }
}

/// Publishes everything written, unless this is a child: the chunk is its parent's.
#[inline(always)]
pub fn publish(region: &Region, slot: &ThreadSlot) -> Option<()> {
    compiler_fence(SeqCst);
    is_gate_open(region).then(|| commit(region, slot))
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
#[inline(never)]
pub fn lose(region: &Region, slot: &ThreadSlot, purpose: Purpose) {
    let losses = &header(region).losses;
    let (total, own) = match purpose {
        Purpose::Allocation => (&losses.allocations, &slot.lost_allocations),
        Purpose::Free => (&losses.frees, &slot.lost_frees),
    };
    total.fetch_add(1, Relaxed);
    own.set(own.get().saturating_add(1));
    // To be reported before the next record.
    slot.limit.set(0);
}

/// Whether an attacher holds the ring: not one that died, which the kernel marks,
/// nor one that let go of it (0).
#[inline(always)]
pub fn has_owner(region: &Region) -> bool {
    header(region).owner.load(Acquire).wrapping_sub(1) < ring::OWNER_DIED - 1
}
