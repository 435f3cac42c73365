//! `prof`: attach to a running CPython and record every memory allocation.

/// The library that is loaded into a target.
pub const PAYLOAD: &[u8] = include_bytes!(env!("PROF_PAYLOAD"));
