//! What to do where the thread's stack differs from the remembered one.
//!
//! From where the comparison stopped the chain is followed: a frame that is
//! elsewhere in its code is read anew, new frames are collected at the far end of
//! the cache until a remembered one is met, and from there the comparison goes on.
//! Where the chain was relinked in the middle (a generator that somebody else
//! resumes) the frames above are set aside with the new ones.
//!
//! ```text
//!  0 … left-1 │ left … kept-1     │ … │ tail … CAPACITY-1
//!  not seen   │ found as they are │   │ new, or set aside; leaf last
//! ```
//!
//! Each round lowers `left` or `tail`, so it ends whatever memory holds.

use crate::chunk;
use crate::frame::{Fields, Meeting, form};
use crate::memory::is_plausible;
use crate::walk::{CAPACITY, Frames};
use core::sync::atomic::Ordering::Relaxed;
use prof_shared::region::{HIDDEN, Region, ThreadSlot};

/// So much further down each new frame is looked for among the remembered ones.
const SEARCH: usize = 8;

/// With fewer of a stack that was cut, it is walked anew, further down.
const FEW: usize = CAPACITY / 4;

/// How a walk ended.
enum End {
    /// All frames are known.
    Whole,
    /// There are more than are remembered: from then on the upper half, above this.
    TooDeep(u64),
    /// This one failed its checks, or the runtime began to finalize.
    Unreadable(u64),
}

/// Brings the remembered stack up to date, from where the comparison stopped.
/// Where two words are adjacent they can be read apart: that is rare enough.
#[inline(never)]
pub fn update(region: &Region, slot: &ThreadSlot, frames: &mut Frames, meeting: Meeting) {
    match form::of(&region.offsets) {
        form::INDEX => update_as::<{ form::INDEX }>(region, slot, frames, meeting),
        _ => update_as::<{ form::APART }>(region, slot, frames, meeting),
    }
}

#[inline(always)]
fn update_as<const FORM: u8>(region: &Region, slot: &ThreadSlot, frames: &mut Frames, meeting: Meeting) {
    let fields = Fields::<FORM>::new(&region.offsets);
    let depth = slot.depth.get() as usize;
    let mut walk = Rewalk { fields, frames, kept: depth, tail: CAPACITY, renamed: depth, same: depth };
    let end = walk.run(meeting);
    let losses = &chunk::header(region).losses;
    let below = match end {
        End::Whole => 0,
        End::TooDeep(below) => {
            losses.truncated.fetch_add(1, Relaxed);
            below
        }
        End::Unreadable(below) => {
            losses.unreadable.fetch_add(1, Relaxed);
            below
        }
    };
    let depth = walk.finish();
    let same = walk.same.min(walk.kept) as u32;
    let truncated = u32::from(!matches!(end, End::Whole));
    let same = if slot.truncated.get() == truncated { same } else { 0 };
    slot.truncated.set(truncated);
    // Without a frame there is nothing to tell that what is below is as it was.
    frames.link_mut(0).below = if depth > 0 { below } else { 0 };
    slot.sent.set(slot.sent.get().min(same));
    slot.is_sent.set(0);
    slot.depth.set(depth as u32);
}

struct Rewalk<'a, const FORM: u8> {
    fields: Fields<FORM>,
    frames: &'a mut Frames,
    /// Remembered frames that count.
    kept: usize,
    /// Where the new ones start.
    tail: usize,
    /// The lowest whose code changed.
    renamed: usize,
    /// Frames below the lowest that changed at all.
    same: usize,
}

impl<const FORM: u8> Rewalk<'_, FORM> {
    #[inline(always)]
    fn run(&mut self, mut meeting: Meeting) -> End {
        let below = self.frames.link(0).below;
        let whole = Meeting { left: 0, link: below };
        loop {
            let Meeting { left, link } = meeting;
            if left == 0 && link == below && self.kept > 0 {
                if below == 0 {
                    return End::Whole;
                }
                if self.kept + CAPACITY - self.tail >= FEW {
                    return End::TooDeep(below);
                }
            }
            let is_met = left > 0 && self.frames.addr(left - 1) == link;
            let next = match is_met {
                true => self
                    .reread(left - 1)
                    .map(|link| self.fields.compare(self.frames.0, left - 1, link).err().unwrap_or(whole)),
                false => self.collect(left, link).map(|link| Meeting { left: self.kept, link }),
            };
            meeting = match next {
                Ok(next) => next,
                Err(end) => {
                    self.set_aside(left.min(self.kept));
                    self.kept = 0;
                    return end;
                }
            };
        }
    }

    /// Reads a frame that may be elsewhere in its code, or another one at the same place.
    /// Returns the one below.
    #[inline(always)]
    fn reread(&mut self, index: usize) -> Result<u64, End> {
        let addr = self.frames.addr(index);
        if self.fields.is_finalizing() {
            return Err(End::Unreadable(addr));
        }
        // SAFETY: the frame above, or the thread state, links to it.
        unsafe {
            let (code, ip) = (self.fields.code(addr), self.fields.ip(addr));
            if code != self.frames.name(index).code {
                (self.renamed, self.same) = (self.renamed.min(index), self.same.min(index));
                self.frames.set(index, self.fields.read(addr).ok_or(End::Unreadable(addr))?);
            } else if ip != self.frames.link(index).ip {
                self.same = self.same.min(index);
                self.frames.link_mut(index).ip = ip;
            }
            Ok(self.fields.previous(addr))
        }
    }

    /// Collects new frames from `frame` downwards until one of the first `left`, which
    /// then is the last kept. Returns it.
    #[inline(always)]
    fn collect(&mut self, left: usize, mut frame: u64) -> Result<u64, End> {
        self.set_aside(left);
        loop {
            if frame == 0 {
                return Err(End::Whole);
            }
            if self.is_next(frame) {
                return Ok(frame);
            }
            if !is_plausible(frame) || self.fields.is_finalizing() {
                return Err(End::Unreadable(frame));
            }
            // SAFETY: linked from the thread state or from a frame above it.
            let previous = unsafe { self.fields.previous(frame) };
            if !self.is_next(previous) && self.search(frame) {
                return Ok(frame);
            }
            self.push(frame)?;
            frame = previous;
        }
    }

    /// Whether `frame` is the topmost remembered one.
    #[inline(always)]
    fn is_next(&self, frame: u64) -> bool {
        self.kept > 0 && self.frames.addr(self.kept - 1) == frame
    }

    /// Looks for a frame among the remembered ones: not far down, but further with each
    /// that was not found.
    #[inline(always)]
    fn search(&mut self, frame: u64) -> bool {
        let lowest = self.kept.saturating_sub(SEARCH * (CAPACITY + 1 - self.tail));
        let found = (lowest..self.kept).rev().find(|&index| self.frames.addr(index) == frame);
        if let Some(index) = found {
            self.kept = index + 1;
        }
        found.is_some()
    }

    /// Reads one frame into the tail.
    #[inline(always)]
    fn push(&mut self, addr: u64) -> Result<(), End> {
        if self.tail == self.kept {
            self.kept = 0;
        }
        if self.tail == 0 {
            // Room for the next frames, or each would mean a walk like this one.
            self.tail = CAPACITY / 2;
            return Err(End::TooDeep(self.frames.addr(self.tail - 1)));
        }
        // SAFETY: as in `collect`.
        let frame = unsafe { self.fields.read(addr) }.ok_or(End::Unreadable(addr))?;
        self.tail -= 1;
        self.frames.set(self.tail, frame);
        Ok(())
    }

    /// Puts all remembered frames but the first `left` to the new ones.
    #[inline(always)]
    fn set_aside(&mut self, left: usize) {
        while self.kept > left {
            (self.kept, self.tail) = (self.kept - 1, self.tail - 1);
            self.frames.copy(self.kept, self.tail);
        }
    }

    /// Joins the new frames to the kept ones and counts what is visible. Returns
    /// the depth.
    #[inline(always)]
    fn finish(&mut self) -> usize {
        let mut depth = self.kept;
        for from in self.tail..CAPACITY {
            self.frames.copy(from, depth);
            depth += 1;
        }
        let first = self.kept.min(self.renamed);
        let mut visible = self.frames.visible(first as u32);
        for index in first..depth {
            let name = self.frames.name_mut(index);
            visible += u32::from(name.id != HIDDEN);
            name.visible = visible;
        }
        depth
    }
}
