//! One event of the running thread, from the hook's entry to the published record.
//!
//! `inside` is set before anything of ours is written and cleared last, so that the
//! attacher, after a `membarrier`, sees every thread that may still use the ring.
//! Only the outermost hook records. A signal handler that leaves a hook by
//! `siglongjmp` leaves `inside` set: the next hook finds itself further up the
//! stack than the forgotten one and overtakes it.

use crate::chunk::{self, Purpose};
use crate::follow;
use crate::machine;
use crate::sample;
use crate::walk::{self, Frames};
use crate::{stack, thread};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::compiler_fence;
use prof_shared::kind::Kind;
use prof_shared::record::{EVENT_MAX, Encoder, PASSED_MAX};
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
        if !chunk::is_open_at(entry.region) && !follow::begins(entry.region) {
            return None;
        }
        // SAFETY: an entry names the region that it lies in.
        let region = unsafe { &*(entry.region as *const Region) };
        let slot = thread::find(region)?;
        let now_inside = slot.inside.load(Relaxed);
        if now_inside != inside::OUT && !overtake(region, slot, now_inside, entry.kind) {
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

    /// [`Event::before`], of a function that only the holder of the interpreter's lock calls.
    #[inline(always)]
    pub fn before_in_turn(&self) -> u64 {
        self.takes_turn();
        self.before()
    }

    /// [`Event::after`], of such a function. Moments of one thread need no order but that of
    /// its records: the counter need not wait for what is before it, unless the block may come
    /// from another thread, which had the lock last, or freed it to libc without.
    #[inline(always)]
    pub fn after_in_turn(&self) -> u64 {
        let is_from_libc = self.slot.nested.get() == self.turn;
        if self.takes_turn() || is_from_libc { self.after() } else { self.before() }
    }

    /// Whether another thread made the last event under the interpreter's lock.
    #[inline(always)]
    fn takes_turn(&self) -> bool {
        let (last, own) = (&self.region.last_in_turn, self.slot.serial.get());
        let is_another = last.load(Relaxed) != own;
        if is_another {
            last.store(own, Relaxed);
        }
        is_another
    }

    /// Whether `realloc(p, 0)` gave `p` back although it returned null.
    #[inline(always)]
    pub fn zero_frees(&self) -> bool {
        self.region.realloc_zero_frees != 0
    }

    /// Whether `free` has nothing to record of the block at `addr`: it is no sample.
    #[inline(always)]
    pub fn is_no_sample<const SAMPLED: bool>(entry: &Entry, addr: u64) -> bool {
        // SAFETY: an entry names the region that it lies in, of which the table is a part.
        SAMPLED && !sample::is_kept(unsafe { &*(entry.region as *const Region) }, addr)
    }

    /// Whether the new block at `addr` is to be recorded: all are, or it is a sample.
    #[inline(always)]
    pub fn takes<const SAMPLED: bool>(&self, addr: u64, size: u64) -> bool {
        !SAMPLED || self.is_sample(size) && self.keep(addr)
    }

    #[inline(always)]
    fn is_sample(&self, size: u64) -> bool {
        let (region, slot) = (self.region, self.slot);
        sample::draw(region, sample::of(region, slot), size, || self.leave_chunk())
    }

    /// The chunk says how far apart its samples are.
    #[cold]
    fn leave_chunk(&self) {
        match self.is_current() {
            true => forget(self.region, self.slot),
            false => give_up(self.region, self.slot),
        }
    }

    #[cold]
    fn keep(&self, addr: u64) -> bool {
        let has_room = sample::keep(self.region, addr);
        if !has_room {
            chunk::lose(self.region, self.slot, Purpose::Allocation);
        }
        has_room
    }

    /// Whether the end of the block at `addr` is to be recorded, as its beginning was. It
    /// is told once.
    #[inline(always)]
    pub fn tells_end<const SAMPLED: bool>(&self, addr: u64) -> bool {
        !SAMPLED || sample::forget(self.region, addr)
    }

    /// The block at `addr`, which [`Event::tells_end`] told of, goes on.
    pub fn goes_on<const SAMPLED: bool>(&self, addr: u64) {
        if SAMPLED {
            self.keep(addr);
        }
    }

    /// Records a new block; `first` is its earliest tick.
    #[inline(always)]
    pub fn allocated<const SAMPLED: bool>(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        if SAMPLED {
            self.tell_passed(first);
        }
        self.record(kind, first, write);
    }

    /// Records the end of a block.
    #[inline(always)]
    pub fn freed<const SAMPLED: bool>(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        if SAMPLED {
            self.tell_passed(first);
        }
        self.record_end(kind, first, write);
    }

    /// Records a new mapping. They are never sampled.
    pub fn mapped(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        self.tell_passed(first);
        self.record(kind, first, write);
    }

    /// Records the end of mappings.
    pub fn unmapped(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        self.tell_passed(first);
        self.record_end(kind, first, write);
    }

    /// Tells how many allocations were no samples.
    #[cold]
    #[inline(never)]
    fn tell_passed(&self, first: u64) {
        let (region, slot) = (self.region, self.slot);
        if !sample::is_on(region) {
            return;
        }
        self.slot.began.set(first);
        let sampler = sample::of(region, slot);
        let need = PASSED_MAX as u32;
        if sampler.passed.get() != 0 && chunk::reserve(region, slot, need, Purpose::Free).is_some() {
            self.append(need, |encoder| encoder.passed(sampler.passed.take(), sampler.passed_bytes.take()));
        }
    }

    /// Records something that carries a Python stack.
    #[inline(never)]
    fn record(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        self.slot.began.set(first);
        if self.stacked(kind, write).is_none() {
            chunk::lose(self.region, self.slot, Purpose::Allocation);
        }
    }

    /// Records something that carries none.
    #[inline(always)]
    fn record_end(&self, kind: Kind, first: u64, write: impl Fn(&mut Encoder)) {
        self.slot.began.set(first);
        if chunk::reserve(self.region, self.slot, EVENT_MAX as u32, Purpose::Free).is_none() {
            return chunk::lose(self.region, self.slot, Purpose::Free);
        }
        self.append(EVENT_MAX as u32, |encoder| {
            encoder.tag(kind);
            write(encoder);
        });
    }

    #[inline(always)]
    fn stacked(&self, kind: Kind, write: impl Fn(&mut Encoder)) -> Option<()> {
        let (region, slot) = (self.region, self.slot);
        let mut frames = Frames::of(region, slot);
        if walk::update(region, slot, &mut frames)
            && let Some(top) = stack::Top::of(region, slot, &frames)
        {
            self.append(stack::Top::ROOM, |encoder| {
                top.write(encoder);
                encoder.tag(kind);
                write(encoder);
                top.remember(slot);
            });
            return Some(());
        }
        if slot.is_sent.get() != 0 {
            chunk::reserve(region, slot, EVENT_MAX as u32, Purpose::Allocation)?;
        }
        // A new chunk knows nothing of the stack.
        if slot.is_sent.get() == 0 && !stack::send(region, slot, &mut frames, || self.is_current())? {
            give_up(self.region, self.slot);
            return Some(());
        }
        self.append(EVENT_MAX as u32, |encoder| {
            encoder.tag(kind);
            write(encoder);
        });
        Some(())
    }

    /// Appends one record and publishes it, unless this hook was overtaken, or runs on
    /// in a forked child: that publishes nothing, its chunk is the parent's.
    #[inline(always)]
    fn append(&self, need: u32, write: impl FnOnce(&mut Encoder)) {
        if self.is_current() {
            chunk::append(self.region, self.slot, need, write);
            if self.is_current() {
                return chunk::commit(self.region, self.slot);
            }
        }
        give_up(self.region, self.slot);
    }

    /// Whether the gate is open and no other hook has overtaken this one.
    #[inline(always)]
    fn is_current(&self) -> bool {
        compiler_fence(SeqCst);
        chunk::is_gate_open(self.region) && self.slot.turn.get() == self.turn
    }
}

impl Drop for Event {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        self.slot.inside.store(inside::OUT, Relaxed);
    }
}

/// Leaves a record unpublished. If this is no forked child, the hook was overtaken.
#[cold]
#[inline(never)]
fn give_up(region: &Region, slot: &ThreadSlot) {
    if chunk::is_gate_open(region) {
        forget(region, slot);
    }
}

/// Decides what a hook of `kind` inside another means. `true`: the other one is gone.
#[cold]
#[inline(never)]
fn overtake(region: &Region, slot: &ThreadSlot, now_inside: u32, kind: u8) -> bool {
    let (entry, now) = (slot.entry_sp.get(), machine::stack_pointer());
    if is_abandoned(entry, now) {
        forget(region, slot);
        return true;
    }
    let is_handler = now_inside == inside::RECORDING || is_far(region, entry.wrapping_sub(now), kind);
    if is_handler {
        chunk::header(region).losses.nested.fetch_add(1, Relaxed);
    } else {
        slot.nested.set(slot.turn.get());
    }
    false
}

/// Whether a hook of this thread writes a record, interrupted by a signal handler; such an event
/// of the handler's is counted.
pub fn is_interrupted(region: &Region) -> bool {
    let now = machine::stack_pointer();
    let is_writing = thread::own(region).is_some_and(|slot| {
        slot.inside.load(Relaxed) == inside::RECORDING && !is_abandoned(slot.entry_sp.get(), now)
    });
    if is_writing {
        chunk::header(region).losses.nested.fetch_add(1, Relaxed);
    }
    is_writing
}

/// Whether a hook that is `distance` below another, which runs the hooked function, is a
/// signal handler's: the kernel's frame lies between them, or it is on another stack. What
/// that function calls itself is nearer, but for mappings: allocators make those from deep
/// below.
fn is_far(region: &Region, distance: u64, kind: u8) -> bool {
    let is_mapping = (Kind::Mmap as u8..=Kind::PymallocArena as u8).contains(&kind);
    !is_mapping && distance >= u64::from(region.signal_frame_bytes)
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
    walk::forget(region, slot);
}
