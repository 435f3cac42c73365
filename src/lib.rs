//! `prof`: attach to a running CPython and record every memory allocation.

pub mod analysis;
pub mod capture;
pub mod cli;
pub mod cpython;
pub mod explore;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
pub mod inspect;
pub mod model;
pub mod native;
pub mod record;
pub mod report;

/// The library that is loaded into a target.
pub const PAYLOAD: &[u8] = include_bytes!(env!("PROF_PAYLOAD"));
