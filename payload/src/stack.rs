//! What turns the decoder's stack into the thread's.
//!
//! The decoder of the open chunk has `wire_depth` frames, of which the first `sent`
//! remembered ones, those that are visible, are right:
//!
//! ```text
//!  wire        kept │ pops             pushes: remembered frames from `sent` on,
//!  remembered  sent │ … depth          or, if not even the leaf side fits, fewer
//! ```

use crate::chunk::{self, Purpose};
use crate::codes;
use crate::walk::Frames;
use core::sync::atomic::Ordering::Relaxed;
use prof_shared::kind::Kind;
use prof_shared::record::{Delta, EVENT_MAX, Encoder, FRAME_MAX, TRUNCATED};
use prof_shared::region::{HIDDEN, Region, ThreadSlot, ip_form};

/// The difference that a record begins with.
pub struct Difference {
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

/// Names the frames that are to be sent and makes room for a record with them.
/// `None`: no room. `Some(None)`: the decoder has them all.
#[inline(never)]
pub fn prepare(region: &Region, slot: &ThreadSlot, frames: &mut Frames) -> Option<Option<Difference>> {
    name(region, slot, frames)?;
    let chunks = slot.chunks.get();
    let mut difference = Difference::new(region, slot, frames);
    chunk::reserve(region, slot, difference.bytes(), Purpose::Allocation)?;
    if slot.chunks.get() != chunks {
        // The new chunk knows nothing of the stack yet.
        difference = Difference::new(region, slot, frames);
        chunk::reserve(region, slot, difference.bytes(), Purpose::Allocation)?;
    }
    let is_empty = difference.pops == 0 && difference.pushes() == 0;
    if is_empty {
        slot.is_sent.set(1);
    }
    Some((!is_empty).then_some(difference))
}

/// Writes the tag of a record and the difference; returns the length.
#[inline(never)]
pub fn write(
    region: &Region,
    slot: &ThreadSlot,
    frames: &Frames,
    kind: Kind,
    difference: &Difference,
    out: &mut [u8],
) -> usize {
    let depth = slot.depth.get();
    let mut unused = Delta::default();
    let mut encoder = Encoder::new(out, &mut unused);
    encoder.tag_stack(kind, difference.pops, difference.pushes());
    if difference.push_cut {
        encoder.frame(TRUNCATED, -1);
    }
    for index in difference.from..depth {
        let id = frames.name(index as usize).id;
        if id != HIDDEN {
            encoder.frame(id, instruction_offset(region, frames, index as usize));
        }
    }
    slot.wire_depth.set(difference.kept + difference.pushes());
    slot.wire_truncated.set(u32::from(difference.kept_cut || difference.push_cut));
    // A stack that was cut to fit is sent anew next time.
    slot.sent.set(if difference.shortened { 0 } else { depth });
    slot.is_sent.set(u32::from(!difference.shortened));
    encoder.len()
}

/// Gives every frame that is to be sent its code id, describing new ones.
fn name(region: &Region, slot: &ThreadSlot, frames: &mut Frames) -> Option<()> {
    let mut sent = slot.sent.get();
    let mut first = sent;
    while let Some(index) = (first..slot.depth.get()).find(|&i| frames.name(i as usize).id == 0) {
        let name = frames.name_mut(index as usize);
        name.id = codes::identify(region, slot, name.code)?;
        // Describing may have begun a new chunk, and then frames below need a name too.
        first = if slot.sent.get() < sent { slot.sent.get() } else { index + 1 };
        sent = slot.sent.get();
    }
    Some(())
}

impl Difference {
    #[inline(always)]
    fn new(region: &Region, slot: &ThreadSlot, frames: &Frames) -> Difference {
        let (sent, depth) = (slot.sent.get(), slot.depth.get());
        let cut = slot.truncated.get() != 0;
        let keeps = sent > 0 && (slot.wire_truncated.get() != 0) == cut;
        let sent = if keeps { sent } else { 0 };
        let kept = if keeps { frames.visible(sent) + u32::from(cut) } else { 0 };
        let mut difference = Difference {
            pops: slot.wire_depth.get().saturating_sub(kept),
            kept,
            kept_cut: keeps && cut,
            from: sent,
            visible: frames.visible(depth) - frames.visible(sent),
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
    #[cold]
    fn shorten(&mut self, slot: &ThreadSlot, frames: &Frames, depth: u32, room: u32) {
        let wanted = frames.visible(depth) - (room - 1);
        while frames.visible(self.from) < wanted {
            self.from += 1;
        }
        self.visible = frames.visible(depth) - frames.visible(self.from);
        (self.pops, self.kept, self.kept_cut) = (slot.wire_depth.get(), 0, false);
        (self.push_cut, self.shortened) = (true, true);
    }

    fn pushes(&self) -> u32 {
        self.visible + u32::from(self.push_cut)
    }

    fn bytes(&self) -> u32 {
        EVENT_MAX as u32 + self.pushes() * FRAME_MAX as u32
    }
}

/// Bytes from the first instruction; -1 before it.
fn instruction_offset(region: &Region, frames: &Frames, index: usize) -> i32 {
    let (ip, code) = (frames.place(index).ip, frames.name(index).code);
    let offset = match region.offsets.frame_ip_form {
        ip_form::POINTER => {
            ip.wrapping_sub(code.wrapping_add(u64::from(region.offsets.code_instructions))) as i64
        }
        ip_form::UNITS => i64::from(ip as i32) * 2,
        _ => i64::from(ip as i32),
    };
    if (0..=i64::from(i32::MAX)).contains(&offset) { offset as i32 } else { -1 }
}
