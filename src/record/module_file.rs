//! What is read of one module: its file, its unwind rows, where it evaluates Python code.

use super::names;
use crate::model::NativeModule;
use crate::native::{DebugFiles, Rules, Table};
use prof_injector::process::{Mapping, Maps, Module, Process};
use prof_shared::region::PAGE;
use std::iter;
use std::ops::Range;

/// What tells two mappings of code apart: place and file.
pub type Identity = (u64, u64, (u32, u32), u64);

/// A module's file.
pub enum Bytes<'g> {
    /// As it was looked at before.
    Seen(&'g Module),
    /// Opened since.
    Opened(Box<Module>),
    /// An image out of memory.
    Copied(Vec<u8>),
}

/// A module as it was found.
pub struct Found<'g> {
    /// What is known of it.
    pub about: NativeModule,
    /// Its executable parts.
    pub text: Vec<Range<u64>>,
    /// Its file.
    pub file: Bytes<'g>,
    /// What was read of that; or why nothing.
    pub read: Result<Read, String>,
}

/// What was read of a file.
pub struct Read {
    /// The rows.
    pub table: Table,
    /// What they count from, as an address of the file.
    pub file_base: u64,
    /// The parts that evaluate Python code.
    pub evaluations: Vec<Range<u64>>,
}

impl Bytes<'_> {
    /// The bytes.
    pub fn get(&self) -> &[u8] {
        match self {
            Bytes::Seen(module) => &module.data,
            Bytes::Opened(module) => &module.data,
            Bytes::Copied(bytes) => bytes,
        }
    }
}

impl<'g> Found<'g> {
    /// Of a module with a file, if that is what was loaded: without the right to open what a
    /// process has mapped it was opened by its name, which may be another one's by now.
    pub fn of(process: &Process, file: Bytes<'g>, debug_files: &DebugFiles) -> Found<'g> {
        let module = match &file {
            Bytes::Seen(module) => *module,
            Bytes::Opened(module) => &**module,
            Bytes::Copied(bytes) => return Found::without_module(bytes.clone()),
        };
        let (about, text) = (about(module), module.text.clone());
        let read = match is_loaded(process, module) {
            true => Found::of_bytes(&module.data).map(|read| match module.symbol(names::EVALUATION) {
                Some(_) => {
                    Read { evaluations: names::evaluations(&about, &module.data, debug_files), ..read }
                }
                None => read,
            }),
            false => Err("the file was replaced".to_owned()),
        };
        // Names out of another file would be wrong.
        let file = if read.is_ok() { file } else { Bytes::Copied(Vec::new()) };
        Found { about, text, file, read }
    }

    fn without_module(bytes: Vec<u8>) -> Found<'g> {
        let read = Found::of_bytes(&bytes);
        Found { about: NativeModule::default(), text: Vec::new(), file: Bytes::Copied(bytes), read }
    }

    /// The vDSO has no file; its image in memory has the layout of one.
    pub fn vdso(process: &Process, maps: &Maps) -> Option<Found<'g>> {
        let mapping = maps.0.iter().find(|mapping| mapping.name == "[vdso]")?;
        let (range, start) = (mapping.range.clone(), mapping.range.start);
        let mut image = vec![0; mapping.len() as usize];
        process.memory().read(start, &mut image).ok()?;
        let path = mapping.name.clone();
        let about = NativeModule {
            path,
            load_bias: start,
            text: vec![(start, range.end)],
            ..NativeModule::default()
        };
        Some(Found { about, text: iter::once(range).collect(), ..Found::without_module(image) })
    }

    /// The rows of a file, without more.
    pub fn of_bytes(file: &[u8]) -> Result<Read, String> {
        let mut rules = Rules::parse(file).map_err(|error| error.to_string())?;
        let table = rules.table().map_err(|error| error.to_string())?;
        Ok(Read { table, file_base: rules.text(), evaluations: Vec::new() })
    }
}

/// The modules that have some of this code.
pub fn find_new(
    process: &Process,
    maps: &Maps,
    code: &[Identity],
    now_ns: u64,
    debug_files: &DebugFiles,
) -> Vec<Found<'static>> {
    let is_new = |first: &Mapping| {
        let of_file = |&&(.., device, inode): &&Identity| (device, inode) == (first.device, first.inode);
        code.iter().filter(of_file).any(|&(start, ..)| start >= first.range.start)
    };
    let mut found = Vec::new();
    for module in process.modules_that(maps, is_new) {
        let mut module = Found::of(process, Bytes::Opened(Box::new(module)), debug_files);
        module.about.began_ns = now_ns;
        found.push(module);
    }
    found
}

/// Whether a module's first page, which names its build, is that of its file.
fn is_loaded(process: &Process, module: &Module) -> bool {
    let mut page = vec![0; module.data.len().min(PAGE as usize)];
    let read = process.memory().read(module.range.start, &mut page);
    read.is_ok() && page[..] == module.data[..page.len()]
}

fn about(module: &Module) -> NativeModule {
    NativeModule {
        path: module.path.display().to_string(),
        build_id: module.build_id.iter().flatten().map(|byte| format!("{byte:02x}")).collect(),
        load_bias: module.load_bias,
        text: module.text.iter().map(|part| (part.start, part.end)).collect(),
        ..NativeModule::default()
    }
}

/// All code that comes from files, but ours.
pub fn code(maps: &Maps) -> Vec<Identity> {
    let code = maps.0.iter().filter(|m| m.exec && m.inode != 0 && !m.name.starts_with("/memfd:prof-"));
    code.map(|m| (m.range.start, m.range.end, m.device, m.inode)).collect()
}
