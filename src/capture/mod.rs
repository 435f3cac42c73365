//! The capture file, `*.prof`: written block by block while recording, read
//! back as one stream of events ordered by time.
//!
//! ```text
//!  recorder ─► Writer ─► file ─► Reader ─► Events: exact merge over threads ─► Event …
//!     └ pieces of chunks, code objects, samples, notes    └ decodes a piece at a time
//! ```
//!
//! Everything read is checked: damage costs what it hit, is counted, and never panics.
//! The layout is described in `ARCHITECTURE.md`.

pub mod format;

mod aggregate;
mod ahead;
mod assembler;
mod block;
mod chunk;
mod chunk_table;
mod code_block;
mod columns;
mod error;
mod follow;
mod gather;
mod growing;
mod hybrid;
mod index;
mod merge;
mod online;
mod piece;
mod reader;
mod waiting;
mod writer;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
#[cfg(test)]
mod layout;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use ahead::Batch;
pub use assembler::CodeAssembler;
pub use error::{Error, Result};
pub use follow::Follower;
pub use gather::Gathering;
pub use merge::{Damage, Events};
pub use reader::Reader;
pub use writer::{Begun, Writer, create};
