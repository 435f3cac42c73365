//! All that knows CPython: which module is the interpreter, which version it
//! is, how it lays out what is read, and what an instruction offset means.
//!
//! ```text
//!  maps, modules ─► find ─► Interpreter ─► offsets ─► the payload's numbers
//!                              │
//!                              ├─► walk      threads and stacks, from outside
//!                              ├─► describe  facts for the capture
//!                              └─► domains, arenas  its own allocators
//!  code id, offset ─► lines, text ─► names and lines of recorded stacks
//! ```
//!
//! Nothing here runs, stops or changes anything in the target. What is read from
//! it is checked: lengths and depths are bounded, and no value can cause a panic.

mod arenas;
mod describe;
mod domains;
mod find;
mod lines;
mod looks;
mod object;
mod offsets;
mod stamp;
mod text;
mod version;
mod walk;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
pub use arenas::{ArenaTable, Arenas};
pub use describe::{Allocator, Facts};
pub use domains::{DomainFunction, NoDomains};
pub use find::{Interpreter, NotPython};
pub use lines::line;
pub use looks::Looks;
pub use text::{decode, decode_bounded};
pub use version::{Stage, Version};
pub use walk::{Damage, Frame, Thread};
