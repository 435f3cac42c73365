//! Frames of the interpreter as they lie in memory, and their comparison with
//! remembered ones: the loop that every allocation runs through.

use crate::machine::{Pair, is_word};
use crate::memory::{is_plausible, load};
use crate::walk::CAPACITY;
use prof_shared::region::{ABSENT, FrameCache, HIDDEN, Name, PyOffsets, ip_form};

/// So many frames are compared at once, and twice as many between two looks at whether the
/// runtime finalizes.
const FEW: usize = 4;
/// In every object: its type.
const OBJECT_TYPE: u64 = 8;

/// A frame as it is to be remembered.
pub struct Frame {
    pub addr: u64,
    pub ip: u64,
    pub name: Name,
}

/// Where a comparison stopped.
#[derive(Clone, Copy)]
pub struct Meeting {
    /// Remembered frames that were not found to be as they were, root side.
    pub left: usize,
    /// The frame that is there instead of, or is, the topmost of them.
    pub link: u64,
}

/// Whether the runtime finalizes; `word` says so.
#[inline(always)]
pub fn is_finalizing(word: u64) -> bool {
    // SAFETY: a static of the interpreter.
    unsafe { load::<u64>(word) != 0 }
}

/// Where a frame has what an event compares.
pub mod form {
    use super::{PyOffsets, ip_form};

    /// The instruction is an index: that of a frame counts only with its code.
    pub const INDEX: u8 = 0;
    /// It is a pointer.
    pub const APART: u8 = 1;
    /// It is a pointer, right behind that to the frame below (3.11).
    pub const ADJACENT: u8 = 2;

    /// That of an interpreter.
    #[inline(always)]
    pub fn of(offsets: &PyOffsets) -> u8 {
        match offsets.frame_ip_form {
            ip_form::POINTER if offsets.frame_ip == offsets.frame_previous + 8 => ADJACENT,
            ip_form::POINTER => APART,
            _ => INDEX,
        }
    }
}

/// The numbers that the loops need, by value: the compiler keeps them in registers.
#[derive(Clone, Copy)]
pub struct Fields<const FORM: u8> {
    finalizing: u64,
    code: u64,
    code_mask: u64,
    previous: u64,
    ip: u64,
    owner: u32,
    hidden_owner: u8,
    code_type: u64,
}

impl<const FORM: u8> Fields<FORM> {
    #[inline(always)]
    pub fn new(offsets: &PyOffsets) -> Self {
        Fields {
            finalizing: offsets.finalizing,
            code: u64::from(offsets.frame_code),
            code_mask: offsets.frame_code_mask,
            previous: u64::from(offsets.frame_previous),
            ip: u64::from(offsets.frame_ip),
            owner: offsets.frame_owner,
            hidden_owner: offsets.frame_owner_hidden as u8,
            code_type: offsets.code_type,
        }
    }

    /// Whether the interpreter takes its threads' frames away.
    #[inline(always)]
    pub fn is_finalizing(&self) -> bool {
        is_finalizing(self.finalizing)
    }

    /// Compares the first `count` frames with memory, from the last one, to which
    /// `link` should lead, downwards to the first difference.
    ///
    /// A frame's address comes from memory of ours, but is loaded from only after the
    /// `previous` of the frame above was found equal to it. Branch prediction overlaps
    /// these loads, and no frame is touched that may be gone (from 3.11 on chunks of the
    /// data stack are unmapped on the way up).
    ///
    /// Whether the runtime finalizes is asked once a block: that takes longer to get to
    /// the frames than a block takes here, and a thread that is preempted may find them
    /// gone after any look.
    #[inline(always)]
    pub fn compare(&self, cache: &FrameCache, count: usize, link: u64) -> Result<(), Meeting> {
        let differs = |left| Err(Meeting { left, link: last_of(cache, left) });
        if count > CAPACITY || self.is_finalizing() || last_of(cache, count) != link {
            return Err(Meeting { left: count, link });
        }
        let mut left = count;
        // SAFETY: `left` only falls, and to it leads what was found to be as it was.
        unsafe {
            while left >= 2 * FEW && self.are_same(cache, left) && self.are_same(cache, left - FEW) {
                left -= 2 * FEW;
                if self.is_finalizing() {
                    return differs(left);
                }
            }
            if left >= FEW && self.are_same(cache, left) {
                left -= FEW;
            }
            while left > 0 && self.is_same(cache, left) {
                left -= 1;
            }
        }
        if left == 0 { Ok(()) } else { differs(left) }
    }

    /// Whether nothing changed in the last few of the first `end` frames. The compiler would
    /// not unroll a loop.
    ///
    /// # Safety
    /// There are so many, at most `CAPACITY`, and the last is alive.
    #[inline(always)]
    unsafe fn are_same(&self, cache: &FrameCache, end: usize) -> bool {
        // SAFETY: the caller's promise, and what was found to be as it was leads to the next.
        unsafe {
            self.is_same(cache, end)
                && self.is_same(cache, end - 1)
                && self.is_same(cache, end - 2)
                && self.is_same(cache, end - 3)
        }
    }

    /// Whether the last of the first `end` frames is where it was, above the one that it was
    /// above.
    ///
    /// # Safety
    /// As for `are_same`.
    #[inline(always)]
    unsafe fn is_same(&self, cache: &FrameCache, end: usize) -> bool {
        // SAFETY: the caller's promise. A pointer lies in its code object; whether that died,
        // the epoch tells.
        unsafe {
            let own = cache.links.get_unchecked(end - 1);
            // Volatile, or it would be taken out of the vector that is compared.
            let addr = load(&raw const cache.links.get_unchecked(end).below as u64);
            match FORM {
                form::ADJACENT => Pair::at(addr + self.previous).is(own),
                form::APART => Pair::of(addr + self.previous, addr + self.ip).is(own),
                _ => {
                    self.ip(addr) == own.ip
                        && self.code(addr) == cache.names.get_unchecked(end - 1).code
                        && is_word(addr, self.previous, own.below)
                }
            }
        }
    }

    /// The frame below.
    ///
    /// # Safety
    /// `addr` is a live frame of this thread.
    #[inline(always)]
    pub unsafe fn previous(&self, addr: u64) -> u64 {
        // SAFETY: the caller's promise, and offsets verified against this process.
        unsafe { load(addr + self.previous) }
    }

    /// Its code object.
    ///
    /// # Safety
    /// As for `previous`.
    #[inline(always)]
    pub unsafe fn code(&self, addr: u64) -> u64 {
        // SAFETY: as above.
        unsafe { load::<u64>(addr + self.code) & self.code_mask }
    }

    /// Its raw instruction field.
    ///
    /// # Safety
    /// As for `previous`.
    #[inline(always)]
    pub unsafe fn ip(&self, addr: u64) -> u64 {
        let at = addr + self.ip;
        // SAFETY: as above.
        unsafe { if FORM == form::INDEX { u64::from(load::<u32>(at)) } else { load(at) } }
    }

    /// The frame as it is to be remembered; `None` if it is not one.
    ///
    /// # Safety
    /// As for `previous`.
    #[inline(always)]
    pub unsafe fn read(&self, addr: u64) -> Option<Frame> {
        // SAFETY: the caller's promise; a plausible code pointer of a live frame is an
        // object, whose type word may be read.
        unsafe {
            let (code, ip) = (self.code(addr), self.ip(addr));
            let is_hidden =
                self.owner != ABSENT && load::<u8>(addr + u64::from(self.owner)) >= self.hidden_owner;
            let is_code = || is_plausible(code) && load::<u64>(code + OBJECT_TYPE) == self.code_type;
            let id = if is_hidden { HIDDEN } else { 0 };
            (is_hidden || is_code()).then_some(Frame { addr, ip, name: Name { code, id, visible: 0 } })
        }
    }
}

/// Where the last of the first `end` remembered frames lies, at most `CAPACITY`.
#[inline(always)]
fn last_of(cache: &FrameCache, end: usize) -> u64 {
    cache.links.get(end).map_or(0, |above| above.below)
}
