//! The modules of the target and their unwind rows: at the attach, and as they come and go.

use super::names;
use super::row_file::{Placed, RowFile, Written};
use super::{Error, Ground};
use crate::PAYLOAD;
use crate::model::{NativeModule, NativePlace};
use crate::native::{DebugFiles, Rules, Table};
use prof_injector::process::{Mapping, Maps, Module, Process};
use prof_shared::native::OWN;
use prof_shared::region::PAGE;
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A look at the target's mappings takes at most one part in so many of the time,
const COST: u32 = 100;
/// and there is at least so much between two.
const REST: Duration = Duration::from_millis(8);

/// What tells two mappings of code apart: place, file.
type Identity = (u64, u64, (u32, u32), u64);

/// The modules.
pub struct Modules<'g> {
    rows: RowFile,
    known: Vec<Known<'g>>,
    count: u32,
    /// Code in the target at the last look.
    code: Vec<Identity>,
    next_look: Instant,
    debug_files: DebugFiles,
}

/// A module that frames may name.
struct Known<'g> {
    about: NativeModule,
    file: Bytes<'g>,
    rows: Option<Rows>,
}

/// What was written of a file.
#[derive(Clone)]
struct Rows {
    written: Written,
    count: u64,
    /// The parts of it that evaluate Python code.
    evaluations: Arc<[Range<u64>]>,
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
    fn module(&self) -> Option<&Module> {
        match self {
            Bytes::Seen(module) => Some(module),
            Bytes::Opened(module) => Some(module),
            Bytes::Copied(_) => None,
        }
    }

    fn exports(&self, name: &str) -> bool {
        self.module().is_some_and(|module| module.symbol(name).is_some())
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
    pub fn new(ground: &'g Ground, file: File) -> Modules<'g> {
        let mut modules = Modules {
            rows: RowFile::new(file),
            known: Vec::new(),
            count: 0,
            code: code(&ground.maps),
            next_look: Instant::now(),
            debug_files: names::debug_files(&ground.process),
        };
        for module in &ground.modules {
            modules.add_file(&ground.process, about(module), Bytes::Seen(module));
        }
        modules.add_vdso(&ground.process, &ground.maps);
        modules
    }

    /// Gives the file its length, before it is mapped. Returns it.
    pub fn seal(&mut self) -> Result<u64, Error> {
        self.rows.seal().map_err(Error::io("making the file of unwind rows"))
    }

    /// Adds the payload, whose frames are not shown, and has the target use all rows.
    pub fn publish(&mut self, payload: &[Range<u64>], load_bias: u64) -> Result<(), Error> {
        let (table, file_base) =
            rules(PAYLOAD).map_err(|_| Error::Unexpected("the payload has no unwind rows"))?;
        let rows = self.rows.write(&table, file_base).map_err(Error::io("writing unwind rows"))?;
        self.rows.add(&Placed { id: OWN, rows, load_bias, text: payload, evaluations: &[] });
        self.rows.publish().map_err(Error::io("writing unwind rows"))
    }

    /// What is known of them.
    pub fn all(&self) -> impl Iterator<Item = &NativeModule> {
        self.known.iter().map(|known| &known.about)
    }

    /// The modules that came or went since the last look, if it is time for one.
    pub fn look(&mut self, process: &Process, now_ns: u64) -> Vec<NativeModule> {
        let now = Instant::now();
        if now < self.next_look {
            return Vec::new();
        }
        let Ok(maps) = process.maps() else { return Vec::new() };
        self.next_look = Instant::now() + (now.elapsed() * COST).max(REST);
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
                known.about.ended_ns.is_none()
                    && known.about.text.iter().any(|part| part.0 == module.text[0].start)
            };
            if !self.known.iter().any(is_known) {
                let about = NativeModule { began_ns: now_ns, ..about(&module) };
                self.add_file(process, about, Bytes::Opened(Box::new(module)));
            }
        }
        changed.extend(self.known[first..].iter().map(|known| known.about.clone()));
        if !changed.is_empty()
            && let Err(error) = self.rows.publish()
        {
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
            if gone.iter().any(is_part) {
                known.about.ended_ns = Some(now_ns);
                self.rows.remove(known.about.id);
                ended.push(known.about.clone());
            }
        }
        ended
    }

    /// Adds a module with a file, if that is what was loaded: without the right to open what a
    /// process has mapped it was opened by its name, which may be another one's by now.
    fn add_file(&mut self, process: &Process, about: NativeModule, file: Bytes<'g>) {
        let Some(module) = file.module() else { return };
        let text = module.text.clone();
        match is_loaded(process, module) {
            true => self.add(about, &text, file),
            false => {
                let problem = "the file was replaced".to_owned();
                self.add(NativeModule { problem, ..about }, &[], Bytes::Copied(Vec::new()));
            }
        }
    }

    fn add(&mut self, mut about: NativeModule, text: &[Range<u64>], file: Bytes<'g>) {
        self.count += 1;
        about.id = self.count;
        match self.known_rows(&about).map_or_else(|| self.write_rows(&about, &file), Ok) {
            Ok(rows) => {
                let (id, load_bias) = (about.id, about.load_bias);
                let (written, evaluations) = (rows.written, &rows.evaluations[..]);
                self.rows.add(&Placed { id, rows: written, load_bias, text, evaluations });
                about.rows = rows.count;
                self.known.push(Known { about, file, rows: Some(rows) });
            }
            Err(problem) => {
                about.problem = if about.problem.is_empty() { problem } else { about.problem };
                self.known.push(Known { about, file, rows: None });
            }
        }
    }

    /// The rows of the same file, if it was loaded before.
    fn known_rows(&self, about: &NativeModule) -> Option<Rows> {
        let is_same = |known: &&Known| {
            let has_id = !about.build_id.is_empty() && about.problem.is_empty();
            has_id && (&known.about.build_id, &known.about.path) == (&about.build_id, &about.path)
        };
        self.known.iter().rev().find(is_same)?.rows.clone()
    }

    fn write_rows(&mut self, about: &NativeModule, file: &Bytes) -> Result<Rows, String> {
        let (bytes, is_interpreter) = (file.get(), file.exports(names::EVALUATION));
        let (table, file_base) = rules(bytes).map_err(|error| error.to_string())?;
        let evaluations = match is_interpreter {
            true => names::evaluations(about, bytes, &self.debug_files),
            false => Vec::new(),
        };
        let written = self.rows.write(&table, file_base).map_err(|error| error.to_string())?;
        Ok(Rows { written, count: table.rows().len() as u64, evaluations: evaluations.into() })
    }

    /// The vDSO has no file; its image in memory has the layout of one.
    fn add_vdso(&mut self, process: &Process, maps: &Maps) {
        let Some(mapping) = maps.0.iter().find(|mapping| mapping.name == "[vdso]") else { return };
        let range = mapping.range.clone();
        let mut image = vec![0; mapping.len() as usize];
        if process.memory().read(range.start, &mut image).is_ok() {
            let text = vec![(range.start, range.end)];
            let about = NativeModule {
                path: mapping.name.clone(),
                load_bias: range.start,
                text,
                ..Default::default()
            };
            self.add(about, &[range], Bytes::Copied(image));
        }
    }
}

/// Whether a module's first page, which names its build, is that of its file.
fn is_loaded(process: &Process, module: &Module) -> bool {
    let mut page = vec![0; module.data.len().min(PAGE as usize)];
    let read = process.memory().read(module.range.start, &mut page);
    read.is_ok() && page[..] == module.data[..page.len()]
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
