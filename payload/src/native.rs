//! An allocation's native stack, sent together with the Python stack.
//!
//! Where it is wanted every stack goes this way, and frames of Python are flagged where an
//! evaluation begins with them: so a reader can put them in the place of the interpreter's own.

use crate::chunk::{self, Purpose};
use crate::memory::load;
use crate::stack::{Difference, HEAD, instruction_offset};
use crate::thread;
use crate::unwind::{self, Shims};
use crate::walk::Frames;
use core::ops::Range;
use prof_shared::native::{EVALUATION, MISSING, missing};
use prof_shared::record::{Encoder, FRAME_MAX, SHIM_OFFSET, STACK_MAX, TRUNCATED};
use prof_shared::region::{ABSENT, HIDDEN, NativeCache, Region, Shape, ThreadSlot};

/// Writes what the decoder's stacks lack, and leaves room for an event. `None`: there is
/// no room. `Some(false)`: the chunk must not be touched any more.
pub fn send(
    region: &Region,
    slot: &ThreadSlot,
    frames: &Frames,
    is_current: impl Fn() -> bool,
) -> Option<bool> {
    let cache = cache_of(region, slot);
    let has_shims = region.offsets.frame_owner_hidden != ABSENT;
    let shims = has_shims.then(|| Shims::of(frames, slot.depth.get()));
    let stack = unwind::update(region, cache, shims);
    let mut both = Both::new(region, slot, frames, cache);
    let chunks = slot.chunks.get();
    chunk::reserve(region, slot, both.bytes(), Purpose::Allocation)?;
    if slot.chunks.get() != chunks {
        both = Both::new(region, slot, frames, cache);
        chunk::reserve(region, slot, both.bytes(), Purpose::Allocation)?;
    }
    if !is_current() {
        return Some(false);
    }
    if !both.is_none() {
        chunk::append(region, slot, both.bytes(), |encoder| {
            // First of all in a chunk: that tells a reader that there are native stacks.
            if !both.native.is_none() || cache.wire_depth == 0 {
                both.native.write(cache, encoder);
            }
            if !both.python.is_none() {
                both.python.begin(encoder);
                put_frames(region, frames, both.python.frames(slot), &stack, encoder);
            }
        });
    }
    both.python.remember(slot);
    both.native.remember(slot, cache);
    // So the next one goes this way, too.
    slot.is_sent.set(0);
    Some(true)
}

/// The slot's remembered frames; none, if they are another thread's.
fn cache_of(region: &Region, slot: &ThreadSlot) -> &'static mut NativeCache {
    let base = thread::table(region, Shape::native);
    let own = thread::index(region, slot) * size_of::<NativeCache>() as u64;
    // SAFETY: a region with a table holds a cache for each slot, and only the slot's thread,
    // which is this one, touches it.
    let cache = unsafe { &mut *((base + own) as *mut NativeCache) };
    if cache.serial != slot.serial.get() {
        forget(cache);
        cache.serial = slot.serial.get();
        (cache.stack_low, cache.stack_end) = (0, 0);
    }
    cache
}

/// What both stacks lack.
struct Both {
    python: Difference,
    native: NativeDifference,
}

impl Both {
    fn new(region: &Region, slot: &ThreadSlot, frames: &Frames, cache: &mut NativeCache) -> Both {
        if cache.wire_chunks != slot.chunks.get() {
            (cache.wire_chunks, cache.wire_depth, cache.sent) = (slot.chunks.get(), 0, 0);
        }
        let python = Difference::new(region, slot, frames);
        let room = chunk::largest_record(region).saturating_sub(python.bytes());
        Both { native: NativeDifference::new(cache, room), python }
    }

    fn is_none(&self) -> bool {
        self.python.is_none() && self.native.is_none()
    }

    fn bytes(&self) -> u32 {
        self.python.bytes() + self.native.bytes()
    }
}

/// What the decoder's native stack lacks.
struct NativeDifference {
    pops: u32,
    /// Remembered frames to send.
    pushes: Range<u32>,
    /// Only the leaf side, for lack of room: what is missing is said first.
    is_cut: bool,
}

impl NativeDifference {
    /// Of at most `room` bytes.
    fn new(cache: &NativeCache, room: u32) -> NativeDifference {
        let (sent, depth) = (cache.sent, cache.depth);
        let whole = NativeDifference {
            pops: cache.wire_depth.saturating_sub(sent),
            pushes: sent..depth,
            is_cut: false,
        };
        if whole.bytes() <= room {
            return whole;
        }
        let fit = (room.saturating_sub(STACK_MAX as u32) / FRAME_MAX as u32).saturating_sub(1);
        NativeDifference { pops: cache.wire_depth, pushes: depth.saturating_sub(fit)..depth, is_cut: true }
    }

    fn is_none(&self) -> bool {
        self.pops == 0 && self.pushes() == 0
    }

    fn pushes(&self) -> u32 {
        self.pushes.len() as u32 + u32::from(self.is_cut)
    }

    fn bytes(&self) -> u32 {
        STACK_MAX as u32 + self.pushes() * FRAME_MAX as u32
    }

    fn write(&self, cache: &NativeCache, encoder: &mut Encoder) {
        encoder.native(self.pops, self.pushes());
        if self.is_cut {
            encoder.frame(MISSING, missing::DEEP as i32);
        }
        for index in self.pushes.clone() {
            let frame = unwind::frame(cache, index as usize);
            let (module, flag) = (frame.module & !EVALUATION, frame.module & EVALUATION != 0);
            encoder.flagged_frame(module, frame.offset as i32, flag);
        }
    }

    /// What the decoder has now. A stack that was cut to fit is sent anew next time.
    fn remember(&self, slot: &ThreadSlot, cache: &mut NativeCache) {
        cache.wire_chunks = slot.chunks.get();
        cache.wire_depth = cache.wire_depth.saturating_sub(self.pops) + self.pushes();
        cache.sent = if self.is_cut { 0 } else { cache.depth };
    }
}

/// Nothing is remembered, and the decoder has nothing.
fn forget(cache: &mut NativeCache) {
    (cache.depth, cache.sent, cache.wire_depth, cache.wire_chunks) = (0, 0, 0, 0);
}

/// Writes frames of Python, flagged where an evaluation begins; before 3.11 that is each. From
/// 3.12 on the interpreter puts a frame of its own below, on the native stack.
fn put_frames(
    region: &Region,
    frames: &Frames,
    range: Range<u32>,
    stack: &Range<u64>,
    encoder: &mut Encoder,
) {
    let offsets = &region.offsets;
    for index in range.start as usize..range.end as usize {
        let (addr, id) = (frames.addr(index), frames.name(index).id);
        if id == HIDDEN {
            // From 3.14 on there is one more at the root of all, which lies elsewhere.
            let is_alone = range.end == 1 || frames.name(1).id == HIDDEN;
            let is_base = index == 0 && is_alone && !stack.contains(&addr);
            encoder.flagged_frame(TRUNCATED, SHIM_OFFSET, !is_base);
            continue;
        }
        let is_entry = match offsets.frame_entry {
            ABSENT => offsets.frame_owner_hidden == ABSENT,
            // SAFETY: the frame is alive.
            at => unsafe { load::<u8>(addr + u64::from(at)) != 0 },
        };
        encoder.flagged_frame(id, instruction_offset(region, frames, index), is_entry);
    }
}

const _: () = assert!(HEAD as usize > STACK_MAX);
