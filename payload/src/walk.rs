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

use crate::machine::opaque;
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
    let (kept, recount, tail) = (slot.depth.get() as usize, CAPACITY, CAPACITY);
    let is_cut = slot.truncated.get() != 0;
    let mut walk = Walk { fields: Fields::new(&region.offsets), frames, kept, recount, tail, is_cut };
    let mut same = slot.sent.get() as usize;
    let end = match walk.collect(leaf) {
        End::Joined => walk.compare(&mut same),
        end => end,
    };
    let end = if let End::Joined = end { walk.again(leaf, &mut same) } else { end };
    let losses = &chunk::header(region).losses;
    let cut = match end {
        End::Root | End::Joined => 0,
        End::TooDeep => {
            losses.truncated.fetch_add(1, Relaxed);
            1
        }
        End::Unreadable => {
            losses.unreadable.fetch_add(1, Relaxed);
            1
        }
    };
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
    if offsets.this_thread_state == 0 || Fields::new(offsets).is_finalizing() {
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

/// How a walk ended.
enum End {
    /// At the root: all frames are new.
    Root,
    /// At the remembered frame `kept - 1`. As a result of a comparison: the chain
    /// below is not what it was.
    Joined,
    /// There are more frames than are remembered: from then on the upper half.
    TooDeep,
    /// A frame failed its checks, or the runtime began to finalize.
    Unreadable,
}

struct Walk<'a> {
    fields: Fields,
    frames: &'a mut Frames,
    /// Remembered frames that count.
    kept: usize,
    /// The lowest whose code changed.
    recount: usize,
    /// Where the new ones start.
    tail: usize,
    /// Whether there were more below the remembered ones.
    is_cut: bool,
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
            if !is_plausible(frame) || self.fields.is_finalizing() {
                self.kept = 0;
                return End::Unreadable;
            }
            // SAFETY: linked from the thread state or from a frame above it.
            let previous = unsafe { load(frame + self.fields.previous) };
            if !self.is_remembered(self.kept, previous) && self.search(frame) {
                return End::Joined;
            }
            if self.tail == self.kept {
                self.kept = 0;
            }
            let end = match self.tail {
                0 => {
                    // Room for the next frames, or each would mean a walk like this one.
                    self.tail = CAPACITY / 2;
                    Some(End::TooDeep)
                }
                _ => (!self.push(frame)).then_some(End::Unreadable),
            };
            if let Some(end) = end {
                self.kept = 0;
                return end;
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
        let Some(frame) = (unsafe { self.fields.read(addr) }) else { return false };
        self.tail -= 1;
        self.frames[self.tail] = frame;
        true
    }

    /// Compares the remembered frames with memory, from the join down.
    #[inline(always)]
    fn compare(&mut self, same: &mut usize) -> End {
        let fields = self.fields;
        let Some(remembered) = self.frames.0.get_mut(..self.kept) else { return End::Joined };
        let mut index = remembered.len();
        let mut link = remembered.last().map_or(0, |joined| joined.addr);
        for frame in remembered.iter_mut().rev() {
            index -= 1;
            // Were the comparison plain, the compiler would load through `link`.
            if opaque(frame.addr) != link {
                return End::Joined;
            }
            if fields.is_finalizing() {
                self.kept = 0;
                return End::Unreadable;
            }
            // SAFETY: the frame above, or the thread state, links to this address now.
            let (code, ip, previous) = unsafe { fields.look(frame.addr) };
            link = previous;
            if code == frame.code && ip == frame.ip {
                continue;
            }
            *same = (*same).min(index);
            if code == frame.code {
                frame.ip = ip;
            } else {
                // SAFETY: as above.
                let Some(changed) = (unsafe { fields.read(frame.addr) }) else { return End::Joined };
                *frame = changed;
                self.recount = index;
            }
        }
        match link {
            0 => End::Root,
            // What was cut off is not looked at again.
            _ if index == 0 && self.is_cut => End::TooDeep,
            _ => End::Joined,
        }
    }

    /// Walks without memory, for a chain that was relinked in the middle.
    #[cold]
    #[inline(never)]
    fn again(&mut self, leaf: u64, same: &mut usize) -> End {
        (*same, self.kept, self.tail) = (0, 0, CAPACITY);
        match self.collect(leaf) {
            End::Joined => End::Unreadable,
            end => end,
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

/// The numbers that the loops need, by value: the compiler keeps them in registers.
#[derive(Clone, Copy)]
struct Fields {
    finalizing: u64,
    code: u64,
    previous: u64,
    ip: u64,
    ip_is_pointer: bool,
    owner: Option<(u64, u8)>,
    code_type: u64,
}

impl Fields {
    fn new(offsets: &PyOffsets) -> Fields {
        let owner = (u64::from(offsets.frame_owner), offsets.frame_owner_hidden as u8);
        Fields {
            finalizing: offsets.finalizing,
            code: u64::from(offsets.frame_code),
            previous: u64::from(offsets.frame_previous),
            ip: u64::from(offsets.frame_ip),
            ip_is_pointer: offsets.frame_ip_form == ip_form::POINTER,
            owner: (offsets.frame_owner != ABSENT).then_some(owner),
            code_type: offsets.code_type,
        }
    }

    #[inline(always)]
    fn is_finalizing(&self) -> bool {
        // SAFETY: a static of the interpreter.
        unsafe { load::<u64>(self.finalizing) != 0 }
    }

    /// Code, raw instruction field and previous frame.
    ///
    /// # Safety
    /// `addr` is a live frame of this thread.
    #[inline(always)]
    unsafe fn look(&self, addr: u64) -> (u64, u64, u64) {
        // SAFETY: the caller's promise, and offsets verified against this process.
        unsafe {
            let at = addr + self.ip;
            let ip = if self.ip_is_pointer { load(at) } else { u64::from(load::<u32>(at)) };
            (load(addr + self.code), ip, load(addr + self.previous))
        }
    }

    /// A frame with its code checked; `None` if it is not a frame.
    ///
    /// # Safety
    /// `addr` is a live frame of this thread.
    #[inline(always)]
    unsafe fn read(&self, addr: u64) -> Option<Frame> {
        // SAFETY: the caller's promise; a plausible code pointer of a live frame is an
        // object, whose type word may be read.
        unsafe {
            let (code, ip, _) = self.look(addr);
            let hidden = self.owner.is_some_and(|(owner, hidden)| load::<u8>(addr + owner) == hidden);
            let is_code = || is_plausible(code) && load::<u64>(code + OBJECT_TYPE) == self.code_type;
            let id = if hidden { HIDDEN } else { 0 };
            (hidden || is_code()).then_some(Frame { addr, code, ip, id, visible: 0 })
        }
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
