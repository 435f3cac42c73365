//! How each version lays out what is read: tables of numbers, nothing else.
//!
//! The `v3_*` files are written by `scripts/gen_offsets` from the headers of each
//! version. Within a minor version these structures are part of the binary
//! interface that extension modules are built against and do not move; equal
//! tables came from the headers of 3.11.2 and 3.11.7, and of 3.12.1 and 3.12.10. From 3.8
//! on a debug build differs in one number ([`ArenaLayout`]).
//! From 3.13 on the process says itself where things are ([`debug`]), and the
//! table fills in what that leaves out. In any case a walk from outside must look
//! right ([`super::walk`]) before anybody relies on a table.

mod debug;
mod v3_10;
mod v3_11;
mod v3_12;
mod v3_13;
mod v3_14;
mod v3_15;
mod v3_6;
mod v3_7;
mod v3_8;
mod v3_9;

use prof_shared::region::PyOffsets;

pub use debug::{BadTable, DebugWords, apply};

/// One version's layout. Offsets in bytes, [`prof_shared::region::ABSENT`] where
/// a version has no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What a frame walk reads; its addresses are 0.
    pub walk: PyOffsets,
    /// In `_PyRuntime`: the word that is non-zero once it finalizes (3.7 and later).
    pub runtime_finalizing: u32,
    /// In `_PyRuntime`, which 3.6 has none of but this: the newest interpreter.
    pub runtime_interpreters: u32,
    /// In `_PyRuntime`: the allocator tables `raw`, `mem`, `obj` (3.12 and later).
    pub runtime_allocators: u32,
    /// In an interpreter: the next older one.
    pub interpreter_next: u32,
    /// In an interpreter: its newest thread state.
    pub interpreter_threads: u32,
    /// In a thread state: the next older one.
    pub thread_next: u32,
    /// In a thread state: the `pthread_t`.
    pub thread_id: u32,
    /// In a thread state: the tid (3.11 and later).
    pub native_thread_id: u32,
    /// In any object: its type.
    pub object_type: u32,
    /// In a type: `tp_dealloc`.
    pub type_dealloc: u32,
    /// Of the allocator of small objects.
    pub arenas: ArenaLayout,
    /// Where the process itself says where things are (3.13 and later).
    pub debug: Option<DebugWords>,
}

/// Where pymalloc lists its arenas, and how large things are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaLayout {
    /// In an interpreter: the allocator's state (3.12 and later).
    pub interpreter_state: u32,
    /// The same in a debug build.
    pub interpreter_state_debug: u32,
    /// Whether only its address is there (3.13 and later).
    pub is_pointer: bool,
    /// In that state: the address of the first `arena_object`.
    pub state_objects: u32,
    /// In that state: their number.
    pub state_length: u32,
    /// Bytes of an arena.
    pub arena_bytes: u32,
    /// Bytes of a pool.
    pub pool_bytes: u32,
}

impl Layout {
    /// The layout of `3.minor`, if there is a table.
    pub fn of(minor: u8) -> Option<Layout> {
        Some(match minor {
            6 => v3_6::LAYOUT,
            7 => v3_7::LAYOUT,
            8 => v3_8::LAYOUT,
            9 => v3_9::LAYOUT,
            10 => v3_10::LAYOUT,
            11 => v3_11::LAYOUT,
            12 => v3_12::LAYOUT,
            13 => v3_13::LAYOUT,
            14 => v3_14::LAYOUT,
            15 => v3_15::LAYOUT,
            _ => return None,
        })
    }
}
