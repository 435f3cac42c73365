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
use crate::native;
use crate::walk::Frames;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use prof_shared::record::{EVENT_MAX, Encoder, FRAME_MAX, STACK_MAX, TRUNCATED};
use prof_shared::region::{HIDDEN, Region, ThreadSlot, ip_form, wire};

/// So many frames are sent without a plan.
const FEW: u32 = 8;

/// The difference that is to be sent.
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

/// The frame on top, at another instruction than the decoder thinks: the usual difference.
pub struct Top {
    id: u32,
    offset: i32,
    depth: u32,
}

impl Top {
    /// The most bytes that it takes, with an event behind it.
    pub const ROOM: u32 = HEAD + FRAME_MAX as u32;

    /// `None` if it is not shown, or the chunk has no room for it and an event.
    #[inline(always)]
    pub fn of(region: &Region, slot: &ThreadSlot, frames: &Frames) -> Option<Top> {
        let depth = slot.depth.get();
        let index = depth.wrapping_sub(1) as usize;
        let id = frames.name(index).id;
        let is_shown = id != 0 && id != HIDDEN;
        let offset = instruction_offset(region, frames, index);
        (is_shown && chunk::has_room(region, slot, Top::ROOM)).then_some(Top { id, offset, depth })
    }

    /// Takes it off and puts it on again.
    #[inline(always)]
    pub fn write(&self, encoder: &mut Encoder) {
        encoder.stack(1, 1);
        encoder.frame(self.id, self.offset);
    }

    /// The decoder has the whole stack again.
    #[inline(always)]
    pub fn remember(&self, slot: &ThreadSlot) {
        slot.sent.set(self.depth);
        slot.is_sent.set(1);
    }
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
    let (from, depth) = (slot.sent.get(), slot.depth.get());
    let is_cut = slot.truncated.get() | slot.wire_truncated.get() != 0;
    if is_cut || depth.wrapping_sub(from) > FEW || !are_known(region, slot, frames) {
        return send_any(region, slot, frames, is_current);
    }
    let kept = frames.visible(from);
    let pushes = frames.visible(depth) - kept;
    let need = HEAD + pushes * FRAME_MAX as u32;
    if !chunk::has_room(region, slot, need) {
        return send_any(region, slot, frames, is_current);
    }
    if !is_current() {
        return Some(false);
    }
    let pops = slot.wire_depth.get().saturating_sub(kept);
    chunk::append(region, slot, need, |encoder| {
        encoder.stack(pops, pushes);
        put_frames(region, frames, from..depth, encoder);
    });
    slot.wire_depth.set(kept + pushes);
    slot.sent.set(depth);
    slot.is_sent.set(1);
    Some(true)
}

/// The same of any stack.
#[cold]
#[inline(never)]
fn send_any(
    region: &Region,
    slot: &ThreadSlot,
    frames: &mut Frames,
    is_current: impl Fn() -> bool,
) -> Option<bool> {
    name(region, slot, frames)?;
    if region.native != 0 {
        return native::send(region, slot, frames, is_current);
    }
    let chunks = slot.chunks.get();
    let mut difference = Difference::new(region, slot, frames);
    chunk::reserve(region, slot, difference.bytes(), Purpose::Allocation)?;
    if slot.chunks.get() != chunks {
        difference = Difference::anew(region, slot, frames);
        chunk::reserve(region, slot, difference.bytes(), Purpose::Allocation)?;
    }
    if !is_current() {
        return Some(false);
    }
    if !difference.is_none() {
        chunk::append(region, slot, difference.bytes(), |encoder| {
            difference.write(region, slot, frames, encoder)
        });
    }
    difference.remember(slot);
    Some(true)
}

/// Whether every frame that is to be sent has a code id, or its code is known.
#[inline(always)]
fn are_known(region: &Region, slot: &ThreadSlot, frames: &mut Frames) -> bool {
    for index in slot.sent.get()..slot.depth.get() {
        let name = frames.name_mut(index as usize);
        if name.id == 0 {
            name.id = codes::lookup(region, name.code);
        }
        if name.id == 0 {
            return false;
        }
    }
    true
}

#[inline(always)]
fn put_frames(region: &Region, frames: &Frames, range: Range<u32>, encoder: &mut Encoder) {
    for index in range {
        let id = frames.name(index as usize).id;
        if id != HIDDEN {
            encoder.frame(id, instruction_offset(region, frames, index as usize));
        }
    }
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
    pub fn new(region: &Region, slot: &ThreadSlot, frames: &Frames) -> Difference {
        let (sent, depth) = (slot.sent.get(), slot.depth.get());
        let cut = slot.truncated.get() != 0;
        let keeps = sent > 0 && (slot.wire_truncated.get() & wire::CUT != 0) == cut;
        let sent = if keeps { sent } else { 0 };
        let kept = if keeps { shown(region, frames, sent) + u32::from(cut) } else { 0 };
        let difference = Difference {
            pops: slot.wire_depth.get().saturating_sub(kept),
            kept,
            kept_cut: keeps && cut,
            from: sent,
            visible: shown(region, frames, depth) - shown(region, frames, sent),
            push_cut: cut && !keeps,
            shortened: false,
        };
        match difference.bytes() > room(region) {
            true => Difference::shortened(region, slot, frames),
            false => difference,
        }
    }

    /// For a chunk that knows nothing of the stack yet.
    #[cold]
    #[inline(never)]
    fn anew(region: &Region, slot: &ThreadSlot, frames: &Frames) -> Difference {
        Difference::new(region, slot, frames)
    }

    /// Only the leaf side that fits in an empty chunk.
    #[cold]
    #[inline(never)]
    fn shortened(region: &Region, slot: &ThreadSlot, frames: &Frames) -> Difference {
        chunk::header(region).losses.truncated.fetch_add(1, Relaxed);
        let room = (room(region) - HEAD) / FRAME_MAX as u32;
        let visible = shown(region, frames, slot.depth.get());
        let unwanted = visible.saturating_sub(room - 1);
        let mut from = 0;
        while shown(region, frames, from) < unwanted {
            from += 1;
        }
        Difference {
            pops: slot.wire_depth.get(),
            kept: 0,
            kept_cut: false,
            from,
            visible: visible - shown(region, frames, from),
            push_cut: true,
            shortened: true,
        }
    }

    pub fn pushes(&self) -> u32 {
        self.visible + u32::from(self.push_cut)
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.pops == 0 && self.pushes() == 0
    }

    /// The most bytes that it takes, with an event behind it.
    pub fn bytes(&self) -> u32 {
        HEAD + self.pushes() * FRAME_MAX as u32
    }

    #[inline(always)]
    fn write(&self, region: &Region, slot: &ThreadSlot, frames: &Frames, encoder: &mut Encoder) {
        self.begin(encoder);
        put_frames(region, frames, self.from..slot.depth.get(), encoder);
    }

    /// Writes all but the frames.
    #[inline(always)]
    pub fn begin(&self, encoder: &mut Encoder) {
        encoder.stack(self.pops, self.pushes());
        if self.push_cut {
            encoder.frame(TRUNCATED, -1);
        }
    }

    /// The remembered frames that follow.
    pub fn frames(&self, slot: &ThreadSlot) -> Range<u32> {
        self.from..slot.depth.get()
    }

    /// What the decoder has now. A stack that was cut to fit is sent anew next time.
    #[inline(always)]
    pub fn remember(&self, slot: &ThreadSlot) {
        slot.wire_depth.set(self.kept + self.pushes());
        let mark = slot.wire_truncated.get() & wire::NATIVE;
        slot.wire_truncated.set(mark | if self.kept_cut || self.push_cut { wire::CUT } else { 0 });
        slot.sent.set(if self.shortened { 0 } else { slot.depth.get() });
        slot.is_sent.set(u32::from(!self.shortened));
    }
}

/// The most bytes of a difference and an event. A native one comes in the same record.
fn room(region: &Region) -> u32 {
    let largest = chunk::largest_record(region);
    if region.native == 0 { largest } else { largest - largest / 4 }
}

/// How many of the first `count` frames are sent: with native frames the hidden ones, too,
/// which tell where evaluations begin.
fn shown(region: &Region, frames: &Frames, count: u32) -> u32 {
    if region.native == 0 { frames.visible(count) } else { count }
}

/// The most bytes of a difference without its frames, and of an event.
pub const HEAD: u32 = (STACK_MAX + EVENT_MAX) as u32;

/// Bytes from the first instruction; -1 before it.
#[inline(always)]
pub fn instruction_offset(region: &Region, frames: &Frames, index: usize) -> i32 {
    let (ip, code) = (frames.link(index).ip, frames.name(index).code);
    let offset = match region.offsets.frame_ip_form {
        ip_form::POINTER => {
            ip.wrapping_sub(code.wrapping_add(u64::from(region.offsets.code_instructions))) as i64
        }
        ip_form::UNITS => i64::from(ip as i32) * 2,
        _ => i64::from(ip as i32),
    };
    if (0..=i64::from(i32::MAX)).contains(&offset) { offset as i32 } else { -1 }
}
