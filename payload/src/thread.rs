//! Which slot belongs to the running thread.
//!
//! Slots are found by thread pointer in an open-addressed table. A thread pointer
//! is reused once its thread has ended, so the tid in the control block decides:
//! using a slot needs `owner == own tid`. The owner changes only by compare-and-swap
//! from a tid that is known to be dead: the same thread pointer cannot have two
//! living threads, and a stranger's tid is asked of the kernel first.

use crate::{chunk, machine, sample, walk};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use prof_shared::region::{ABSENT, HEADER, PROBES, Region, SLOTS, Shape, ThreadSlot, inside};

const GIVEN_UP: u64 = 1;
/// A thread without a slot looks for a dead one once in so many events.
const SEARCH_EVERY: u64 = 1024;

/// The slot of the running thread, claimed if need be.
#[inline(always)]
pub fn find(region: &Region) -> Option<&'static ThreadSlot> {
    let pointer = machine::thread_pointer();
    // SAFETY: the attacher found the offset in this process's control blocks.
    let tid = unsafe { machine::thread_word(region.tid_offset) };
    let slot = nth(region, home(pointer));
    if slot.thread_pointer.load(Relaxed) == pointer && slot.owner.load(Relaxed) == tid {
        return Some(slot);
    }
    claim(region, pointer, tid)
}

#[cold]
#[inline(never)]
fn claim(region: &Region, pointer: u64, tid: u32) -> Option<&'static ThreadSlot> {
    for probe in 0..PROBES as u64 {
        let slot = nth(region, home(pointer).wrapping_add(probe));
        let (found, owner) = (slot.thread_pointer.load(Acquire), slot.owner.load(Acquire));
        if found == pointer && owner == tid {
            return Some(slot);
        }
        let empty = found == 0 && owner == 0;
        let recycled = found == pointer;
        if (empty || recycled) && slot.owner.compare_exchange(owner, tid, AcqRel, Relaxed).is_ok() {
            slot.thread_pointer.store(pointer, Release);
            return Some(begin(region, slot, owner));
        }
    }
    let misses = chunk::header(region).losses.threadless.fetch_add(1, Relaxed);
    if misses.is_multiple_of(SEARCH_EVERY) { take_over(region, pointer, tid) } else { None }
}

/// Takes the slot of a dead thread.
fn take_over(region: &Region, pointer: u64, tid: u32) -> Option<&'static ThreadSlot> {
    for probe in 0..PROBES as u64 {
        let slot = nth(region, home(pointer).wrapping_add(probe));
        let (found, owner) = (slot.thread_pointer.load(Acquire), slot.owner.load(Acquire));
        if owner == 0 || !machine::is_gone(region.own_pid.load(Relaxed), owner) {
            continue;
        }
        // First nobody finds the slot by the dead thread's pointer any more, then it
        // gets its owner: a new thread with that pointer wins or looks elsewhere.
        if slot.thread_pointer.compare_exchange(found, GIVEN_UP, AcqRel, Relaxed).is_ok()
            && slot.owner.compare_exchange(owner, tid, AcqRel, Relaxed).is_ok()
        {
            slot.thread_pointer.store(pointer, Release);
            return Some(begin(region, slot, owner));
        }
    }
    None
}

/// The slot that the running thread had in the process that was forked.
pub fn own(region: &Region) -> Option<&'static ThreadSlot> {
    let pointer = machine::thread_pointer();
    let mut slots = (0..PROBES as u64).map(|probe| nth(region, home(pointer).wrapping_add(probe)));
    slots.find(|slot| slot.thread_pointer.load(Relaxed) == pointer)
}

/// Lets nobody find a slot any more: in a forked child, whose threads are others. Their
/// chunks are the parent's. A hook that was interrupted by the fork's handler finds that
/// it was overtaken.
pub fn leave_all(region: &Region) {
    for index in 0..u64::from(region.slot_count) {
        let slot = nth(region, index);
        if slot.thread_pointer.load(Relaxed) == 0 && slot.owner.load(Relaxed) == 0 {
            continue;
        }
        chunk::close(slot);
        walk::forget(region, slot);
        slot.turn.set(slot.turn.get().wrapping_add(1));
        slot.owner.store(0, Relaxed);
        slot.thread_pointer.store(0, Relaxed);
    }
}

/// Resets a slot that changed hands.
fn begin(region: &Region, slot: &'static ThreadSlot, previous: u32) -> &'static ThreadSlot {
    if previous != 0 && slot.chunk.get() != ABSENT {
        chunk::hand_over(region, slot.chunk.get(), previous);
    }
    slot.serial.set(chunk::header(region).next.thread.fetch_add(1, Relaxed));
    slot.inside.store(inside::OUT, Relaxed);
    for counter in [&slot.chunks, &slot.epoch, &slot.lost_allocations, &slot.lost_frees] {
        counter.set(0);
    }
    chunk::close(slot);
    walk::forget(region, slot);
    sample::begin(region, slot);
    slot
}

#[inline(always)]
fn home(pointer: u64) -> u64 {
    // Control blocks are 64-byte aligned and mostly one stack apart.
    (pointer >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

#[inline(always)]
fn nth(region: &Region, index: u64) -> &'static ThreadSlot {
    let index = index & (u64::from(region.slot_count) - 1);
    // SAFETY: the region holds `slot_count` slots at that place, zeroed by the kernel.
    // Besides its atomics a slot is touched by its owner only.
    unsafe { &*(slots(region) as *const ThreadSlot).add(index as usize) }
}

/// Address of a table of the region.
#[inline(always)]
pub fn table(region: &Region, offset: impl FnOnce(Shape) -> u64) -> u64 {
    let shape = Shape { slot_count: u64::from(region.slot_count), has_native: true };
    core::ptr::from_ref(region) as u64 - HEADER + offset(shape)
}

/// Address of slot 0.
#[inline(always)]
pub fn slots(region: &Region) -> u64 {
    core::ptr::from_ref(region) as u64 - HEADER + SLOTS
}

/// Index of a slot.
#[inline(always)]
pub fn index(region: &Region, slot: &ThreadSlot) -> u64 {
    (core::ptr::from_ref(slot) as u64 - slots(region)) / size_of::<ThreadSlot>() as u64
}
