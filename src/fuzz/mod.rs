//! Doors for fuzzers: each parser of foreign bytes behind one function of bytes.
//!
//! A door does with the bytes what the program would, and checks what must hold whatever
//! they are. Whoever calls it watches for panics, time and memory: `tests/hostile` with
//! a fixed set of inputs, `fuzz/` with libFuzzer. Not part of a normal build.

mod capture;
mod elf;
mod proc;

pub use crate::capture::fuzz::{frame, records};
pub use crate::cpython::fuzz::{lines, structures};
pub use crate::inspect::fuzz::arenas;
pub use crate::record::fuzz::ring;
pub use capture::capture;
pub use elf::elf;
pub use proc::proc;

/// A function of bytes.
pub type Door = fn(&[u8]);

/// Every door by its name, which is that of its target in `fuzz/` too.
pub const DOORS: [(&str, Door); 8] = [
    ("records", records),
    ("ring", ring),
    ("capture", capture),
    ("elf", elf),
    ("lines", lines),
    ("proc", proc),
    ("structures", structures),
    ("arenas", arenas),
];
