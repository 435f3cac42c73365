//! x
pub mod cpython;
