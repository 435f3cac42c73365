//! Which functions of a process are detoured: every definition of an allocator
//! entry in every module, one [`Function`] an address.
//!
//! The code is taken from the module's *file*; whether the process still holds
//! the same is for the planner to compare.

use super::hook::{FUNCTIONS, Hook};
use super::prologue::ENTRY_BLOCK_BYTES;
use crate::process::{Module, Symbol};
use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Bytes kept behind a function's end: a jump made of its last bytes reaches
/// into its padding.
const TAIL_BYTES: usize = 8;
/// The extent assumed of a function whose file states no size, at most.
const UNSIZED_BYTES: u64 = 4096;

/// A function to detour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The hook that serves it.
    pub hook: Hook,
    /// The name under which it is reported.
    pub name: &'static str,
    /// The module that defines it.
    pub module: PathBuf,
    /// Its address in the process.
    pub addr: u64,
    /// Its length in bytes.
    pub size: usize,
    /// What the file has from its address on: `size` bytes and a few behind.
    pub code: Vec<u8>,
    /// Addresses in its entry block that code elsewhere in the module jumps or
    /// calls to.
    pub inward: Vec<u64>,
}

/// A definition that is not detoured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    /// An indirect function: its address is chosen at load time, and code is
    /// entered behind it.
    #[error("{} defines {name}, but not as a plain function", module.display())]
    NotPlain {
        /// The defining module.
        module: PathBuf,
        /// The symbol.
        name: &'static str,
    },
    /// The symbol lies outside of the file's executable segments.
    #[error("{} defines {name} outside of its code", module.display())]
    NotInCode {
        /// The defining module.
        module: PathBuf,
        /// The symbol.
        name: &'static str,
    },
}

/// What [`find`] found.
#[derive(Debug, Default)]
pub struct Found {
    /// The functions, by address.
    pub functions: Vec<Function>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// Finds the entries that `modules` define. The loader's own allocator, which
/// serves only until libc is there (glibc before 2.31 exports it), is left out.
pub fn find(modules: &[Module]) -> Found {
    let mut found = Found::default();
    for module in modules {
        find_in(module, &mut found);
    }
    found.functions.sort_by_key(|function| function.addr);
    found
}

fn find_in(module: &Module, found: &mut Found) {
    let is_loader = module.symbol("_rtld_global").is_some();
    let mut by_addr: BTreeMap<u64, (&'static str, Hook, Symbol)> = BTreeMap::new();
    for (name, hook) in FUNCTIONS {
        let Some(symbol) = module.symbol(name).filter(|_| !(is_loader && hook.is_heap())) else { continue };
        if !symbol.is_function {
            found.skipped.push(Skipped::NotPlain { module: module.path.clone(), name });
            continue;
        }
        let entry = by_addr.entry(symbol.addr).or_insert((name, hook, symbol));
        if hook < entry.1 {
            *entry = (name, hook, symbol);
        }
    }
    if by_addr.is_empty() {
        return;
    }
    let segments = segments(module);
    let starts: Vec<u64> = by_addr.keys().copied().collect();
    let inward = inward_branches(&segments, &starts);
    for (name, hook, symbol) in by_addr.into_values() {
        match function(module, &segments, name, hook, symbol) {
            Some(mut function) => {
                let block = function.addr..function.addr + ENTRY_BLOCK_BYTES as u64;
                function.inward = inward.iter().copied().filter(|addr| block.contains(addr)).collect();
                found.functions.push(function);
            }
            None => found.skipped.push(Skipped::NotInCode { module: module.path.clone(), name }),
        }
    }
}

fn function(
    module: &Module,
    segments: &[Segment],
    name: &'static str,
    hook: Hook,
    symbol: Symbol,
) -> Option<Function> {
    let bytes = segments.iter().find_map(|segment| segment.from(symbol.addr))?;
    let size = usize::try_from(extent(module, symbol)).ok()?.min(bytes.len());
    let code = bytes[..bytes.len().min(size.checked_add(TAIL_BYTES)?)].to_vec();
    let module = module.path.clone();
    Some(Function { hook, name, module, addr: symbol.addr, size, code, inward: Vec::new() })
}

/// A symbol's size, and if the file states none, the distance to the next one.
fn extent(module: &Module, symbol: Symbol) -> u64 {
    if symbol.size != 0 {
        return symbol.size;
    }
    let next = module.symbols.values().map(|other| other.addr).filter(|addr| *addr > symbol.addr).min();
    next.map_or(UNSIZED_BYTES, |next| next - symbol.addr).min(UNSIZED_BYTES)
}

/// An executable segment as the file has it.
struct Segment<'a> {
    addr: u64,
    bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    fn from(&self, addr: u64) -> Option<&'a [u8]> {
        let offset = usize::try_from(addr.checked_sub(self.addr)?).ok()?;
        self.bytes.get(offset..).filter(|rest| !rest.is_empty())
    }
}

fn segments(module: &Module) -> Vec<Segment<'_>> {
    let Ok(elf) = Elf::parse(&module.data) else { return Vec::new() };
    let code = elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD && header.is_executable());
    let segment = |header: &goblin::elf::ProgramHeader| {
        let start = usize::try_from(header.p_offset).ok()?;
        let end = start.checked_add(usize::try_from(header.p_filesz).ok()?)?;
        let bytes = module.data.get(start..end)?;
        Some(Segment { addr: header.p_vaddr.wrapping_add(module.load_bias), bytes })
    };
    code.filter_map(segment).collect()
}

/// Every target of a near branch that lies inside of an entry block, its start
/// excluded. Read at every byte offset, not only where instructions begin: that
/// may find too much, which costs a candidate, and never too little.
fn inward_branches(segments: &[Segment], starts: &[u64]) -> Vec<u64> {
    let mut targets = Vec::new();
    for segment in segments {
        for (offset, window) in segment.bytes.windows(6).enumerate() {
            let (length, displacement) = match window {
                [0xe8 | 0xe9, a, b, c, d, _] => (5, [*a, *b, *c, *d]),
                [0x0f, 0x80..=0x8f, a, b, c, d] => (6, [*a, *b, *c, *d]),
                _ => continue,
            };
            let next = segment.addr.wrapping_add(offset as u64 + length);
            let target = next.wrapping_add_signed(i64::from(i32::from_le_bytes(displacement)));
            let start = starts.partition_point(|start| *start < target).checked_sub(1).map(|i| starts[i]);
            if start.is_some_and(|start| target - start < ENTRY_BLOCK_BYTES as u64) {
                targets.push(target);
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_into_an_entry_block_are_seen_and_its_start_is_not() {
        let mut bytes = vec![0x90; 64];
        bytes[32..37].copy_from_slice(&[0xe9, 0xdf, 0xff, 0xff, 0xff]); // jmp 0x1004
        bytes[40..46].copy_from_slice(&[0x0f, 0x84, 0xd2, 0xff, 0xff, 0xff]); // je 0x1000
        let segments = [Segment { addr: 0x1000, bytes: &bytes }];
        assert_eq!(inward_branches(&segments, &[0x1000]), [0x1004]);
        assert_eq!(inward_branches(&segments, &[0x9000]), []);
    }
}
