//! Where the stack that a thread runs on ends: as far as may be read.
//!
//! ```text
//!  main thread     low ◄─ room for it to grow ─►│ sp … │ end       the attacher looked
//!  other threads   block │ guard │ … sp … static TLS │ thread pointer ─► descriptor
//! ```
//!
//! The kernel gives the room below the main thread's stack to nobody else, and what is above
//! `sp` was grown over. glibc writes into a thread's descriptor where its stack is and how much
//! of it is guard (nptl/allocatestack.c: `stackblock`, `stackblock_size`, `guardsize`, one behind the
//! other); where in the descriptor differs, so it is found by what it must be. A thread on any
//! other stack (a signal's, a coroutine's) is left alone.

use crate::machine::thread_pointer;
use crate::memory::load;
use core::ops::Range;
use prof_shared::region::{PAGE, Region};

/// The descriptor is not larger.
const DESCRIPTOR_MAX: u64 = 2 * PAGE;

/// The running thread's stack, if `sp` lies in it: from there up it may be read.
pub fn of(region: &Region, sp: u64) -> Option<Range<u64>> {
    let main = region.main_stack_low..region.main_stack_end;
    if main.contains(&sp) {
        return Some(main);
    }
    let pointer = thread_pointer();
    let words = (pointer.next_multiple_of(8)..pointer | (PAGE - 1)).step_by(8);
    for at in words {
        if at + 24 > (pointer | (PAGE - 1)) + 1 {
            return None;
        }
        // SAFETY: this page holds the thread pointer.
        let [block, bytes, guard] = unsafe { load::<[u64; 3]>(at) };
        let end = block.wrapping_add(bytes);
        let is_stack = (block | bytes | guard) & (PAGE - 1) == 0
            && guard < bytes
            && block != 0
            && block < pointer
            && (1..=DESCRIPTOR_MAX).contains(&end.wrapping_sub(pointer));
        if is_stack {
            return Some(block + guard..pointer).filter(|stack| stack.contains(&sp));
        }
    }
    None
}
