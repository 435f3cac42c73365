//! Frames of the interpreter as they lie in memory, and their comparison with
//! remembered ones: the loop that every allocation runs through.

use crate::machine::opaque;
use crate::memory::{is_plausible, load};
use prof_shared::region::{ABSENT, FrameCache, HIDDEN, Name, Place, PyOffsets};

/// So many frames are compared between two looks at whether the runtime finalizes.
const BLOCK: usize = 8;
/// In every object: its type.
const OBJECT_TYPE: u64 = 8;

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

/// The numbers that the loops need, by value: the compiler keeps them in registers.
/// `POINTER`: the instruction field is a pointer.
#[derive(Clone, Copy)]
pub struct Fields<const POINTER: bool> {
    finalizing: u64,
    code: u64,
    previous: u64,
    ip: u64,
    owner: u32,
    hidden_owner: u8,
    code_type: u64,
}

impl<const POINTER: bool> Fields<POINTER> {
    #[inline(always)]
    pub fn new(offsets: &PyOffsets) -> Self {
        Fields {
            finalizing: offsets.finalizing,
            code: u64::from(offsets.frame_code),
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
    /// Frame i's address comes from memory of ours, but is loaded from only after
    /// frame i+1's `previous` was found equal to it. Branch prediction overlaps these
    /// loads, and no frame is touched that may be gone (from 3.11 on chunks of the
    /// data stack are unmapped on the way up).
    ///
    /// Whether the runtime finalizes is asked once a block: that takes longer to get to
    /// the frames than a block takes here, and a thread that is preempted may find them
    /// gone after any look.
    #[inline(always)]
    pub fn compare(&self, cache: &FrameCache, count: usize, mut link: u64) -> Meeting {
        let FrameCache { places, names } = cache;
        let (Some(places), Some(names)) = (places.get(..count), names.get(..count)) else {
            return Meeting { left: count, link };
        };
        let (mut rest, blocks) = places.as_rchunks();
        let (mut rest_names, block_names) = names.as_rchunks();
        let mut left = count;
        for (block, names) in blocks.iter().zip(block_names).rev() {
            if self.is_finalizing() {
                return Meeting { left, link };
            }
            let Some(next) = self.follow(block, names, link) else {
                (rest, rest_names) = (block, names);
                break;
            };
            (left, link) = (left - BLOCK, next);
        }
        for (index, (place, name)) in rest.iter().zip(rest_names).enumerate().rev() {
            let Some(next) = self.step(place, name, link) else {
                return Meeting { left: left - rest.len() + index + 1, link };
            };
            link = next;
        }
        Meeting { left: left - rest.len(), link }
    }

    /// Where a whole block leads to, if none of its frames changed.
    #[inline(always)]
    fn follow(&self, places: &[Place; BLOCK], names: &[Name; BLOCK], mut link: u64) -> Option<u64> {
        for (place, name) in places.iter().zip(names).rev() {
            link = self.step(place, name, link)?;
        }
        Some(link)
    }

    /// Where a frame leads to, if `link` leads to it and it did not change.
    #[inline(always)]
    fn step(&self, place: &Place, name: &Name, link: u64) -> Option<u64> {
        // Were the comparison plain, the compiler would load through `link`.
        if opaque(place.addr) != link {
            return None;
        }
        // SAFETY: the frame above, or the thread state, links to this address now.
        unsafe {
            // A pointer lies in its code object; whether that died, the epoch tells.
            let is_same = self.ip(place.addr) == place.ip && (POINTER || self.code(place.addr) == name.code);
            is_same.then(|| self.previous(place.addr))
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
        unsafe { load(addr + self.code) }
    }

    /// Its raw instruction field.
    ///
    /// # Safety
    /// As for `previous`.
    #[inline(always)]
    pub unsafe fn ip(&self, addr: u64) -> u64 {
        let at = addr + self.ip;
        // SAFETY: as above.
        unsafe { if POINTER { load(at) } else { u64::from(load::<u32>(at)) } }
    }

    /// The frame as it is to be remembered; `None` if it is not one.
    ///
    /// # Safety
    /// As for `previous`.
    #[inline(always)]
    pub unsafe fn read(&self, addr: u64) -> Option<(Place, Name)> {
        // SAFETY: the caller's promise; a plausible code pointer of a live frame is an
        // object, whose type word may be read.
        unsafe {
            let (code, ip) = (self.code(addr), self.ip(addr));
            let is_hidden =
                self.owner != ABSENT && load::<u8>(addr + u64::from(self.owner)) == self.hidden_owner;
            let is_code = || is_plausible(code) && load::<u64>(code + OBJECT_TYPE) == self.code_type;
            let id = if is_hidden { HIDDEN } else { 0 };
            (is_hidden || is_code()).then_some((Place { addr, ip }, Name { code, id, visible: 0 }))
        }
    }
}
