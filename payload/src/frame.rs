//! Frames of the interpreter as they lie in memory, and their comparison with
//! remembered ones: the loop that every allocation runs through.

use crate::machine::is_word;
use crate::memory::{is_plausible, load};
use crate::walk::CAPACITY;
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
    code_mask: u64,
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
    /// `link` should lead, downwards to the first difference. The first one should lead
    /// to `below`.
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
    pub fn compare(&self, cache: &FrameCache, count: usize, link: u64, below: u64) -> Meeting {
        let mut left = count;
        let top = if left > 0 { left - 1 } else { return Meeting { left, link } };
        if self.is_finalizing() || cache.places.get(top).is_none_or(|top| top.addr != link) {
            return Meeting { left, link };
        }
        while let Some((places, names)) = chunk_below::<{ BLOCK + 1 }>(cache, left)
            && self.is_same(places, names)
        {
            left -= BLOCK;
            if self.is_finalizing() {
                return Meeting { left, link: places[0].addr };
            }
        }
        while let Some(([next, place], [_, name])) = chunk_below(cache, left)
            && self.leads(place, name, next)
        {
            left -= 1;
        }
        let (Some(place), Some(name)) = (cache.places.get(left - 1), cache.names.get(left - 1)) else {
            return Meeting { left: 0, link: below };
        };
        if !self.stays(place, name) {
            return Meeting { left, link: place.addr };
        }
        // SAFETY: it is alive.
        Meeting { left: left - 1, link: unsafe { self.previous(place.addr) } }
    }

    /// Whether nothing changed in a block of frames, of which the last is alive, and
    /// the one below the block is still there. The compiler would not unroll a loop.
    #[inline(always)]
    fn is_same(&self, places: &[Place; BLOCK + 1], names: &[Name; BLOCK + 1]) -> bool {
        let [p0, p1, p2, p3, p4, p5, p6, p7, p8] = places;
        let [_, n1, n2, n3, n4, n5, n6, n7, n8] = names;
        self.leads(p8, n8, p7)
            && self.leads(p7, n7, p6)
            && self.leads(p6, n6, p5)
            && self.leads(p5, n5, p4)
            && self.leads(p4, n4, p3)
            && self.leads(p3, n3, p2)
            && self.leads(p2, n2, p1)
            && self.leads(p1, n1, p0)
    }

    /// Whether a live frame is where it was, above the one that it was above.
    #[inline(always)]
    fn leads(&self, place: &Place, name: &Name, below: &Place) -> bool {
        // SAFETY: it is alive.
        self.stays(place, name) && unsafe { is_word(place.addr, self.previous, below.addr) }
    }

    /// Whether a frame is where it was, given that it is alive.
    #[inline(always)]
    fn stays(&self, place: &Place, name: &Name) -> bool {
        // SAFETY: the frame above, or the thread state, links to this address now.
        // A pointer lies in its code object; whether that died, the epoch tells.
        unsafe { self.ip(place.addr) == place.ip && (POINTER || self.code(place.addr) == name.code) }
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
                self.owner != ABSENT && load::<u8>(addr + u64::from(self.owner)) >= self.hidden_owner;
            let is_code = || is_plausible(code) && load::<u64>(code + OBJECT_TYPE) == self.code_type;
            let id = if is_hidden { HIDDEN } else { 0 };
            (is_hidden || is_code()).then_some((Place { addr, ip }, Name { code, id, visible: 0 }))
        }
    }
}

/// The `N` remembered frames below `end`, if there are so many.
#[inline(always)]
pub fn chunk_below<const N: usize>(cache: &FrameCache, end: usize) -> Option<(&[Place; N], &[Name; N])> {
    if end < N || end > CAPACITY {
        return None;
    }
    let start = end - N;
    // SAFETY: both arrays have `CAPACITY` elements. What is safe would test for null
    // where nothing can be null.
    unsafe { Some((&*cache.places.as_ptr().add(start).cast(), &*cache.names.as_ptr().add(start).cast())) }
}
