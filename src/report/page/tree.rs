//! Places, stacks, threads and sites of one recording or two, numbered for the page.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use serde::Serialize;
use std::hash::Hash;

use crate::analysis::Figures;
use crate::model::{Kind, StackId, ThreadSerial, Tid};
use crate::report::place::{NO_PYTHON, Place};
use crate::report::profile::{Profile, Row};

/// Numbers for things in the order in which they come.
#[derive(Debug)]
struct Numbers<T> {
    numbers: HashMap<T, u32>,
}

impl<T: Hash + Eq> Numbers<T> {
    fn new() -> Numbers<T> {
        Numbers { numbers: HashMap::new() }
    }

    /// The number of `thing`, and whether it is new.
    fn of(&mut self, thing: T) -> (u32, bool) {
        let next = self.numbers.len() as u32;
        match self.numbers.entry(thing) {
            Entry::Occupied(entry) => (*entry.get(), false),
            Entry::Vacant(entry) => (*entry.insert(next), true),
        }
    }
}

/// Distinct places, by column.
#[derive(Debug, Default, Serialize)]
pub struct PlaceColumns {
    function: Vec<u32>,
    file: Vec<u32>,
    line: Vec<u32>,
}

/// The trie, by column. Node 0 is the root; parents come before their children.
#[derive(Debug, Default, Serialize)]
pub struct NodeColumns {
    parent: Vec<u32>,
    /// -1 of the root.
    place: Vec<i64>,
}

#[derive(Debug, Serialize)]
pub struct ThreadEntry {
    name: String,
    tid: u32,
}

/// What one thread did by one function from one place.
#[derive(Clone, Copy, Debug)]
pub struct PageSite {
    pub node: u32,
    pub thread: u32,
    pub kind: u32,
    pub figures: Figures,
    /// Of the recording that this one is compared with.
    pub before: Figures,
}

/// Which of the recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// Collects them.
pub struct Tree<'p> {
    pub strings: Vec<&'p str>,
    pub places: PlaceColumns,
    pub nodes: NodeColumns,
    pub threads: Vec<ThreadEntry>,
    pub kinds: Vec<&'static str>,
    pub sites: Vec<PageSite>,
    string_numbers: Numbers<&'p str>,
    place_numbers: Numbers<(u32, u32, u32)>,
    node_numbers: Numbers<(u32, u32)>,
    thread_numbers: Numbers<(String, Tid)>,
    kind_numbers: Numbers<Kind>,
    site_numbers: Numbers<(u32, u32, u32)>,
    is_comparison: bool,
}

impl<'p> Tree<'p> {
    /// Threads of recordings that are compared go by their names, as their ids differ.
    pub fn new(is_comparison: bool) -> Tree<'p> {
        Tree {
            strings: Vec::new(),
            places: PlaceColumns::default(),
            nodes: NodeColumns { parent: vec![0], place: vec![-1] },
            threads: Vec::new(),
            kinds: Vec::new(),
            sites: Vec::new(),
            string_numbers: Numbers::new(),
            place_numbers: Numbers::new(),
            node_numbers: Numbers::new(),
            thread_numbers: Numbers::new(),
            kind_numbers: Numbers::new(),
            site_numbers: Numbers::new(),
            is_comparison,
        }
    }

    /// Takes the rows of a recording; gives the site of each.
    pub fn add(&mut self, profile: &'p Profile<'_>, side: Side) -> Vec<u32> {
        let mut nodes: HashMap<StackId, u32> = HashMap::new();
        let mut threads: HashMap<ThreadSerial, u32> = HashMap::new();
        let mut add = |row: &Row| {
            let node = match row.stack {
                StackId::EMPTY => self.no_python(),
                stack => self.node(profile, stack, &mut nodes),
            };
            let thread = *threads.entry(row.thread).or_insert_with(|| self.thread(profile, row.thread));
            self.site(node, thread, row, side)
        };
        profile.rows.iter().map(&mut add).collect()
    }

    fn site(&mut self, node: u32, thread: u32, row: &Row, side: Side) -> u32 {
        let (kind, is_new) = self.kind_numbers.of(row.kind);
        if is_new {
            self.kinds.push(row.kind.name());
        }
        let (site, is_new) = self.site_numbers.of((node, thread, kind));
        if is_new {
            let (figures, before) = Default::default();
            self.sites.push(PageSite { node, thread, kind, figures, before });
        }
        let found = &mut self.sites[site as usize];
        match side {
            Side::Before => found.before.add(&row.figures),
            Side::After => found.figures.add(&row.figures),
        }
        site
    }

    fn thread(&mut self, profile: &Profile<'_>, serial: ThreadSerial) -> u32 {
        let (name, tid) = (profile.threads.name(serial).to_owned(), profile.threads.tid(serial));
        let is_known_by_name = self.is_comparison && !name.is_empty();
        let tid = if is_known_by_name { Tid(0) } else { tid };
        let (number, is_new) = self.thread_numbers.of((name.clone(), tid));
        if is_new {
            self.threads.push(ThreadEntry { name, tid: tid.0 });
        }
        number
    }

    /// The node of a stack, with those of its callers before it.
    fn node(&mut self, profile: &'p Profile<'_>, stack: StackId, known: &mut HashMap<StackId, u32>) -> u32 {
        let mut missing = Vec::new();
        let mut at = stack;
        let mut node = loop {
            match known.get(&at) {
                Some(&node) => break node,
                None if at == StackId::EMPTY => break 0,
                None => missing.push(at),
            }
            at = profile.stacks.parent(at);
        };
        for stack in missing.into_iter().rev() {
            if let Some(place) = profile.stacks.leaf(stack) {
                node = self.child(node, place);
            }
            known.insert(stack, node);
        }
        node
    }

    fn no_python(&mut self) -> u32 {
        self.child_of(0, NO_PYTHON, "", 0)
    }

    fn child(&mut self, parent: u32, place: &'p Place<'_>) -> u32 {
        self.child_of(parent, &place.function, place.file, place.line)
    }

    fn child_of(&mut self, parent: u32, function: &'p str, file: &'p str, line: u32) -> u32 {
        let (function, file) = (self.string(function), self.string(file));
        let (place, is_new) = self.place_numbers.of((function, file, line));
        if is_new {
            self.places.function.push(function);
            self.places.file.push(file);
            self.places.line.push(line);
        }
        let (node, is_new) = self.node_numbers.of((parent, place));
        if is_new {
            self.nodes.parent.push(parent);
            self.nodes.place.push(place.into());
        }
        // The root has no place.
        node + 1
    }

    fn string(&mut self, text: &'p str) -> u32 {
        let (number, is_new) = self.string_numbers.of(text);
        if is_new {
            self.strings.push(text);
        }
        number
    }

    /// Every place that has a line: the number of its file, the file, the line.
    pub fn lines(&self) -> impl Iterator<Item = (u32, &'p str, u32)> + '_ {
        let all = self.places.file.iter().zip(&self.places.line).filter(|(_, line)| **line > 0);
        all.map(|(&file, &line)| (file, self.strings[file as usize], line))
    }
}
