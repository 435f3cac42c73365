//! A foreign process, looked at from outside. Nothing here stops or changes it.

mod maps;
mod memory;
mod module;

pub use maps::{Mapping, Maps};
pub use memory::Memory;
pub use module::{Module, Symbol};
