//! The verdict over one stopped thread.

use super::Forbidden;
use super::stack::Stack;
use crate::process::{Maps, Memory};
use prof_shared::row::{Base, End, Regs, Row, WalkFrame, lookup_pc, walk};

/// Most frames walked, so that the thread is not held up by a stack without end.
const FRAME_LIMIT: usize = 100_000;

/// What is known of a stopped thread.
pub struct Look<'a> {
    /// Its registers.
    pub regs: Regs,
    /// The memory of its process.
    pub memory: &'a Memory,
    /// The mappings of its process; a stack newer than these is not found.
    pub maps: &'a Maps,
    /// Whether words that a complete walk shows to be no frames are passed over. A
    /// thread blocked for ever keeps its stale words for ever: set this after
    /// several tries.
    pub accept_stale: bool,
}

/// Whether the thread may be made to call `dlopen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Safe,
    /// It must not: a forbidden place, and the address that shows it.
    Unsafe(Reason, u64),
    /// It cannot be told.
    Unproven(Unsure),
}

/// What makes a thread unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It executes forbidden code.
    Pc,
    /// One of its frames is in forbidden code.
    Frame,
    /// It is in a signal handler.
    SignalFrame,
    /// The walk broke off, and a word of its stack can be a frame in forbidden code.
    StackWord,
}

/// What keeps a thread from being proven safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsure {
    /// No forbidden frame, but a word that looks like one.
    StaleWord(u64),
    /// The walk broke off, and the stack is no normal one or too long to scan.
    Incomplete(End),
    /// The stack pointer points nowhere, or the stack cannot be read.
    NoStack,
}

impl Forbidden {
    /// Judges a stopped thread. `rules` finds the unwind row of a pc of the process.
    pub fn judge(&self, look: &Look, rules: impl FnMut(u64) -> Option<Row>) -> Verdict {
        if self.has_pc(look.regs.pc) {
            return Verdict::Unsafe(Reason::Pc, look.regs.pc);
        }
        let Some(mut stack) = Stack::at(look.regs.sp, look.memory, look.maps) else {
            return Verdict::Unproven(Unsure::NoStack);
        };
        let walked = self.walk(look.regs, &mut stack, rules);
        if let Some((reason, pc)) = walked.forbidden {
            return Verdict::Unsafe(reason, pc);
        }
        self.weigh(&walked, &mut stack, look.accept_stale)
    }

    fn walk(&self, regs: Regs, stack: &mut Stack, rules: impl FnMut(u64) -> Option<Row>) -> Walked {
        let mut forbidden = None;
        let mut outermost = regs.sp;
        let visit = |frame: &WalkFrame| {
            outermost = frame.regs.sp;
            forbidden = self.reason(frame).map(|reason| (reason, frame.regs.pc));
            forbidden.is_none()
        };
        let end = walk(regs, FRAME_LIMIT, rules, |addr| stack.word(addr), visit);
        Walked { forbidden, end, outermost }
    }

    fn reason(&self, frame: &WalkFrame) -> Option<Reason> {
        let pc = lookup_pc(frame.regs.pc, frame.is_interrupted);
        let is_signal = frame.row.is_some_and(|row| row.base == Base::SIGNAL);
        if is_signal || self.restorers().contains(&frame.regs.pc) {
            return Some(Reason::SignalFrame);
        }
        self.has_pc(pc).then_some(Reason::Frame)
    }

    /// Hears the second witness, for a walk that met nothing forbidden. A complete
    /// walk knows where the stack ends; else everything up to the mapping's end
    /// counts.
    fn weigh(&self, walked: &Walked, stack: &mut Stack, accept_stale: bool) -> Verdict {
        let is_complete = walked.end == End::Complete;
        let Some(words) = stack.words_to(is_complete.then_some(walked.outermost)) else {
            return Verdict::Unproven(Unsure::NoStack);
        };
        let hit = words.iter().copied().find(|word| self.has_word(*word));
        match hit {
            Some(word) if !is_complete => Verdict::Unsafe(Reason::StackWord, word),
            Some(word) if !accept_stale => Verdict::Unproven(Unsure::StaleWord(word)),
            None if !is_complete && (!stack.is_normal || stack.is_cut) => {
                Verdict::Unproven(Unsure::Incomplete(walked.end))
            }
            _ => Verdict::Safe,
        }
    }
}

/// What the walk saw.
struct Walked {
    forbidden: Option<(Reason, u64)>,
    end: End,
    /// The stack pointer of the outermost frame reached.
    outermost: u64,
}
