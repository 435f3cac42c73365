//! One event of the running thread, from the hook's entry to the published record.
//!
//! `inside` is set before anything of ours is written and cleared last, so that the
//! attacher, after a `membarrier`, sees every thread that may still use the ring.
//! Only the outermost hook records. A signal handler that leaves a hook by
//! `siglongjmp` leaves `inside` set: the next hook finds itself further up the
//! stack than the forgotten one and overtakes it.

use crate::chunk::{self, Purpose};
use crate::machine;
use crate::walk::{self, Frames};
use crate::{stack, thread};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::compiler_fence;
use prof_shared::kind::Kind;
use prof_shared::record::{EVENT_MAX, Encoder};
use prof_shared::region::{ABSENT, Entry, Region, ThreadSlot, inside};

/// So far below a hook are the calls that the hooked function itself makes.
const NEAR: u64 = 16 << 10;

/// The right to record one event. Dropping it leaves the hook.
pub struct Event {
    region: &'static Region,
    slot: &'static ThreadSlot,
    turn: u32,
}

impl Event {
    /// Begins an event; `None` if this call is to pass through unrecorded.
    #[inline(always)]
    pub fn begin(entry: &Entry) -> Option<Event> {
        if !chunk::is_open_at(entry.region) {
            return None;
        }
        // SAFETY: an entry names the region that it lies in.
        let region = unsafe { &*(entry.region as *const Region) };
        let slot = thread::find(region)?;
        let now_inside = slot.inside.load(Relaxed);
        if now_inside != inside::OUT && !overtake(region, slot, now_inside) {
            return None;
        }
        slot.entry_sp.set(machine::stack_pointer());
        slot.inside.store(inside::RECORDING, Relaxed);
        compiler_fence(SeqCst);
        let turn = slot.turn.get().wrapping_add(1);
        slot.turn.set(turn);
        Some(Event { region, slot, turn })
    }

    /// Whether a call that returns to `caller` is the allocator's own doing.
    #[inline(always)]
    pub fn is_internal(entry: &Entry, caller: u64) -> bool {
        // SAFETY: an entry names the region that it lies in; these numbers stand
        // there before any detour does, and do not change.
        let region = unsafe { &*(entry.region as *const Region) };
        caller.wrapping_sub(region.allocator_start) < region.allocator_bytes
    }

    /// Whether a mapping of `size` bytes, made by who goes on at `caller`, is an arena
    /// of CPython's small-object allocator.
    pub fn is_arena(&self, caller: u64, size: u64) -> bool {
        let region = self.region;
        size == region.arena_bytes && caller.wrapping_sub(region.interpreter_start) < region.interpreter_bytes
    }

    /// Runs the hooked function itself.
    #[inline(always)]
    pub fn call<T>(&self, function: impl FnOnce() -> T) -> T {
        self.slot.inside.store(inside::CALLING, Relaxed);
        compiler_fence(SeqCst);
        let result = function();
        compiler_fence(SeqCst);
        self.slot.inside.store(inside::RECORDING, Relaxed);
        result
    }

    /// The tick before a call whose moment counts from there.
    #[inline(always)]
    pub fn before(&self) -> u64 {
        machine::tick(self.region, chunk::header(self.region), machine::stamp_before)
    }

    /// The tick after a call.
    #[inline(always)]
    pub fn after(&self) -> u64 {
        machine::tick(self.region, chunk::header(self.region), machine::stamp_after)
    }

    /// Whether `realloc(p, 0)` gave `p` back although it returned null.
    #[inline(always)]
    pub fn zero_frees(&self) -> bool {
        self.region.realloc_zero_frees != 0
    }

    /// Records something that carries a Python stack; `first` is its earliest tick.
    #[inline(never)]
    pub fn allocated(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        self.slot.began.set(first);
        if self.stacked(kind, write).is_none() {
            self.lose(Purpose::Allocation);
        }
    }

    /// Records something that carries none.
    #[inline(always)]
    pub fn freed(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        self.slot.began.set(first);
        if chunk::reserve(self.region, self.slot, EVENT_MAX as u32, Purpose::Free).is_none() {
            return self.lose(Purpose::Free);
        }
        self.append(|encoder| {
            encoder.tag(kind);
            write(encoder);
        });
    }

    #[inline(always)]
    fn stacked(&self, kind: Kind, write: impl Fn(&mut Encoder)) -> Option<()> {
        let (region, slot) = (self.region, self.slot);
        let mut frames = Frames::of(region, slot);
        walk::update(region, slot, &mut frames);
        if slot.is_sent.get() != 0 {
            chunk::reserve(region, slot, EVENT_MAX as u32, Purpose::Allocation)?;
        }
        // A new chunk knows nothing of the stack.
        if slot.is_sent.get() == 0 && !stack::send(region, slot, &mut frames, || self.is_current())? {
            self.give_up();
            return Some(());
        }
        self.append(|encoder| {
            encoder.tag(kind);
            write(encoder);
        });
        Some(())
    }

    /// Appends one record and publishes it, unless this hook was overtaken, or runs on
    /// in a forked child: that does not touch the ring, its chunk is the parent's.
    #[inline(always)]
    fn append(&self, write: impl FnOnce(&mut Encoder)) {
        if self.is_current() {
            chunk::append(self.region, self.slot, write);
            if self.is_current() {
                return chunk::commit(self.region, self.slot);
            }
        }
        self.give_up();
    }

    /// Whether the gate is open and no other hook has overtaken this one.
    #[inline(always)]
    fn is_current(&self) -> bool {
        compiler_fence(SeqCst);
        chunk::is_gate_open(self.region) && self.slot.turn.get() == self.turn
    }

    #[cold]
    #[inline(never)]
    fn give_up(&self) {
        if chunk::is_gate_open(self.region) {
            forget(self.region, self.slot);
        }
    }

    #[cold]
    #[inline(never)]
    fn lose(&self, purpose: Purpose) {
        chunk::lose(self.region, self.slot, purpose);
    }
}

impl Drop for Event {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        self.slot.inside.store(inside::OUT, Relaxed);
    }
}

/// Decides what a hook inside another means. `true`: the other one is gone.
#[cold]
#[inline(never)]
fn overtake(region: &Region, slot: &ThreadSlot, now_inside: u32) -> bool {
    if is_abandoned(slot.entry_sp.get(), machine::stack_pointer()) {
        forget(region, slot);
        return true;
    }
    if now_inside == inside::RECORDING {
        chunk::header(region).losses.nested.fetch_add(1, Relaxed);
    }
    false
}

/// Whether the frame that was at `entry` is gone, seen from `now`: left by a jump out
/// of a signal handler. On which stack both are decides where one is the alternate.
fn is_abandoned(entry: u64, now: u64) -> bool {
    // The usual case needs no look: a function that calls another one.
    if entry.wrapping_sub(now) < NEAR {
        return false;
    }
    let alternate = machine::alternate_stack();
    match (alternate.contains(&entry), alternate.contains(&now)) {
        (false, true) => false,
        (true, false) => true,
        _ => now > entry,
    }
}

/// Drops the open chunk behind what is committed, and the remembered stack.
#[cold]
fn forget(region: &Region, slot: &ThreadSlot) {
    if slot.chunk.get() != ABSENT {
        chunk::hand_over(region, slot.chunk.get(), slot.owner.load(Relaxed));
    }
    chunk::close(slot);
    walk::forget(slot);
}
