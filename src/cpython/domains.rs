//! The tables through which CPython calls its memory allocators.
//!
//! ```text
//!  PyMem_RawMalloc ─► raw ┐
//!  PyMem_Malloc    ─► mem ├ PyMemAllocatorEx: context malloc calloc realloc free
//!  PyObject_Malloc ─► obj ┘
//! ```
//!
//! From 3.12 on they lie in the runtime (`Include/internal/pycore_pymem.h`). Before,
//! they are static variables (`Objects/obmalloc.c`), and the exported functions show
//! where: each begins by loading its table's context and function.

use super::Interpreter;
use prof_injector::detour::references;
use prof_injector::process::{Maps, Memory, Module};
use prof_shared::kind::Kind;
use prof_shared::region::ABSENT;
use std::io;

const TABLE_BYTES: u64 = 5 * 8;
/// Where `malloc` and `free` stand in a table.
const MALLOC: u64 = 8;
const FREE: u64 = 32;
/// In so many instructions a function has loaded its table's words.
const PROLOGUE: usize = 16;
const PROLOGUE_BYTES: usize = PROLOGUE * 15;

/// The exported functions of each domain that give its table away.
const EXPORTED: [[&str; 2]; 3] = [
    ["PyMem_RawMalloc", "PyMem_RawFree"],
    ["PyMem_Malloc", "PyMem_Free"],
    ["PyObject_Malloc", "PyObject_Free"],
];

/// What the functions of each table do, in their order.
const KINDS: [[Kind; 4]; 3] = [
    [Kind::RawMalloc, Kind::RawCalloc, Kind::RawRealloc, Kind::RawFree],
    [Kind::MemMalloc, Kind::MemCalloc, Kind::MemRealloc, Kind::MemFree],
    [Kind::ObjectMalloc, Kind::ObjectCalloc, Kind::ObjectRealloc, Kind::ObjectFree],
];

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoDomains {
    /// A domain's functions do not begin as in any known build.
    #[error("{0} does not show where its allocator table is")]
    Hidden(&'static str),
    /// What should be a function is none.
    #[error("the allocator table at {0:#x} does not hold functions")]
    NoFunctions(u64),
    /// The process's memory cannot be read.
    #[error("cannot read CPython's allocator tables: {0}")]
    Unreadable(#[from] io::Error),
}

/// One function pointer of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainFunction {
    /// What the function does.
    pub kind: Kind,
    /// Where the pointer is.
    pub slot: u64,
    /// What it holds.
    pub function: u64,
}

impl Interpreter {
    /// The twelve functions of the three domains. `module` is the interpreter's.
    pub fn domains(
        &self,
        memory: &Memory,
        maps: &Maps,
        module: &Module,
    ) -> Result<Vec<DomainFunction>, NoDomains> {
        let mut functions = Vec::new();
        for (index, kinds) in KINDS.iter().enumerate() {
            let table = match self.layout().runtime_allocators {
                ABSENT => shown(memory, module, EXPORTED[index])?,
                offset => self.runtime().start + u64::from(offset) + index as u64 * TABLE_BYTES,
            };
            for (&kind, slot) in kinds.iter().zip((table + MALLOC..).step_by(8)) {
                let function = memory.read_u64(slot)?;
                if !maps.at(function).is_some_and(|mapping| mapping.exec) {
                    return Err(NoDomains::NoFunctions(table));
                }
                functions.push(DomainFunction { kind, slot, function });
            }
        }
        Ok(functions)
    }
}

/// The table whose context and function both exported functions load.
fn shown(memory: &Memory, module: &Module, names: [&'static str; 2]) -> Result<u64, NoDomains> {
    let loads = |name: &'static str| {
        let addr = module.symbol(name).ok_or(NoDomains::Hidden(name))?.addr;
        let mut code = [0; PROLOGUE_BYTES];
        let len = memory.read_some(addr, &mut code)?;
        Ok::<_, NoDomains>(references(&code[..len], addr, PROLOGUE))
    };
    let (malloc, free) = (loads(names[0])?, loads(names[1])?);
    let holds = |words: &[u64], table: u64, function: u64| {
        words.contains(&table) && words.contains(&(table + function))
    };
    let table =
        malloc.iter().copied().find(|&table| holds(&malloc, table, MALLOC) && holds(&free, table, FREE));
    table.ok_or(NoDomains::Hidden(names[0]))
}
