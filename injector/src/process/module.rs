//! An ELF file mapped into a process: where it lies, what it defines.

use super::Maps;
use goblin::elf::Elf;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// A defined symbol, at its address in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its address in the process.
    pub addr: u64,
    /// Its size in bytes, 0 if the file does not say.
    pub size: u64,
    /// Whether it is a function (also an indirect one).
    pub is_function: bool,
}

/// One ELF file mapped into a process.
pub struct Module {
    /// Its path as the process sees it.
    pub path: PathBuf,
    /// What is added to the file's addresses.
    pub load_bias: u64,
    /// From its first to behind its last mapping.
    pub range: Range<u64>,
    /// Its executable parts.
    pub text: Vec<Range<u64>>,
    /// Its GNU build-id, if it has one.
    pub build_id: Option<Vec<u8>>,
    /// The file's bytes.
    pub data: memmap2::Mmap,
    /// Its dynamic symbols, as addresses in the process.
    pub symbols: HashMap<String, Symbol>,
}
