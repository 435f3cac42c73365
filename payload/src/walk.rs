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
//! The walk follows the chain from the leaf until it meets a remembered frame,
//! and then compares downwards: frame i's address comes from memory of ours, but
//! is loaded from only after frame i+1's `previous` was found equal to it.
//! Branch prediction overlaps these loads, and no frame is touched that may be
//! gone (from 3.11 on chunks of the data stack are unmapped on the way up).

use crate::memory::{is_plausible, load};
use crate::{chunk, codes, thread};
use core::ops::{Index, IndexMut};
use core::sync::atomic::Ordering::Relaxed;
use prof_shared::region::{
    ABSENT, FRAME_COUNT, Frame, HIDDEN, PyOffsets, Region, Shape, ThreadSlot, ip_form,
};

const CAPACITY: usize = FRAME_COUNT as usize;
/// How far down a frame is looked for among the remembered ones.
const SEARCH: usize = 32;
/// In every object: its type.
const OBJECT_TYPE: u64 = 8;

/// A thread's remembered frames. Indices wrap around, so that no access needs a
/// check that could fail.
pub struct Frames(&'static mut [Frame; CAPACITY]);

impl Index<usize> for Frames {
    type Output = Frame;

    #[inline(always)]
    fn index(&self, index: usize) -> &Frame {
        &self.0[index % CAPACITY]
    }
}

impl IndexMut<usize> for Frames {
    #[inline(always)]
    fn index_mut(&mut self, index: usize) -> &mut Frame {
        &mut self.0[index % CAPACITY]
    }
}

/// The slot's remembered frames.
#[inline(always)]
pub fn frames(region: &Region, slot: &ThreadSlot) -> Frames {
    let shape = Shape { slot_count: u64::from(region.slot_count) };
    let base = thread::slots(region) - prof_shared::region::SLOTS + shape.frames();
    let own = u64::from(thread::index(region, slot)) * FRAME_COUNT * size_of::<Frame>() as u64;
    // SAFETY: the region holds that many frames for each slot, and only the slot's
    // thread, which is this one, touches them.
    Frames(unsafe { &mut *((base + own) as *mut [Frame; CAPACITY]) })
}

/// Brings the remembered stack up to date; lowers `sent` to what is unchanged.
#[inline(always)]
pub fn update(region: &Region, slot: &ThreadSlot, frames: &mut Frames) {
    let leaf = leaf(&region.offsets);
    let epoch = region.code_epoch.load(Relaxed);
    if slot.epoch.get() != epoch {
        forget_dead_codes(region, slot, frames);
        slot.epoch.set(epoch);
    }
    let mut walk = Walk {
        offsets: &region.offsets,
        frames,
        kept: slot.depth.get() as usize,
        recount: CAPACITY,
        tail: CAPACITY,
    };
    let mut same = slot.sent.get() as usize;
    let end = match walk.collect(leaf) {
        End::Root => End::Root,
        End::Joined => walk.compare(&mut same),
        End::Cut => End::Cut,
    };
    let end = if let End::Joined = end { walk.again(leaf, &mut same) } else { end };
    if let End::Cut = end {
        chunk::header(region).losses.truncated.fetch_add(1, Relaxed);
    }
    let cut = u32::from(matches!(end, End::Cut));
    if slot.truncated.get() != cut {
        same = 0;
    }
    slot.truncated.set(cut);
    slot.sent.set(same.min(walk.kept) as u32);
    slot.depth.set(walk.finish() as u32);
}

/// The leaf frame; 0 if this thread runs no Python, or the runtime finalizes:
/// then thread states of daemon threads may be freed at any moment.
#[inline(always)]
fn leaf(offsets: &PyOffsets) -> u64 {
    if offsets.this_thread_state == 0 || is_finalizing(offsets) {
        return 0;
    }
    // SAFETY: the attacher resolved it: `PyThreadState *PyGILState_GetThisThreadState(void)`,
    // which reads a thread-specific value and takes no lock.
    let this_thread_state: extern "C" fn() -> u64 =
        unsafe { core::mem::transmute(offsets.this_thread_state) };
    let state = this_thread_state();
    if !is_plausible(state) {
        return 0;
    }
    // SAFETY: a thread's own state lives until the thread gives it up or the runtime
    // finalizes; the offsets were verified against this process.
    unsafe {
        let frame = load(state + u64::from(offsets.tstate_frame));
        match offsets.cframe_frame {
            ABSENT => frame,
            _ if !is_plausible(frame) => 0,
            inner => load(frame + u64::from(inner)),
        }
    }
}

#[inline(always)]
fn is_finalizing(offsets: &PyOffsets) -> bool {
    // SAFETY: a static of the interpreter.
    unsafe { load::<u64>(offsets.finalizing) != 0 }
}

/// How a walk ended.
enum End {
    /// At the root: all frames are new.
    Root,
    /// At the remembered frame `kept - 1`. As a result of a comparison: the chain
    /// below is not what it was.
    Joined,
    /// In the middle: too deep, or a frame failed its checks.
    Cut,
}

struct Walk<'a> {
    offsets: &'a PyOffsets,
    frames: &'a mut Frames,
    /// Remembered frames that count.
    kept: usize,
    /// The lowest whose code changed.
    recount: usize,
    /// Where the new ones start.
    tail: usize,
}

impl Walk<'_> {
    /// Collects new frames from `frame` downwards until a remembered one.
    #[inline(always)]
    fn collect(&mut self, mut frame: u64) -> End {
        loop {
            if frame == 0 {
                self.kept = 0;
                return End::Root;
            }
            if self.is_remembered(self.kept, frame) {
                return End::Joined;
            }
            if !is_plausible(frame) || is_finalizing(self.offsets) {
                self.kept = 0;
                return End::Cut;
            }
            // SAFETY: linked from the thread state or from a frame above it.
            let previous = unsafe { load(frame + u64::from(self.offsets.frame_previous)) };
            if !self.is_remembered(self.kept, previous) && self.search(frame) {
                return End::Joined;
            }
            if self.tail == self.kept {
                self.kept = 0;
            }
            if self.tail == 0 || !self.push(frame) {
                self.kept = 0;
                return End::Cut;
            }
            frame = previous;
        }
    }

    #[inline(always)]
    fn is_remembered(&self, count: usize, frame: u64) -> bool {
        count > 0 && self.frames[count - 1].addr == frame
    }

    fn search(&mut self, frame: u64) -> bool {
        let lowest = self.kept.saturating_sub(SEARCH);
        let found = (lowest..self.kept).rev().find(|&index| self.frames[index].addr == frame);
        if let Some(index) = found {
            self.kept = index + 1;
        }
        found.is_some()
    }

    /// Reads one frame into the tail; `false` if it is not one.
    #[inline(always)]
    fn push(&mut self, addr: u64) -> bool {
        // SAFETY: as in `collect`.
        let Some(frame) = (unsafe { read(self.offsets, addr) }) else { return false };
        self.tail -= 1;
        self.frames[self.tail] = frame;
        true
    }

    /// Compares the remembered frames with memory, from the join down.
    #[inline(always)]
    fn compare(&mut self, same: &mut usize) -> End {
        let mut index = self.kept;
        while index > 0 {
            if is_finalizing(self.offsets) {
                self.kept = 0;
                return End::Cut;
            }
            index -= 1;
            let below = if index > 0 { self.frames[index - 1].addr } else { 0 };
            let frame = &mut self.frames[index];
            // SAFETY: the frame above, or the thread state, links to this address now.
            let (code, ip, previous) = unsafe { look(self.offsets, frame.addr) };
            if code != frame.code {
                // SAFETY: as above.
                let Some(changed) = (unsafe { read(self.offsets, frame.addr) }) else { return End::Joined };
                *frame = changed;
                self.recount = index;
                *same = (*same).min(index);
            } else if ip != frame.ip {
                frame.ip = ip;
                *same = (*same).min(index);
            }
            if previous != below {
                return End::Joined;
            }
        }
        End::Root
    }

    /// Walks without memory, for a chain that was relinked in the middle.
    #[cold]
    #[inline(never)]
    fn again(&mut self, leaf: u64, same: &mut usize) -> End {
        (*same, self.kept, self.tail) = (0, 0, CAPACITY);
        match self.collect(leaf) {
            End::Root => End::Root,
            _ => End::Cut,
        }
    }

    /// Joins the new frames to the kept ones and counts what is visible. Returns
    /// the depth.
    #[inline(always)]
    fn finish(&mut self) -> usize {
        let mut to = self.kept;
        for from in self.tail..CAPACITY {
            self.frames[to] = self.frames[from];
            to += 1;
        }
        self.count_visible(to);
        to
    }

    fn count_visible(&mut self, depth: usize) {
        let mut index = self.kept.min(self.recount);
        let mut visible = if index > 0 { self.frames[index - 1].visible } else { 0 };
        while index < depth {
            visible += u32::from(self.frames[index].id != HIDDEN);
            self.frames[index].visible = visible;
            index += 1;
        }
    }
}

/// Code, raw instruction field and previous frame.
///
/// # Safety
/// `addr` is a live frame of this thread.
#[inline(always)]
unsafe fn look(offsets: &PyOffsets, addr: u64) -> (u64, u64, u64) {
    // SAFETY: the caller's promise, and offsets verified against this process.
    unsafe {
        let at = addr + u64::from(offsets.frame_ip);
        let ip =
            if offsets.frame_ip_form == ip_form::POINTER { load(at) } else { u64::from(load::<u32>(at)) };
        let code = load(addr + u64::from(offsets.frame_code));
        (code, ip, load(addr + u64::from(offsets.frame_previous)))
    }
}

/// A frame with its code checked; `None` if it is not a frame.
///
/// # Safety
/// `addr` is a live frame of this thread.
#[inline(always)]
unsafe fn read(offsets: &PyOffsets, addr: u64) -> Option<Frame> {
    // SAFETY: the caller's promise; a plausible code pointer of a live frame is an
    // object, whose type word may be read.
    unsafe {
        let (code, ip, _) = look(offsets, addr);
        let hidden = offsets.frame_owner != ABSENT
            && u32::from(load::<u8>(addr + u64::from(offsets.frame_owner))) == offsets.frame_owner_hidden;
        if hidden {
            return Some(Frame { addr, code, ip, id: HIDDEN, visible: 0 });
        }
        let is_code = is_plausible(code) && load::<u64>(code + OBJECT_TYPE) == offsets.code_type;
        is_code.then_some(Frame { addr, code, ip, id: 0, visible: 0 })
    }
}

/// After the death of a code object: its id is no longer that of its address.
#[cold]
#[inline(never)]
fn forget_dead_codes(region: &Region, slot: &ThreadSlot, frames: &mut Frames) {
    for index in 0..slot.depth.get() {
        let frame = &mut frames[index as usize];
        if frame.id != HIDDEN && codes::lookup(region, frame.code) != frame.id {
            frame.id = 0;
            slot.sent.set(slot.sent.get().min(index));
        }
    }
}
