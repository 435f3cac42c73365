//! x

pub mod native;
