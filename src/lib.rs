//! `prof` as a library: what the binary's commands are made of.

pub mod analysis;
pub mod capture;
pub mod cli;
pub mod model;
pub mod report;
