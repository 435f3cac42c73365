//! What the tree is made of: the rows of a profile, and the texts that are shown.

use hashbrown::HashMap;

use crate::model::{StackId, ThreadSerial};
use crate::report::{Modules, Origin, Place, Plain, Profile, Row, is_import_system};

/// A profile as the tree needs it.
pub struct Material<'p> {
    /// Who allocated what.
    pub rows: &'p [Row],
    /// The places of all stacks.
    pub spots: Vec<Spot<'p>>,
    /// Names of the threads that have rows.
    pub threads: HashMap<ThreadSerial, String>,
    /// The spots of a row's stack, leaf first.
    pub path: Box<dyn Fn(StackId) -> Vec<SpotId> + 'p>,
    /// Whether events of some stretch of time are missing.
    pub has_gaps: bool,
}

/// The number of a place in [`Material::spots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpotId(pub u32);

/// A place, and what sort of frame is there.
pub struct Spot<'p> {
    /// Where it is.
    pub place: &'p Place<'p>,
    /// What sort.
    pub layer: Layer,
}

/// Whether a frame says something about who wants memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// It does.
    Program,
    /// It belongs to the import system.
    Import,
    /// It only starts something else: a module, a thread.
    Plumbing,
}

impl<'p> Material<'p> {
    /// Of a profile.
    pub fn new(profile: &'p Profile<'p>) -> Material<'p> {
        let spot = |place: &'p Place<'p>| Spot { place, layer: Layer::of(place) };
        let label = |row: &Row| (row.thread, Plain(&profile.threads.label(row.thread)).to_string());
        let stacks = &profile.stacks;
        Material {
            rows: &profile.rows,
            spots: stacks.places().map(spot).collect(),
            threads: profile.rows.iter().map(label).collect(),
            path: Box::new(|stack| stacks.numbers(stack).map(SpotId).collect()),
            has_gaps: !profile.gaps().is_empty(),
        }
    }

    /// A spot of these.
    pub fn spot(&self, id: SpotId) -> &Spot<'p> {
        &self.spots[id.0 as usize]
    }

    /// What a thread is called; nothing that could steer a terminal.
    pub fn thread(&self, serial: ThreadSerial) -> &str {
        self.threads.get(&serial).map_or("?", String::as_str)
    }
}

impl Layer {
    /// The sort of a frame at this place.
    pub fn of(place: &Place<'_>) -> Layer {
        if is_import_system(place.file) {
            return Layer::Import;
        }
        let (module, origin) = Modules::new(std::iter::empty()).of(place.file);
        let function = place.function.rsplit('.').next().unwrap_or_default();
        let starts_others = match module.as_str() {
            "runpy" => true,
            "threading" => matches!(function, "_bootstrap" | "_bootstrap_inner"),
            _ => false,
        };
        if starts_others && origin == Origin::StandardLibrary { Layer::Plumbing } else { Layer::Program }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers() {
        for (function, file, layer) in [
            ("main", "/app/main.py", Layer::Program),
            ("_run_code", "<frozen runpy>", Layer::Plumbing),
            ("run_path", "/usr/lib/python3.11/runpy.py", Layer::Plumbing),
            ("run_path", "/app/runpy.py", Layer::Program),
            ("Thread._bootstrap_inner", "/usr/lib/python3.11/threading.py", Layer::Plumbing),
            ("_bootstrap", "/opt/lib/python3.8/threading.py", Layer::Plumbing),
            ("Thread.run", "/usr/lib/python3.11/threading.py", Layer::Program),
            ("_find_and_load", "<frozen importlib._bootstrap>", Layer::Import),
            ("import_module", "/usr/lib/python3.11/importlib/__init__.py", Layer::Import),
            ("<truncated>", "", Layer::Program),
        ] {
            let place = Place { function: function.into(), file, line: 1 };
            assert_eq!(Layer::of(&place), layer, "{function} {file}");
        }
    }
}
