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
use crate::{codes, thread};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::compiler_fence;
use prof_shared::kind::Kind;
use prof_shared::record::{EVENT_MAX, Encoder, FRAME_MAX, TRUNCATED};
use prof_shared::region::{ABSENT, Entry, Frame, HIDDEN, Region, ThreadSlot, inside, ip_form};

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
        let slot = thread::find(region, chunk::header(region))?;
        let now_inside = slot.inside.load(Relaxed);
        if now_inside != inside::OUT && !overtake(region, slot, now_inside) {
            return None;
        }
        slot.entry_sp.set(machine::stack_pointer());
        slot.inside.store(inside::RECORDING, Relaxed);
        compiler_fence(core::sync::atomic::Ordering::SeqCst);
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
        compiler_fence(core::sync::atomic::Ordering::SeqCst);
        let result = function();
        compiler_fence(core::sync::atomic::Ordering::SeqCst);
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
        if self.is_current() {
            chunk::append(self.region, self.slot, |encoder| {
                encoder.tag(kind);
                write(encoder);
            });
            self.publish();
        }
    }

    #[inline(always)]
    fn stacked(&self, kind: Kind, write: impl Fn(&mut Encoder)) -> Option<()> {
        let (region, slot) = (self.region, self.slot);
        let mut frames = walk::frames(region, slot);
        walk::update(region, slot, &mut frames);
        if is_sent(slot, &frames) {
            chunk::reserve(region, slot, EVENT_MAX as u32, Purpose::Allocation)?;
            // Only a new chunk changes the answer.
            if is_sent(slot, &frames) {
                if self.is_current() {
                    chunk::append(region, slot, |encoder| {
                        encoder.tag(kind);
                        write(encoder);
                    });
                    self.publish();
                }
                return Some(());
            }
        }
        self.restacked(kind, write, &mut frames)
    }

    /// The stack differs from the decoder's: send the difference.
    #[inline(never)]
    fn restacked(&self, kind: Kind, write: impl Fn(&mut Encoder), frames: &mut Frames) -> Option<()> {
        let (region, slot) = (self.region, self.slot);
        name_frames(region, slot, frames)?;
        chunk::reserve(region, slot, Difference::new(region, slot, frames).bytes(), Purpose::Allocation)?;
        // That may have begun a chunk, which knows nothing of the stack yet.
        let difference = Difference::new(region, slot, frames);
        chunk::reserve(region, slot, difference.bytes(), Purpose::Allocation)?;
        if !self.is_current() {
            return Some(());
        }
        chunk::append(region, slot, |encoder| {
            encoder.tag_stack(kind, difference.pops, difference.pushes());
            difference.write(region, frames, slot.depth.get(), encoder);
            write(encoder);
        });
        slot.wire_depth.set(difference.kept + difference.pushes());
        slot.wire_truncated.set(u32::from(difference.kept_cut || difference.push_cut));
        // A stack that was cut to fit is sent anew next time.
        slot.sent.set(if difference.shortened { 0 } else { slot.depth.get() });
        self.publish();
        Some(())
    }

    /// Whether recording is still on and no other hook has overtaken this one.
    #[inline(always)]
    fn is_current(&self) -> bool {
        compiler_fence(core::sync::atomic::Ordering::SeqCst);
        chunk::is_open(self.region) && self.slot.turn.get() == self.turn
    }

    /// Publishes, unless a fork or a jump out of a signal handler came between. A
    /// forked child does not touch the ring: its chunk is the parent's.
    #[inline(always)]
    fn publish(&self) {
        if self.is_current() {
            chunk::commit(self.region, self.slot);
        } else if chunk::is_open(self.region) {
            forget(self.region, self.slot);
        }
    }

    #[cold]
    fn lose(&self, purpose: Purpose) {
        chunk::lose(self.region, self.slot, purpose);
    }
}

impl Drop for Event {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(core::sync::atomic::Ordering::SeqCst);
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
    slot.chunk.set(ABSENT);
    slot.depth.set(0);
    slot.sent.set(0);
}

/// Whether the decoder's stack is the thread's.
#[inline(always)]
fn is_sent(slot: &ThreadSlot, frames: &Frames) -> bool {
    let depth = slot.depth.get();
    slot.sent.get() == depth
        && slot.wire_truncated.get() == slot.truncated.get()
        && slot.wire_depth.get() == visible(frames, depth) + slot.truncated.get()
}

/// Gives every frame that is to be sent its code id, describing new ones.
fn name_frames(region: &Region, slot: &ThreadSlot, frames: &mut Frames) -> Option<()> {
    let mut sent = slot.sent.get();
    let mut first = sent;
    while let Some(index) = (first..slot.depth.get()).find(|&i| frames[i as usize].id == 0) {
        let frame = &mut frames[index as usize];
        frame.id = codes::identify(region, slot, frame.code)?;
        // Describing may have begun a new chunk, and then frames below need a name too.
        first = if slot.sent.get() < sent { slot.sent.get() } else { index + 1 };
        sent = slot.sent.get();
    }
    Some(())
}

/// Visible frames among the first `count`.
#[inline(always)]
fn visible(frames: &Frames, count: u32) -> u32 {
    if count == 0 { 0 } else { frames[count as usize - 1].visible }
}

/// What turns the decoder's stack into the thread's.
struct Difference {
    pops: u32,
    kept: u32,
    kept_cut: bool,
    /// First remembered frame to send.
    from: u32,
    visible: u32,
    /// Send the mark of a cut root first.
    push_cut: bool,
    /// The cut is only for lack of room.
    shortened: bool,
}

impl Difference {
    fn new(region: &Region, slot: &ThreadSlot, frames: &Frames) -> Difference {
        let (sent, depth) = (slot.sent.get(), slot.depth.get());
        let cut = slot.truncated.get() != 0;
        let keeps = sent > 0 && (slot.wire_truncated.get() != 0) == cut;
        let sent = if keeps { sent } else { 0 };
        let kept = if keeps { visible(frames, sent) + u32::from(cut) } else { 0 };
        let mut difference = Difference {
            pops: slot.wire_depth.get().saturating_sub(kept),
            kept,
            kept_cut: keeps && cut,
            from: sent,
            visible: visible(frames, depth) - visible(frames, sent),
            push_cut: cut && !keeps,
            shortened: false,
        };
        let room = (chunk::largest_record(region) - EVENT_MAX as u32) / FRAME_MAX as u32;
        if difference.pushes() > room {
            difference.shorten(slot, frames, depth, room);
            chunk::header(region).losses.truncated.fetch_add(1, Relaxed);
        }
        difference
    }

    /// Keeps only the leaf side that fits in an empty chunk.
    fn shorten(&mut self, slot: &ThreadSlot, frames: &Frames, depth: u32, room: u32) {
        let wanted = visible(frames, depth) - (room - 1);
        while visible(frames, self.from) < wanted {
            self.from += 1;
        }
        self.visible = visible(frames, depth) - visible(frames, self.from);
        (self.pops, self.kept, self.kept_cut) = (slot.wire_depth.get(), 0, false);
        (self.push_cut, self.shortened) = (true, true);
    }

    fn pushes(&self) -> u32 {
        self.visible + u32::from(self.push_cut)
    }

    fn bytes(&self) -> u32 {
        EVENT_MAX as u32 + self.pushes() * FRAME_MAX as u32
    }

    fn write(&self, region: &Region, frames: &Frames, depth: u32, encoder: &mut Encoder) {
        if self.push_cut {
            encoder.frame(TRUNCATED, -1);
        }
        for index in self.from..depth {
            let frame = &frames[index as usize];
            if frame.id != HIDDEN {
                encoder.frame(frame.id, instruction_offset(region, frame));
            }
        }
    }
}

/// Bytes from the first instruction; -1 before it.
fn instruction_offset(region: &Region, frame: &Frame) -> i32 {
    let offset = match region.offsets.frame_ip_form {
        ip_form::POINTER => {
            frame.ip.wrapping_sub(frame.code.wrapping_add(u64::from(region.offsets.code_instructions))) as i64
        }
        ip_form::UNITS => i64::from(frame.ip as i32) * 2,
        _ => i64::from(frame.ip as i32),
    };
    if (0..=i64::from(i32::MAX)).contains(&offset) { offset as i32 } else { -1 }
}
