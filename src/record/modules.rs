//! The modules of the target and their unwind rows: at the attach, and as they come and go.

use super::module_file::{Bytes, Found, Identity, code, find_new};
use super::names;
use super::row_file::{Placed, RowFile, Written};
use super::{Error, Ground};
use crate::PAYLOAD;
use crate::model::{NativeModule, NativePlace};
use crate::native::DebugFiles;
use prof_injector::process::Process;
use prof_shared::native::OWN;
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// A look at the target's mappings takes at most one part in so many of the time,
const COST: u32 = 100;
/// and there is at least so much between two.
const REST: Duration = Duration::from_millis(8);

/// The modules.
pub struct Modules<'g> {
    rows: RowFile,
    known: Vec<Known<'g>>,
    count: u32,
    /// Code in the target at the last look.
    code: Vec<Identity>,
    next_look: Instant,
    /// Reads the files of new modules: nobody waits for that, least of all the ring.
    loading: Option<JoinHandle<Vec<Found<'static>>>>,
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

impl<'g> Modules<'g> {
    /// Puts the rows of all modules into `file`, a new memfd.
    pub fn new(ground: &'g Ground, file: File) -> Modules<'g> {
        let debug_files = names::debug_files(&ground.process);
        let mut modules = Modules {
            rows: RowFile::new(file),
            known: Vec::new(),
            count: 0,
            code: code(&ground.maps),
            next_look: Instant::now(),
            loading: None,
            debug_files: debug_files.clone(),
        };
        for module in &ground.modules {
            modules.add(Found::of(&ground.process, Bytes::Seen(module), &debug_files));
        }
        if let Some(vdso) = Found::vdso(&ground.process, &ground.maps) {
            modules.add(vdso);
        }
        modules
    }

    /// Gives the file its length, before it is mapped. Returns it.
    pub fn seal(&mut self) -> Result<u64, Error> {
        self.rows.seal().map_err(Error::io("making the file of unwind rows"))
    }

    /// Adds the payload, whose frames are not shown, and has the target use all rows.
    pub fn publish(&mut self, text: &[Range<u64>], load_bias: u64) -> Result<(), Error> {
        let read =
            Found::of_bytes(PAYLOAD).map_err(|_| Error::Unexpected("the payload has no unwind rows"))?;
        let rows = self.rows.write(&read.table, read.file_base).map_err(Error::io("writing unwind rows"))?;
        self.rows.add(&Placed { id: OWN, rows, load_bias, text, evaluations: &[] });
        self.rows.publish().map_err(Error::io("writing unwind rows"))
    }

    /// What is known of them.
    pub fn all(&self) -> impl Iterator<Item = &NativeModule> {
        self.known.iter().map(|known| &known.about)
    }

    /// The modules that came or went since the last look, as far as that is known by now.
    pub fn look(&mut self, process: &Process, now_ns: u64) -> Vec<NativeModule> {
        let mut changed = self.take_loaded();
        if self.loading.is_none() && Instant::now() >= self.next_look {
            changed.extend(self.look_at_code(process, now_ns));
        }
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

    /// Takes note of what is gone, and begins to read what is new.
    fn look_at_code(&mut self, process: &Process, now_ns: u64) -> Vec<NativeModule> {
        let began = Instant::now();
        let Ok(maps) = process.maps() else { return Vec::new() };
        self.next_look = Instant::now() + (began.elapsed() * COST).max(REST);
        let found = code(&maps);
        if found == self.code || found.is_empty() {
            return Vec::new();
        }
        let ended = self.end_those_without(&found, now_ns);
        let new: Vec<_> = found.iter().filter(|identity| !self.code.contains(identity)).copied().collect();
        self.code = found;
        let (pid, start_ticks, debug_files) =
            (process.pid(), process.start_ticks(), self.debug_files.clone());
        let find = move || match Process::open(pid) {
            Ok(same) if same.start_ticks() == start_ticks => {
                find_new(&same, &maps, &new, now_ns, &debug_files)
            }
            _ => Vec::new(),
        };
        self.loading = Builder::new().name("prof-modules".into()).spawn(find).ok();
        ended
    }

    /// Adds the new modules, once all of them were read.
    fn take_loaded(&mut self) -> Vec<NativeModule> {
        let Some(loading) = self.loading.take_if(|loading| loading.is_finished()) else { return Vec::new() };
        let loaded = loading.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        let first = self.known.len();
        for found in loaded {
            let start = found.about.text.first().map(|part| part.0);
            let is_it = |known: &Known| {
                known.about.ended_ns.is_none() && known.about.text.first().map(|part| part.0) == start
            };
            if !self.known.iter().any(is_it) {
                self.add(found);
            }
        }
        self.known[first..].iter().map(|known| known.about.clone()).collect()
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

    fn add(&mut self, found: Found<'g>) {
        let Found { mut about, text, file, read } = found;
        self.count += 1;
        about.id = self.count;
        let rows = match self.known_rows(&about) {
            Some(rows) => Ok(rows),
            None => read.and_then(|read| {
                let written =
                    self.rows.write(&read.table, read.file_base).map_err(|error| error.to_string())?;
                let count = read.table.rows().len() as u64;
                Ok(Rows { written, count, evaluations: read.evaluations.into() })
            }),
        };
        match &rows {
            Ok(rows) => {
                let (id, load_bias) = (about.id, about.load_bias);
                let (written, evaluations) = (rows.written, &rows.evaluations[..]);
                self.rows.add(&Placed { id, rows: written, load_bias, text: &text, evaluations });
                about.rows = rows.count;
            }
            Err(problem) => about.problem = problem.clone(),
        }
        self.known.push(Known { about, file, rows: rows.ok() });
    }

    /// The rows of the same file, if it was loaded before.
    fn known_rows(&self, about: &NativeModule) -> Option<Rows> {
        let file = |about: &NativeModule| (about.build_id.clone(), about.path.clone());
        let is_same = |known: &&Known| !about.build_id.is_empty() && file(&known.about) == file(about);
        self.known.iter().rev().find(is_same)?.rows.clone()
    }
}
