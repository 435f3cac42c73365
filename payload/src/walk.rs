//! The running thread's Python stack, compared with its previous one.
//!
//! A thread's frame chain changes only by that thread, so it is read without the
//! GIL. The previous stack is kept root side first:
//!
//! ```text
//!  frames: 0 root … k-1 │ k … depth-1      new frames collect from the end
//!          unchanged    │ gone             … ◄─ tail
//! ```
//!
//! Mostly nothing changed, and [`Fields::compare`] finds that out, or the frame on top is at
//! another instruction. What else differs is for [`near`].

use crate::frame::{Fields, Frame, form, is_finalizing};
use crate::memory::load;
use crate::{chunk, codes, near, thread};
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use prof_shared::region::{
    ABSENT, FRAME_COUNT, FrameCache, HIDDEN, Link, NOWHERE, Name, PyOffsets, Region, Shape, ThreadSlot,
};

/// Frames remembered at most.
pub const CAPACITY: usize = FRAME_COUNT as usize;

/// A thread's remembered frames. Indices wrap around, so that no access needs a
/// check that could fail.
pub struct Frames(pub &'static mut FrameCache);

impl Frames {
    /// The slot's remembered frames.
    #[inline(always)]
    pub fn of(region: &Region, slot: &ThreadSlot) -> Frames {
        let base = thread::table(region, Shape::frames);
        let own = thread::index(region, slot) * size_of::<FrameCache>() as u64;
        // SAFETY: the region holds a cache for each slot, and only the slot's thread,
        // which is this one, touches it.
        Frames(unsafe { &mut *((base + own) as *mut FrameCache) })
    }

    /// Where frame `index` lies.
    #[inline(always)]
    pub fn addr(&self, index: usize) -> u64 {
        self.0.links[index % CAPACITY + 1].below
    }

    /// What frame `index` held.
    #[inline(always)]
    pub fn link(&self, index: usize) -> &Link {
        &self.0.links[index % CAPACITY]
    }

    /// What frame `index` executes.
    #[inline(always)]
    pub fn name(&self, index: usize) -> &Name {
        &self.0.names[index % CAPACITY]
    }

    #[inline(always)]
    pub fn link_mut(&mut self, index: usize) -> &mut Link {
        &mut self.0.links[index % CAPACITY]
    }

    #[inline(always)]
    pub fn name_mut(&mut self, index: usize) -> &mut Name {
        &mut self.0.names[index % CAPACITY]
    }

    /// Remembers a frame at `index`.
    #[inline(always)]
    pub fn set(&mut self, index: usize, frame: Frame) {
        self.0.links[index % CAPACITY + 1].below = frame.addr;
        self.link_mut(index).ip = frame.ip;
        *self.name_mut(index) = frame.name;
    }

    /// The frame at `from` also at `to`.
    #[inline(always)]
    pub fn copy(&mut self, from: usize, to: usize) {
        self.set(to, Frame { addr: self.addr(from), ip: self.link(from).ip, name: *self.name(from) });
    }

    /// Visible frames among the first `count`.
    #[inline(always)]
    pub fn visible(&self, count: u32) -> u32 {
        if count == 0 { 0 } else { self.name(count as usize - 1).visible }
    }
}

/// Brings the remembered stack up to date. If anything changed it lowers `sent` to
/// what did not, and takes `is_sent` back. Whether the decoder lacks no more than where the
/// frame on top is.
#[inline(always)]
pub fn update(region: &Region, slot: &ThreadSlot, frames: &mut Frames) -> bool {
    let leaf = leaf(&region.offsets);
    // The codes of frames that live now cannot die meanwhile, so the order of this
    // and the comparison does not matter. But whoever sees a death sees the table
    // without the dead.
    let epoch = region.code_epoch.load(Acquire);
    if slot.epoch.get() != epoch {
        forget_dead_codes(region, slot, frames);
        slot.epoch.set(epoch);
    }
    match form::of(&region.offsets) {
        form::ADJACENT => update_as::<{ form::ADJACENT }>(region, slot, frames, leaf),
        form::APART => update_as::<{ form::APART }>(region, slot, frames, leaf),
        _ => update_by_index(region, slot, frames, leaf),
    }
}

/// Once for all callers: these are old interpreters.
#[inline(never)]
fn update_by_index(region: &Region, slot: &ThreadSlot, frames: &mut Frames, leaf: u64) -> bool {
    update_as::<{ form::INDEX }>(region, slot, frames, leaf)
}

#[inline(always)]
fn update_as<const FORM: u8>(region: &Region, slot: &ThreadSlot, frames: &mut Frames, leaf: u64) -> bool {
    let fields = Fields::<FORM>::new(&region.offsets);
    let has_moved = move_on(&fields, frames, slot.depth.get() as usize, leaf);
    let is_only_move = has_moved && slot.is_sent.get() != 0;
    if has_moved {
        slot.sent.set(slot.sent.get().min(slot.depth.get() - 1));
        slot.is_sent.set(0);
    }
    if let Err(meeting) = fields.compare(frames.0, slot.depth.get() as usize, leaf) {
        near::update::<FORM>(region, slot, frames, meeting);
        return false;
    }
    if slot.truncated.get() != 0 {
        chunk::header(region).losses.truncated.fetch_add(1, Relaxed);
    }
    is_only_move
}

/// Brings the frame on top up to date if it is the same one, elsewhere in its code, as it
/// mostly is. Whether it was elsewhere.
#[inline(always)]
fn move_on<const FORM: u8>(fields: &Fields<FORM>, frames: &mut Frames, depth: usize, leaf: u64) -> bool {
    let top = depth.wrapping_sub(1);
    if depth == 0 || frames.addr(top) != leaf || fields.is_finalizing() {
        return false;
    }
    // SAFETY: the thread state links to it.
    let (ip, code) = unsafe { (fields.ip(leaf), fields.code(leaf)) };
    if ip == frames.link(top).ip || code != frames.name(top).code {
        return false;
    }
    frames.link_mut(top).ip = ip;
    true
}

/// The leaf frame; 0 if this thread runs no Python, or the runtime finalizes:
/// then thread states of daemon threads may be freed at any moment.
#[inline(always)]
fn leaf(offsets: &PyOffsets) -> u64 {
    if offsets.this_thread_state == 0 || is_finalizing(offsets.finalizing) {
        return 0;
    }
    // SAFETY: the attacher resolved it: `PyThreadState *PyGILState_GetThisThreadState(void)`,
    // which reads a thread-specific value and takes no lock.
    let this_thread_state: extern "C" fn() -> u64 =
        unsafe { core::mem::transmute(offsets.this_thread_state) };
    let state = this_thread_state();
    if state == 0 {
        return 0;
    }
    // SAFETY: a thread's own state lives until the thread gives it up or the runtime
    // finalizes; the offsets were verified against this process.
    unsafe {
        let frame = load(state + u64::from(offsets.tstate_frame));
        match offsets.cframe_frame {
            ABSENT => frame,
            _ if frame == 0 => 0,
            inner => load(frame + u64::from(inner)),
        }
    }
}

/// The thread remembers nothing.
#[cold]
pub fn forget(region: &Region, slot: &ThreadSlot) {
    for number in [&slot.depth, &slot.truncated, &slot.is_sent, &slot.sent] {
        number.set(0);
    }
    Frames::of(region, slot).link_mut(0).below = 0;
}

/// After the death of a code object: an id is no longer that of its address, and
/// where it was there may be others now.
#[cold]
#[inline(never)]
fn forget_dead_codes(region: &Region, slot: &ThreadSlot, frames: &mut Frames) {
    for index in 0..slot.depth.get() {
        let name = frames.name_mut(index as usize);
        if name.id != HIDDEN && (name.id == 0 || codes::lookup(region, name.code) != name.id) {
            name.id = 0;
            frames.link_mut(index as usize).ip = NOWHERE;
        }
    }
}
