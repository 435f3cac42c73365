//! The modules of the target and their unwind rows: at the attach, and as they come and go.

use super::row_file::{Placed, RowFile};
use super::{Error, Ground};
use crate::PAYLOAD;
use crate::model::{NativeModule, NativePlace};
use super::names;
use crate::native::{DebugFiles, Rules, Table};
use prof_injector::process::{Mapping, Maps, Module, Process};
use prof_shared::native::OWN;
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;

/// What tells two mappings of code apart: place, file.
type Identity = (u64, u64, (u32, u32), u64);

/// The modules.
pub struct Modules<'g> {
    rows: RowFile,
    known: Vec<Known<'g>>,
    count: u32,
    /// Code in the target at the last look.
    code: Vec<Identity>,
    debug_files: DebugFiles,
}

/// A module that frames may name.
struct Known<'g> {
    about: NativeModule,
    file: Bytes<'g>,
}

/// A module's file.
enum Bytes<'g> {
    /// As it was looked at before.
    Seen(&'g Module),
    /// Opened since.
    Opened(Box<Module>),
    /// An image out of memory, or ours.
    Copied(Vec<u8>),
}

impl Bytes<'_> {
    fn exports(&self, name: &str) -> bool {
        match self {
            Bytes::Seen(module) => module.symbol(name).is_some(),
            Bytes::Opened(module) => module.symbol(name).is_some(),
            Bytes::Copied(_) => false,
        }
    }

    fn get(&self) -> &[u8] {
        match self {
            Bytes::Seen(module) => &module.data,
            Bytes::Opened(module) => &module.data,
            Bytes::Copied(bytes) => bytes,
        }
    }
}

impl<'g> Modules<'g> {
    /// Puts the rows of all modules into `file`, a new memfd.
    pub fn create(ground: &'g Ground, file: File) -> Result<Modules<'g>, Error> {
        let rows = RowFile::create(file).map_err(Error::io("making the file of unwind rows"))?;
        let mut modules = Modules { rows, known: Vec::new(), count: 0, code: code(&ground.maps), debug_files: names::debug_files(&ground.process) };
        for module in &ground.modules {
            modules.add(about(module), &module.text, Bytes::Seen(module));
        }
        modules.add_vdso(&ground.process, &ground.maps);
        Ok(modules)
    }

    /// Adds the payload, whose frames are not shown, and has the target use all rows.
    pub fn publish(&mut self, payload: &[Range<u64>], load_bias: u64) -> Result<(), Error> {
        let (table, file_base) = rules(PAYLOAD).map_err(|_| Error::Unexpected("the payload has no unwind rows"))?;
        let placed = Placed { id: OWN, table: &table, file_base, load_bias, text: payload, evaluations: &[] };
        let added = self.rows.add(&placed).and_then(|()| self.rows.publish());
        added.map_err(Error::io("writing unwind rows"))
    }

    /// What is known of them.
    pub fn all(&self) -> impl Iterator<Item = &NativeModule> {
        self.known.iter().map(|known| &known.about)
    }

    /// The modules that came or went since the last look.
    pub fn look(&mut self, process: &Process, now_ns: u64) -> Vec<NativeModule> {
        let Ok(maps) = process.maps() else { return Vec::new() };
        let found = code(&maps);
        if found == self.code || found.is_empty() {
            return Vec::new();
        }
        let mut changed = self.end_those_without(&found, now_ns);
        let before = std::mem::replace(&mut self.code, found);
        let is_new = |first: &Mapping| {
            let of_file = |&&(.., device, inode): &&Identity| (device, inode) == (first.device, first.inode);
            let new = self.code.iter().filter(|identity| !before.contains(identity));
            new.filter(of_file).any(|&(start, ..)| start >= first.range.start)
        };
        let first = self.known.len();
        for module in process.modules_that(&maps, is_new) {
            let is_known = |known: &Known| {
                known.about.ended_ns.is_none() && known.about.text.iter().any(|part| part.0 == module.text[0].start)
            };
            if !self.known.iter().any(is_known) {
                let about = NativeModule { began_ns: now_ns, ..about(&module) };
                let text = module.text.clone();
                self.add(about, &text, Bytes::Opened(Box::new(module)));
            }
        }
        changed.extend(self.known[first..].iter().map(|known| known.about.clone()));
        if !changed.is_empty() && let Err(error) = self.rows.publish() {
            changed.iter_mut().for_each(|module| module.problem = error.to_string());
        }
        changed
    }

    /// What is at these places, given by module and address in it.
    pub fn resolve(&self, places: &BTreeSet<(u32, u32)>) -> Vec<NativePlace> {
        let of = |known: &Known| {
            let id = known.about.id;
            let own = places.range((id, 0)..=(id, u32::MAX)).map(|&(_, offset)| offset);
            names::resolve(&known.about, known.file.get(), &self.debug_files, own)
        };
        self.known.iter().flat_map(of).collect()
    }

    fn end_those_without(&mut self, found: &[Identity], now_ns: u64) -> Vec<NativeModule> {
        let gone: Vec<_> = self.code.iter().filter(|identity| !found.contains(identity)).collect();
        let mut ended = Vec::new();
        for known in self.known.iter_mut().filter(|known| known.about.ended_ns.is_none()) {
            let is_part = |&&(start, ..): &&Identity| known.about.text.iter().any(|part| part.0 == start);
            if gone.iter().any(|identity| is_part(identity)) {
                known.about.ended_ns = Some(now_ns);
                self.rows.remove(known.about.id);
                ended.push(known.about.clone());
            }
        }
        ended
    }

    fn add(&mut self, mut about: NativeModule, text: &[Range<u64>], file: Bytes<'g>) {
        self.count += 1;
        about.id = self.count;
        match self.add_rows(&about, text, &file) {
            Ok(rows) => about.rows = rows,
            Err(problem) => about.problem = problem,
        }
        self.known.push(Known { about, file });
    }

    fn add_rows(&mut self, about: &NativeModule, text: &[Range<u64>], file: &Bytes) -> Result<u64, String> {
        let (bytes, is_interpreter) = (file.get(), file.exports(names::EVALUATION));
        let (table, file_base) = rules(bytes).map_err(|error| error.to_string())?;
        let evaluations = match is_interpreter {
            true => names::evaluations(about, bytes, &self.debug_files),
            false => Vec::new(),
        };
        let (id, load_bias) = (about.id, about.load_bias);
        let placed = Placed { id, table: &table, file_base, load_bias, text, evaluations: &evaluations };
        self.rows.add(&placed).map_err(|error| error.to_string())?;
        Ok(table.rows().len() as u64)
    }

    /// The vDSO has no file; its image in memory has the layout of one.
    fn add_vdso(&mut self, process: &Process, maps: &Maps) {
        let Some(mapping) = maps.0.iter().find(|mapping| mapping.name == "[vdso]") else { return };
        let range = mapping.range.clone();
        let mut image = vec![0; mapping.len() as usize];
        if process.memory().read(range.start, &mut image).is_ok() {
            let text = vec![(range.start, range.end)];
            let about = NativeModule { path: mapping.name.clone(), load_bias: range.start, text, ..Default::default() };
            self.add(about, &[range], Bytes::Copied(image));
        }
    }
}

/// The rows of a file, and what they count from.
fn rules(file: &[u8]) -> Result<(Table, u64), crate::native::Error> {
    let mut rules = Rules::parse(file)?;
    Ok((rules.table()?, rules.text()))
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
fn code(maps: &Maps) -> Vec<Identity> {
    let code = maps.0.iter().filter(|m| m.exec && m.inode != 0 && !m.name.starts_with("/memfd:prof-"));
    code.map(|m| (m.range.start, m.range.end, m.device, m.inode)).collect()
}
