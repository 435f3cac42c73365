//! An ELF file mapped into a process: where it lies, what it defines.

use super::{Mapping, Maps};
use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::section_header::SHN_UNDEF;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A defined symbol, at its address in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its address in the process.
    pub addr: u64,
    /// Its size in bytes, 0 if the file does not say.
    pub size: u64,
    /// Whether it is a plain function (indirect ones are not).
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
    /// Its defined dynamic symbols by name, default versions first.
    pub symbols: HashMap<String, Symbol>,
}

impl Module {
    /// Opens the file behind the mapping that starts a module. The file is taken
    /// from `map_files` (right even if it was replaced since), else by its path
    /// below the process's root.
    pub fn open(proc_dir: &Path, maps: &Maps, first: &Mapping) -> io::Result<Module> {
        let range = format!("{:x}-{:x}", first.range.start, first.range.end);
        let path = first.name.trim_end_matches(" (deleted)").to_owned();
        let file = File::open(proc_dir.join("map_files").join(range))
            .or_else(|_| File::open(proc_dir.join("root").join(path.trim_start_matches('/'))))?;
        #[expect(unsafe_code)]
        // SAFETY: the map is private and read-only. A file that somebody truncates
        // meanwhile raises SIGBUS; mapped ELF files are replaced, not truncated, or
        // the target itself would die of it.
        let data = unsafe { memmap2::Mmap::map(&file)? };
        Module::parse(path.into(), maps, first, data)
    }

    fn parse(path: PathBuf, maps: &Maps, first: &Mapping, data: memmap2::Mmap) -> io::Result<Module> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{error}"));
        let elf = Elf::parse(&data).map_err(invalid)?;
        let load = elf.program_headers.iter().find(|h| h.p_type == PT_LOAD && h.p_offset <= first.offset);
        let load = load.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let load_bias =
            first.range.start.wrapping_sub(first.offset).wrapping_sub(load.p_vaddr - load.p_offset);
        let own: Vec<_> =
            maps.0.iter().filter(|m| m.inode == first.inode && m.device == first.device).collect();
        let symbols = defined_symbols(&elf, load_bias);
        let build_id = build_id(&elf, &data);
        Ok(Module {
            path,
            load_bias,
            range: first.range.start..own.last().map_or(first.range.end, |m| m.range.end),
            text: own.iter().filter(|m| m.exec).map(|m| m.range.clone()).collect(),
            build_id,
            symbols,
            data,
        })
    }

    /// The address of a defined dynamic symbol.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols.get(name).copied()
    }

    /// Whether `addr` lies in its executable parts.
    pub fn has_code(&self, addr: u64) -> bool {
        self.text.iter().any(|range| range.contains(&addr))
    }
}

fn defined_symbols(elf: &Elf, load_bias: u64) -> HashMap<String, Symbol> {
    let mut symbols = HashMap::new();
    for symbol in elf.dynsyms.iter().filter(|s| s.st_shndx != SHN_UNDEF as usize && s.st_value != 0) {
        let Some(name) = elf.dynstrtab.get_at(symbol.st_name) else { continue };
        let value = Symbol {
            addr: symbol.st_value.wrapping_add(load_bias),
            size: symbol.st_size,
            is_function: symbol.is_function(),
        };
        symbols.entry(name.to_owned()).or_insert(value);
    }
    symbols
}

fn build_id(elf: &Elf, data: &[u8]) -> Option<Vec<u8>> {
    let notes = elf.iter_note_headers(data)?;
    let note = notes.flatten().find(|n| n.name == "GNU" && n.n_type == goblin::elf::note::NT_GNU_BUILD_ID)?;
    Some(note.desc.to_vec())
}
