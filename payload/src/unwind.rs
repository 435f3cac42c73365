//! The running thread's native stack, compared with its previous one.
//!
//! ```text
//!  0 root … kept-1 │ … │ tail … leaf       new frames collect at the end until one is met
//!  unchanged       │   │ new                that is remembered: same place, pc and registers
//! ```
//!
//! From the frame that is met down, each remembered word of the stack must hold what it held.
//! A frame that has not returned has the callers that it had, so this is the stack; where a
//! word differs all is walked. Nothing is read but the stack of this thread, above `sp`.
//!
//! From 3.12 on the interpreter keeps a frame of its own kind in each native frame that
//! evaluates Python code: in whose frame such a [`Shims`] lies, that evaluates. Before that,
//! the table says which code does.

use crate::machine::{self, Registers};
use crate::memory::load;
use crate::rows::Rows;
use crate::territory;
use crate::walk::Frames;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::compiler_fence;
use prof_shared::native::{EVALUATION, MISSING, OWN, missing};
use prof_shared::region::{HIDDEN, NATIVE_COUNT, NativeCache, NativeFrame, Region};
use prof_shared::row::{Base, Next, Regs, Stop, exec, lookup_pc};

/// The place of what stands for a cut root.
const ROOT: u64 = u64::MAX;
/// With fewer frames of a stack that was cut, it is walked anew, further down.
const FEW: usize = NATIVE_COUNT / 4;
/// In a `ucontext`: the interrupted rip (see [`exec`]).
const SAVED_PC: u64 = 40 + 8 * 16;

/// Brings the remembered stack up to date and lowers `sent` to what did not change. What of
/// the stack was read.
#[inline(never)]
pub fn update(region: &Region, cache: &mut NativeCache, shims: Option<Shims>) -> Range<u64> {
    let Registers { pc, sp, bp, bx } = machine::registers();
    let rows = Rows::of(region);
    if rows.list != cache.list {
        (cache.list, cache.depth) = (rows.list, 0);
    }
    let is_known = (cache.stack_low..cache.stack_end).contains(&sp);
    if !is_known && let Some(found) = territory::of(region, sp) {
        (cache.stack_low, cache.stack_end) = (found.start, found.end);
    }
    let is_here = (cache.stack_low..cache.stack_end).contains(&sp);
    let stack = if is_here { sp..cache.stack_end } else { 0..0 };
    let kept = unchanged(cache);
    // A handler that comes between and does not return leaves nothing half changed.
    cache.depth = 0;
    compiler_fence(SeqCst);
    let mut walk = Walk { cache, stack, shims, kept, tail: NATIVE_COUNT };
    let end = match is_here {
        true => walk.run(&rows, Regs { pc, sp, bp, bx }),
        false => End::Missing(missing::ELSEWHERE),
    };
    walk.end(end);
    let (depth, kept) = (walk.finish(), walk.kept);
    let stack = walk.stack;
    cache.sent = cache.sent.min(kept as u32);
    compiler_fence(SeqCst);
    cache.depth = depth as u32;
    stack
}

/// Remembered frames that may be met: none of the few that are left of a stack that was cut.
fn unchanged(cache: &NativeCache) -> usize {
    let (depth, root) = (cache.depth as usize, frame(cache, 0));
    let is_cut = root.at == ROOT && root.offset == missing::DEEP;
    if depth > NATIVE_COUNT || is_cut && depth < FEW { 0 } else { depth }
}

/// A remembered frame. Indices wrap around, so that no access can fail.
#[inline(always)]
pub fn frame(cache: &NativeCache, index: usize) -> &NativeFrame {
    &cache.frames[index % NATIVE_COUNT]
}

/// The remembered frames of the interpreter's own kind, from the leaf on.
pub struct Shims<'a> {
    frames: &'a Frames,
    /// Remembered frames that were not looked at.
    left: usize,
}

impl Shims<'_> {
    /// Of the first `depth` frames.
    pub fn of(frames: &Frames, depth: u32) -> Shims<'_> {
        Shims { frames, left: depth as usize }
    }

    /// The first that lies at `addr` or above it.
    fn next_from(&mut self, addr: u64) -> Option<u64> {
        while self.left > 0 {
            let (shim, id) = (self.frames.addr(self.left - 1), self.frames.name(self.left - 1).id);
            if id == HIDDEN && shim >= addr {
                return Some(shim);
            }
            self.left -= 1;
        }
        None
    }
}

/// How a walk ended.
enum End {
    /// The frames from `kept` down are as they were.
    Met,
    /// At the outermost frame.
    Complete,
    /// See [`missing`].
    Missing(u32),
}

struct Walk<'a> {
    cache: &'a mut NativeCache,
    stack: Range<u64>,
    shims: Option<Shims<'a>>,
    /// Remembered frames that may be the same.
    kept: usize,
    /// Where the new ones start.
    tail: usize,
}

impl Walk<'_> {
    /// Walks from our own registers outwards.
    fn run(&mut self, rows: &Rows, regs: Regs) -> End {
        let (mut at, mut next) = (0, Next { regs, is_interrupted: true });
        for _ in 0..2 * NATIVE_COUNT {
            let Next { regs, is_interrupted } = next;
            let pc = lookup_pc(regs.pc, is_interrupted);
            let Some(text) = rows.text(pc) else { return End::Missing(missing::UNKNOWN) };
            if text.module != OWN {
                if self.meets(at, &regs) {
                    if self.is_same() {
                        return End::Met;
                    }
                    self.kept = 0;
                }
                let offset = (pc.wrapping_sub(text.base) as u32).wrapping_add(text.file_base);
                let Regs { pc, bp, bx, .. } = regs;
                if !self.push(NativeFrame { at, pc, bp, bx, module: text.module, offset }) {
                    return End::Missing(missing::DEEP);
                }
            }
            let Some(row) = rows.row(text, pc) else { return End::Missing(missing::UNKNOWN) };
            let saved_pc = regs.sp.wrapping_add(SAVED_PC);
            next = match exec(row, &regs, |addr| self.word(addr)) {
                Ok(next) => next,
                Err(Stop::End) => return End::Complete,
                Err(_) => return End::Missing(missing::STUCK),
            };
            if text.module != OWN {
                self.mark(regs.sp..next.regs.sp);
            }
            at = if row.base == Base::SIGNAL { saved_pc } else { next.regs.sp.wrapping_sub(8) };
        }
        End::Missing(missing::DEEP)
    }

    /// A word of the stack.
    #[inline(always)]
    fn word(&self, addr: u64) -> Option<u64> {
        let room = self.stack.end.checked_sub(addr);
        let is_inside = addr >= self.stack.start && room.is_some_and(|room| room >= 8);
        // SAFETY: the thread's own stack, from where it is now.
        is_inside.then(|| unsafe { load(addr) })
    }

    /// Whether a frame is the topmost remembered one that is not gone.
    #[inline(always)]
    fn meets(&mut self, at: u64, regs: &Regs) -> bool {
        while self.kept > 0 && frame(self.cache, self.kept - 1).at < at {
            self.kept -= 1;
        }
        let known = frame(self.cache, self.kept.wrapping_sub(1));
        let same = (known.at, known.pc, known.bp, known.bx) == (at, regs.pc, regs.bp, regs.bx);
        self.kept > 0 && same
    }

    /// Whether the remembered frames are as they were, from the one that is met down.
    #[inline(always)]
    fn is_same(&self) -> bool {
        let frames = self.cache.frames.get(..self.kept).unwrap_or_default();
        frames.iter().rev().all(|frame| frame.at == ROOT || self.word(frame.at) == Some(frame.pc))
    }

    /// Collects a new frame; false if there is no more room.
    #[inline(always)]
    fn push(&mut self, new: NativeFrame) -> bool {
        if self.tail == self.kept {
            self.kept = 0;
        }
        if self.tail <= 1 {
            // Room for the next frames, or each would mean a walk of all.
            self.tail = NATIVE_COUNT / 2;
            return false;
        }
        self.tail -= 1;
        self.cache.frames[self.tail % NATIVE_COUNT] = new;
        true
    }

    /// Says of the frame that was collected last, which has this room, whether it evaluates.
    #[inline(always)]
    fn mark(&mut self, room: Range<u64>) {
        let Some(shims) = &mut self.shims else { return };
        let evaluates = shims.next_from(room.start).is_some_and(|shim| shim < room.end);
        let module = &mut self.cache.frames[self.tail % NATIVE_COUNT].module;
        *module = *module & !EVALUATION | if evaluates { EVALUATION } else { 0 };
    }

    /// Puts down why the stack ends where it does.
    fn end(&mut self, end: End) {
        match end {
            End::Met => {}
            End::Complete => self.kept = 0,
            End::Missing(why) => {
                self.kept = 0;
                self.tail = (self.tail - 1) % NATIVE_COUNT;
                self.cache.frames[self.tail] =
                    NativeFrame { at: ROOT, module: MISSING, offset: why, ..NativeFrame::default() };
            }
        }
    }

    /// Joins the new frames to the kept ones. Returns the depth.
    fn finish(&mut self) -> usize {
        let new = NATIVE_COUNT - self.tail;
        for index in 0..new {
            self.cache.frames[(self.kept + index) % NATIVE_COUNT] = *frame(self.cache, self.tail + index);
        }
        self.kept + new
    }
}
