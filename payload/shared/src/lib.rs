//! What the payload (in the target) and the attacher (outside) must agree on.
//!
//! Everything here is plain data and pure code: the bytes of a record, the
//! layout of the shared ring, the layout of the private region, and the rows
//! that unwind native stacks. It knows no CPython version, no ELF, no DWARF and
//! no system call, and it depends on nothing.

#![no_std]

pub mod fields;
pub mod kind;
pub mod native;
pub mod random;
pub mod record;
pub mod region;
pub mod ring;
pub mod row;
pub mod varint;
