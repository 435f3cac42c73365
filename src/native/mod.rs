//! Native stacks: unwind rows from the files of a process's modules.
//!
//! ```text
//!  ELF bytes ─► layout ─► header (pc → FDE) ─► compile ─► Row ─► prof_shared::row::exec
//!                                 │                        ▲
//!                       Rules: one pc, on demand           │
//!                       Table: a whole module at once ─────┘
//! ```
//!
//! Nothing here runs or reads a process: files come in as bytes, memory as a
//! closure. The bytes are hostile: what is malformed has no rule, and neither
//! memory nor time grow beyond the size of the file.

mod compile;
mod header;
mod layout;
mod rules;
mod symbols;
mod table;
mod unwinder;

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod gdb_tests;
#[cfg(test)]
mod safepoint_tests;
#[cfg(test)]
mod test_target;

pub use rules::Rules;
pub use symbols::{DebugFiles, NativeFrame, SymbolFiles, Symbols};
pub use table::Table;
pub use unwinder::{Backtrace, Unwinder};

/// Why a module has no unwind rules.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an ELF file of a machine that is supported.
    #[error("not a little-endian x86_64 ELF file")]
    NotElf(#[from] object::read::Error),
    /// A program header or table points outside the file.
    #[error("{0} lies outside the file")]
    OutsideFile(&'static str),
    /// The file has no such part.
    #[error("the file has no {0}")]
    Missing(&'static str),
    /// `.eh_frame_hdr` is of a form that no linker writes.
    #[error("unknown form of .eh_frame_hdr")]
    UnknownHeader,
    /// The search table is not ascending.
    #[error("the table of .eh_frame_hdr is not sorted")]
    Unsorted,
    /// The entries together claim more than the file can hold.
    #[error("the unwind entries overlap without bound")]
    Excessive,
}
