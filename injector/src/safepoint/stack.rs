//! A copy of a stopped thread's stack, read in few pieces.
//!
//! A walk may read the red zone, where a leaf function keeps what it saved. The
//! scan leaves it out: return addresses of live frames never lie below rsp, those
//! of calls just returned from always do.
//!
//! ```text
//!  mapping:  ▒ guard │ … sp ─── stack ─── end │ ▒ guard │ stack of another thread …
//! ```
//!
//! The end is that of the mapping, or the first page that cannot be read: from glibc 2.42
//! on a guard is a region within a mapping (`MADV_GUARD_INSTALL`, Linux 6.13), and the
//! stacks of several threads are one mapping.

use crate::process::{Mapping, Maps, Memory};
use std::ops::Range;

/// Bytes below rsp that a function may use without moving it (System V ABI).
const RED_ZONE: u64 = 128;
/// First piece: nearly every stack is shorter.
const PIECE: u64 = 64 << 10;
/// Most that is looked at.
const MOST: u64 = 8 << 20;
/// A mapping smaller than this is no thread's stack (PTHREAD_STACK_MIN).
const SMALLEST: u64 = 16 << 10;

/// The live part of a stack: from the red zone to its end.
pub(super) struct Stack<'a> {
    memory: &'a Memory,
    sp: u64,
    range: Range<u64>,
    words: Vec<u64>,
    /// Whether the mapping looks like a thread's stack.
    pub is_normal: bool,
    /// Whether the stack may be longer than what is looked at.
    pub is_cut: bool,
}

impl<'a> Stack<'a> {
    /// The stack that `sp` points into; `None` if it points nowhere.
    pub fn at(sp: u64, memory: &'a Memory, maps: &Maps) -> Option<Stack<'a>> {
        let mapping = maps.at(sp)?;
        let sp = sp & !7;
        let start = sp.saturating_sub(RED_ZONE).max(mapping.range.start);
        let end = mapping.range.end.min(start + MOST);
        let stack = Stack {
            memory,
            sp,
            range: start..end,
            words: Vec::new(),
            is_normal: is_normal(mapping),
            is_cut: end < mapping.range.end,
        };
        Some(stack)
    }

    /// The word at `addr`, if it lies in the stack.
    pub fn word(&mut self, addr: u64) -> Option<u64> {
        if !self.range.contains(&addr) || addr & 7 != 0 {
            return None;
        }
        let index = ((addr - self.range.start) / 8) as usize;
        self.load(index + 1);
        self.words.get(index).copied()
    }

    /// The words from rsp up to `end`, or up to the stack's end; `None` if some of
    /// them cannot be read.
    pub fn words_to(&mut self, end: Option<u64>) -> Option<&[u64]> {
        let first = ((self.sp - self.range.start) / 8) as usize;
        let count = |end: u64| (end.saturating_sub(self.range.start) / 8) as usize;
        let (known, most) = (end.map(|end| count(end.min(self.range.end))), count(self.range.end));
        self.load(known.unwrap_or(most));
        // The page of rsp itself can be read.
        let least = if known.is_some() { first } else { first + 1 };
        let count = known.unwrap_or(self.words.len()).max(least);
        self.words.get(first..count)
    }

    /// Sees to it that `count` words are there, as far as they can be read.
    fn load(&mut self, count: usize) {
        let have = self.words.len() as u64 * 8;
        let wanted = count as u64 * 8;
        if wanted <= have {
            return;
        }
        let len = wanted.max(have * 4).max(PIECE).min(self.range.end - self.range.start) - have;
        let mut bytes = vec![0; len as usize];
        let read = self.memory.read_some(self.range.start + have, &mut bytes).unwrap_or(0);
        let (words, _) = bytes[..read].as_chunks();
        self.words.extend(words.iter().map(|word| u64::from_ne_bytes(*word)));
        if (read as u64) < len {
            self.range.end = self.range.start + self.words.len() as u64 * 8;
            self.is_cut = false;
        }
    }
}

/// Whether a mapping can be the stack of a thread: not the heap, not a file, not
/// the page or two of an alternate signal stack.
fn is_normal(mapping: &Mapping) -> bool {
    let is_anonymous = mapping.is_anonymous() && mapping.name != "[heap]";
    mapping.read && mapping.write && is_anonymous && mapping.len() >= SMALLEST
}
