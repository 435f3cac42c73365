//! An ELF file mapped into a process: where it lies, what it defines.
//!
//! The vDSO has no file and is not listed.

use super::cut::expect_cuts;
use super::{Mapping, Maps};
use goblin::elf::program_header::{PT_LOAD, ProgramHeader};
use goblin::elf::section_header::SHN_UNDEF;
use goblin::elf::{Elf, Sym};
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

/// The modules in `maps`, one for each load: a file that is loaded twice comes
/// twice, a file whose first page is mapped twice by one load comes once.
pub(super) fn loaded(
    map_files: &Path,
    root: &Path,
    maps: &Maps,
    is_wanted: impl Fn(&Mapping) -> bool,
) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    for first in maps.0.iter().filter(|m| m.offset == 0 && m.inode != 0 && !m.shared) {
        if modules.last().is_some_and(|last| last.range.contains(&first.range.start)) || !is_wanted(first) {
            continue;
        }
        modules.extend(Module::open(map_files, root, maps, first).ok());
    }
    modules
}

impl Module {
    /// Opens the file behind the mapping that starts a module. The file is taken
    /// from `map_files` (right even if it was replaced since), else by its path
    /// below `root`.
    fn open(map_files: &Path, root: &Path, maps: &Maps, first: &Mapping) -> io::Result<Module> {
        let range = format!("{:x}-{:x}", first.range.start, first.range.end);
        let path = first.name.strip_suffix(" (deleted)").unwrap_or(&first.name);
        let file = File::open(map_files.join(range))
            .or_else(|_| File::open(root.join(path.trim_start_matches('/'))))?;
        let data = map_file(&file)?;
        let parsed = Parsed::new(&data, maps, first)?;
        Ok(Module {
            path: path.into(),
            load_bias: parsed.load_bias,
            range: parsed.range,
            text: parsed.text,
            build_id: parsed.build_id,
            symbols: parsed.symbols,
            data,
        })
    }

    /// The address of a defined dynamic symbol.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols.get(name).copied()
    }

    /// Its writable mappings and the nameless one right behind them.
    pub fn writable<'a>(&'a self, maps: &'a Maps) -> impl Iterator<Item = Range<u64>> + 'a {
        let of_module = |start: u64| self.range.start <= start && start <= self.range.end;
        let own = maps.0.iter().filter(move |mapping| of_module(mapping.range.start));
        own.filter(|mapping| mapping.read && mapping.write && !mapping.shared && mapping.name != "[heap]")
            .map(|mapping| mapping.range.clone())
    }

    /// Whether `addr` lies in its executable parts.
    pub fn has_code(&self, addr: u64) -> bool {
        self.text.iter().any(|range| range.contains(&addr))
    }
}

/// Maps a file that others may write to, to be read by parsers that believe nothing.
pub fn map_file(file: &File) -> io::Result<memmap2::Mmap> {
    expect_cuts()?;
    #[expect(unsafe_code)]
    // SAFETY: the map is private and read-only. What a file that somebody truncates
    // meanwhile no longer has reads as zeros; one that somebody writes to changes
    // under our parsers, which believe nothing that they have read before.
    unsafe {
        memmap2::Mmap::map(file)
    }
}

/// What a file's bytes and its place in the maps say.
struct Parsed {
    load_bias: u64,
    range: Range<u64>,
    text: Vec<Range<u64>>,
    build_id: Option<Vec<u8>>,
    symbols: HashMap<String, Symbol>,
}

impl Parsed {
    fn new(data: &[u8], maps: &Maps, first: &Mapping) -> io::Result<Parsed> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let elf = Elf::parse(data).map_err(|_| invalid())?;
        let loads: Vec<_> = elf.program_headers.iter().filter(|h| h.p_type == PT_LOAD).collect();
        let load = loads.iter().find(|h| h.p_offset <= first.offset).ok_or_else(invalid)?;
        let load_bias = first
            .range
            .start
            .wrapping_sub(first.offset)
            .wrapping_sub(load.p_vaddr.wrapping_sub(load.p_offset));
        let end = image_end(&loads).wrapping_add(load_bias);
        let own: Vec<_> = maps.0.iter().filter(|m| is_part(m, first, end)).collect();
        let text: Vec<_> = own.iter().filter(|m| m.exec).map(|m| m.range.clone()).collect();
        // A file that is mapped to be read, not to be run, is no module.
        if text.is_empty() {
            return Err(invalid());
        }
        Ok(Parsed {
            load_bias,
            range: first.range.start..own.last().map_or(first.range.end, |m| m.range.end),
            text,
            build_id: build_id(&elf, data),
            symbols: defined_symbols(&elf, load_bias),
        })
    }
}

/// The file's address behind its last loaded byte.
fn image_end(loads: &[&ProgramHeader]) -> u64 {
    loads.iter().map(|h| h.p_vaddr.saturating_add(h.p_memsz)).max().unwrap_or(0)
}

/// Whether `m` is of the load that starts with `first` and reaches to `end`.
fn is_part(m: &Mapping, first: &Mapping, end: u64) -> bool {
    m.inode == first.inode
        && m.device == first.device
        && m.range.start >= first.range.start
        && (m.range.start < end || m.range == first.range)
}

fn defined_symbols(elf: &Elf, load_bias: u64) -> HashMap<String, Symbol> {
    const HIDDEN: u16 = 0x8000;
    let mut symbols = HashMap::new();
    let defined = |hidden: bool| {
        let version = move |index| elf.versym.as_ref()?.get_at(index).map(|version| version.vs_val);
        // An executable that is not PIE gives undefined functions the address of its PLT.
        let is_defined = |s: &Sym| s.st_shndx != SHN_UNDEF as usize && s.st_value != 0;
        let symbols = elf.dynsyms.iter().enumerate().filter(move |(_, s)| is_defined(s));
        symbols.filter(move |&(index, _)| (version(index).unwrap_or(0) & HIDDEN != 0) == hidden)
    };
    for (_, symbol) in defined(false).chain(defined(true)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own_maps() -> Maps {
        Maps::read(Path::new("/proc/self/maps")).unwrap()
    }

    /// A small real library and a place to pretend that it is loaded at.
    fn sample() -> (Vec<u8>, Maps) {
        let candidates = ["/lib/x86_64-linux-gnu/libdl.so.2", "/lib64/libdl.so.2", "/usr/lib/libdl.so.2"];
        let file = candidates.iter().find_map(|path| std::fs::read(path).ok());
        let line = "7f0000000000-7f0000010000 r-xp 00000000 08:01 42 /lib/libdl.so.2";
        (file.expect("a glibc system has libdl"), Maps(vec![Mapping::parse(line).unwrap()]))
    }

    #[test]
    fn our_own_executable_comes_once() {
        let exe = std::env::current_exe().unwrap();
        let modules = loaded(Path::new("/proc/self/map_files"), Path::new("/"), &own_maps(), |_| true);
        assert_eq!(modules.iter().filter(|module| module.path == exe).count(), 1);
    }

    #[test]
    fn a_file_that_is_cut_short_reads_as_zeros() {
        let (data, _) = sample();
        let path = std::env::temp_dir().join(format!("prof-cut-{}", std::process::id()));
        std::fs::write(&path, &data).unwrap();
        let line = format!("7f0000000000-7f0000010000 r-xp 00000000 08:01 42 {}", path.display());
        let maps = Maps(vec![Mapping::parse(&line).unwrap()]);
        let modules = loaded(Path::new("/nowhere"), Path::new("/"), &maps, |_| true);
        File::options().write(true).open(&path).unwrap().set_len(5).unwrap();
        std::fs::remove_file(&path).unwrap();
        let [module] = &modules[..] else { panic!("{} modules", modules.len()) };
        assert_eq!(module.data.len(), data.len());
        assert!(module.data[4096..].iter().all(|&byte| byte == 0));
        assert_eq!(&module.data[..5], &data[..5]);
    }

    #[test]
    fn a_file_that_is_only_read_is_no_module() {
        let (data, mut maps) = sample();
        maps.0[0].exec = false;
        assert!(Parsed::new(&data, &maps, &maps.0[0]).is_err());
    }

    proptest! {
        #[test]
        fn malformed_files_do_not_panic(edits: Vec<(u16, u8)>, cut in 0usize..20_000) {
            let (mut data, maps) = sample();
            for (at, byte) in edits {
                // Most of what is parsed lies at the front.
                let at = at as usize % data.len().min(4096);
                data[at] = byte;
            }
            let data = &data[..cut.min(data.len())];
            let _ = Parsed::new(data, &maps, &maps.0[0]);
        }
    }
}
