//! Find, stop, change and restore a foreign process.
//!
//! [`process`] only looks: it opens no ptrace relation and writes nothing. All
//! that stops or changes a target lies beside it. This crate knows nothing of
//! CPython, captures or reports, and it is the only one that names `nix`.

pub mod arch;
pub mod barrier;
pub mod call;
pub mod detour;
pub mod failpoint;
pub mod launch;
pub mod memfd;
pub mod preflight;
pub mod process;
pub mod region;
pub mod safepoint;
pub mod seccomp;
mod signals;
pub mod tracee;

pub use nix::unistd::Pid;
