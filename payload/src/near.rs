//! The usual changes of a stack: near the leaf a few frames are gone, a few are new.
//!
//! ```text
//!  remembered   0 root …        │ kept            │ gone
//!  now          found unchanged │ may have moved  │ new, at most FEW
//! ```
//!
//! That it is so is found out before anything is changed. What turns out to be unusual is
//! left to [`rewalk`].

use crate::frame::{Fields, Meeting};
use crate::memory::is_plausible;
use crate::rewalk;
use crate::walk::{CAPACITY, Frames};
use prof_shared::region::{HIDDEN, Region, ThreadSlot};

/// So many new frames are looked at.
const FEW: usize = 4;
/// So many remembered ones.
const DOWN: usize = 3;

/// Brings the remembered stack up to date, from where the comparison stopped.
#[inline(never)]
pub fn update<const FORM: u8>(region: &Region, slot: &ThreadSlot, frames: &mut Frames, meeting: Meeting) {
    let fields = Fields::<FORM>::new(&region.offsets);
    let depth = slot.depth.get() as usize;
    if meeting.left != depth || slot.truncated.get() != 0 || fields.is_finalizing() {
        return rewalk::update(region, slot, frames, meeting);
    }
    let leaf = meeting.link;
    let Some((kept, new)) = find(&fields, frames, depth, leaf) else {
        return rewalk::update(region, slot, frames, meeting);
    };
    let addr = frames.addr(kept);
    // SAFETY: the leaf, or linked from a frame above it.
    let (ip, link) = unsafe { (fields.ip(addr), fields.previous(addr)) };
    if fields.compare(frames.0, kept, link).is_err() || kept + new >= CAPACITY {
        return rewalk::update(region, slot, frames, meeting);
    }
    let own = frames.link_mut(kept);
    let same = if own.ip == ip { kept + 1 } else { kept };
    own.ip = ip;
    slot.sent.set(slot.sent.get().min(same as u32));
    slot.is_sent.set(0);
    slot.depth.set(kept as u32 + 1);
    if new > 0 {
        push::<FORM>(region, slot, frames, leaf, new);
    }
}

/// The topmost remembered frame that is still there, and how many are above it now.
#[inline(always)]
fn find<const FORM: u8>(
    fields: &Fields<FORM>,
    frames: &Frames,
    depth: usize,
    leaf: u64,
) -> Option<(usize, usize)> {
    let links: &[_; DOWN] = frames.0.links.get(depth.checked_sub(DOWN)? + 1..)?.first_chunk()?;
    let names: &[_; DOWN] = frames.0.names.get(depth - DOWN..)?.first_chunk()?;
    let mut frame = leaf;
    for new in 0..=FEW {
        if !is_plausible(frame) {
            return None;
        }
        let known = links.iter().rposition(|above| above.below == frame);
        // SAFETY: the leaf, or linked from a frame above it.
        if let Some(known) = known
            && unsafe { fields.code(frame) } == names[known].code
        {
            return Some((depth - DOWN + known, new));
        }
        // SAFETY: as above.
        frame = unsafe { fields.previous(frame) };
    }
    None
}

/// Remembers `new` frames above the others, of which `leaf` is the last.
#[inline(always)]
fn push<const FORM: u8>(region: &Region, slot: &ThreadSlot, frames: &mut Frames, leaf: u64, new: usize) {
    let fields = Fields::<FORM>::new(&region.offsets);
    let depth = slot.depth.get() as usize;
    let mut frame = leaf;
    for index in (depth..depth + new).rev() {
        // SAFETY: the leaf, or linked from a frame above it.
        let (read, below) = unsafe { (fields.read(frame), fields.previous(frame)) };
        let Some(read) = read else {
            return rewalk::update(region, slot, frames, Meeting { left: depth, link: leaf });
        };
        frames.set(index, read);
        frame = below;
    }
    let mut visible = frames.visible(depth as u32);
    for index in depth..depth + new {
        let name = frames.name_mut(index);
        visible += u32::from(name.id != HIDDEN);
        name.visible = visible;
    }
    slot.depth.set((depth + new) as u32);
}
