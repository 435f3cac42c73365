//! Redirecting a running process's allocator entries, one byte each (x86_64).
//!
//! A function is entered by a jump that is made of *its own bytes*: `E9` is
//! written over one byte, and the four bytes that already follow it read as the
//! displacement. An island lies where that jump lands:
//!
//! ```text
//!  malloc:  41 54 | 55 | 53 | 48 89 fb …     push r12; push rbp; push rbx; mov rbx,rdi
//!           E9 54   55   53   48 89 fb …     jmp  malloc+5+0x48535554
//!                                              │
//!  island:  undo the effects so far ◄──────────┘
//!           mov rsi, &Entry; jmp hook ──► payload ──► trampoline: push r12; jmp malloc+2
//! ```
//!
//! One byte cannot tear, so no thread has to stop, and every prefix of the work
//! leaves each function whole. The order is the caller's: plan all entries
//! ([`Planner`]), map the pages ([`mappings`]), write the islands
//! ([`Plan::assemble`]), register the entries ([`Plan::entry`]), and only then
//! [`arm()`]. Everything up to that is pure: bytes and addresses in, a plan out.
//!
//! Not done here: mapping pages, stopping threads, waiting until nobody is
//! inside. The instruction set's manuals promise nothing about code that is
//! changed while another processor runs it; single-byte changes are what
//! breakpoint insertion lives from, and the tests beside this crate toggle them
//! under load.

mod hook;

mod entries;
mod targets;

mod prologue;

mod holes;

mod plan;

mod block;

mod island;

mod arm;

mod references;

pub use arm::{ArmError, arm, arm_all_stopped, disarm, disarm_all_stopped};
pub use entries::{Found, Function, Skipped, find};
pub use holes::{Holes, Limits, STACK_GUARD_BYTES};
pub use hook::Hook;
pub use island::{Assembled, THUNK_BYTES, thunk};
pub use plan::{Plan, Planner, Refused, Way, mappings};
pub use references::references;
