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
use prof_shared::record::{EVENT_MAX, Encoder, FRAME_MAX, STACK_MAX, TRUNCATED};
use prof_shared::region::{HIDDEN, Region, ThreadSlot, ip_form};

/// The difference that is to be sent.
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

/// Writes what the decoder's stack lacks, and leaves room for an event. `None`: there is
/// no room. `Some(false)`: the chunk must not be touched any more.
#[inline(never)]
pub fn send(
    region: &Region,
    slot: &ThreadSlot,
    frames: &mut Frames,
    is_current: impl Fn() -> bool,
) -> Option<bool> {
    name(region, slot, frames)?;
    let chunks = slot.chunks.get();
    let mut difference = Difference::new(region, slot, frames);
    chunk::reserve(region, slot, difference.bytes(), Purpose::Allocation)?;
    if slot.chunks.get() != chunks {
        // The new chunk knows nothing of the stack yet.
        difference = Difference::new(region, slot, frames);
        chunk::reserve(region, slot, difference.bytes(), Purpose::Allocation)?;
    }
    if !is_current() {
        return Some(false);
    }
    if difference.pops > 0 || difference.pushes() > 0 {
        chunk::append(region, slot, |encoder| difference.write(region, slot, frames, encoder));
    }
    difference.remember(slot);
    Some(true)
}

/// Gives every frame that is to be sent its code id, describing new ones.
#[inline(always)]
fn name(region: &Region, slot: &ThreadSlot, frames: &mut Frames) -> Option<()> {
    let mut index = slot.sent.get();
    while index < slot.depth.get() {
        let name = frames.name_mut(index as usize);
        index += 1;
        if name.id == 0 {
            let sent = slot.sent.get();
            name.id = codes::identify(region, slot, name.code)?;
            if slot.sent.get() < sent {
                // Describing it began a new chunk: frames below need a name too.
                index = slot.sent.get();
            }
        }
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
        if difference.bytes() > chunk::largest_record(region) {
            difference.shorten(region, slot, frames);
        }
        difference
    }

    /// Keeps only the leaf side that fits in an empty chunk.
    #[cold]
    fn shorten(&mut self, region: &Region, slot: &ThreadSlot, frames: &Frames) {
        let room = (chunk::largest_record(region) - HEAD) / FRAME_MAX as u32;
        let visible = frames.visible(slot.depth.get());
        let wanted = visible - (room - 1);
        while frames.visible(self.from) < wanted {
            self.from += 1;
        }
        self.visible = visible - frames.visible(self.from);
        (self.pops, self.kept, self.kept_cut) = (slot.wire_depth.get(), 0, false);
        (self.push_cut, self.shortened) = (true, true);
        chunk::header(region).losses.truncated.fetch_add(1, Relaxed);
    }

    fn pushes(&self) -> u32 {
        self.visible + u32::from(self.push_cut)
    }

    /// The most bytes that it takes, with an event behind it.
    fn bytes(&self) -> u32 {
        HEAD + self.pushes() * FRAME_MAX as u32
    }

    #[inline(always)]
    fn write(&self, region: &Region, slot: &ThreadSlot, frames: &Frames, encoder: &mut Encoder) {
        encoder.stack(self.pops, self.pushes());
        if self.push_cut {
            encoder.frame(TRUNCATED, -1);
        }
        for index in self.from..slot.depth.get() {
            let id = frames.name(index as usize).id;
            if id != HIDDEN {
                encoder.frame(id, instruction_offset(region, frames, index as usize));
            }
        }
    }

    /// What the decoder has now. A stack that was cut to fit is sent anew next time.
    #[inline(always)]
    fn remember(&self, slot: &ThreadSlot) {
        slot.wire_depth.set(self.kept + self.pushes());
        slot.wire_truncated.set(u32::from(self.kept_cut || self.push_cut));
        slot.sent.set(if self.shortened { 0 } else { slot.depth.get() });
        slot.is_sent.set(u32::from(!self.shortened));
    }
}

/// The most bytes of a difference without its frames, and of an event.
const HEAD: u32 = (STACK_MAX + EVENT_MAX) as u32;

/// Bytes from the first instruction; -1 before it.
#[inline(always)]
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
