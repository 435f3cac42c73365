//! The stubs through which a module calls the functions of others.
//!
//! Each stub of `.plt`, `.plt.sec` and `.plt.got` jumps to where a slot says, and a
//! relocation says which function comes into the slot (System V ABI, AMD64, 5.2).

use super::functions::Function;
use super::image::Image;
use object::{Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationTarget};
use std::collections::HashMap;

const SECTIONS: [&str; 3] = [".plt", ".plt.sec", ".plt.got"];
const ENDBR64: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
/// `bnd` before a jump.
const BND: &[u8] = &[0xf2];
/// `jmp *disp32(%rip)`
const JUMP: &[u8] = &[0xff, 0x25];

/// The stubs of a module.
pub(super) fn stubs<'a>(module: &'a Image<'_>) -> Vec<Function<'a>> {
    let slots = slots(module);
    let mut found = Vec::new();
    for section in
        SECTIONS.into_iter().filter_map(|name| Some((name, module.elf().section_by_name(name)?.address())))
    {
        let (name, mut address) = section;
        // The stubs of `.plt.got` are of 8 bytes where they need no mark for branches.
        let code = module.section(name);
        let size = if name == ".plt.got" && !code.starts_with(ENDBR64) { 8 } else { 16 };
        for stub in code.chunks_exact(size) {
            if let Some(name) = slot(address, stub).and_then(|slot| slots.get(&slot)) {
                found.push(Function::stub(address..address.saturating_add(size as u64), name));
            }
            address = address.wrapping_add(size as u64);
        }
    }
    found
}

/// The slot that a stub at an address jumps by.
fn slot(address: u64, stub: &[u8]) -> Option<u64> {
    let rest = stub.strip_prefix(ENDBR64).unwrap_or(stub);
    let rest = rest.strip_prefix(BND).unwrap_or(rest);
    let (displacement, behind) = rest.strip_prefix(JUMP)?.split_first_chunk()?;
    let end = address.wrapping_add((stub.len() - behind.len()) as u64);
    Some(end.wrapping_add_signed(i32::from_le_bytes(*displacement).into()))
}

/// The functions that the loader puts into slots.
fn slots<'a>(module: &'a Image<'_>) -> HashMap<u64, &'a [u8]> {
    let elf = module.elf();
    let Some((symbols, relocations)) = elf.dynamic_symbol_table().zip(elf.dynamic_relocations()) else {
        return HashMap::new();
    };
    let name = |target| match target {
        RelocationTarget::Symbol(index) => symbols.symbol_by_index(index).ok()?.name_bytes().ok(),
        _ => None,
    };
    relocations.filter_map(|(slot, relocation)| Some((slot, name(relocation.target())?))).collect()
}
