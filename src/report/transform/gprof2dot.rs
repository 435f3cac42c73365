//! gprof2dot's JSON: functions and weighted call chains, callee first.
//!
//! It draws the first cost only, and refuses what its schema does not name, so there is no
//! place for what is missing. <https://github.com/jrfonseca/gprof2dot/blob/main/schema.json>

use hashbrown::HashMap;
use serde::Serialize;
use std::io::{self, Write};

use super::tree::Tree;
use super::{List, Transform, plain};
use crate::analysis::Sum;

#[derive(Serialize)]
struct File<F: Serialize, E: Serialize> {
    version: u32,
    costs: [Cost; 2],
    functions: F,
    events: E,
}

#[derive(Serialize)]
struct Cost {
    description: String,
    unit: &'static str,
}

#[derive(Serialize)]
struct Function {
    name: String,
    module: String,
}

#[derive(Serialize)]
struct Event {
    callchain: Vec<u32>,
    cost: [u64; 2],
}

pub(super) fn write(transform: &Transform<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let tree = Tree::new(&transform.profile.stacks, transform.rows());
    let sums = tree.sums(transform.rows(), |row| transform.view.of(&row.figures));
    let functions = Functions::new(&tree);
    let file = File {
        version: 0,
        costs: pair(transform, cost(transform, "bytes"), cost(transform, "allocations")),
        functions: List(|| functions.all.iter().map(|&(name, file)| function(name, file))),
        events: List(|| {
            let sums = (0..).zip(&sums).filter(|(_, sum)| !sum.is_zero());
            sums.map(|(node, &Sum { bytes, blocks })| Event {
                callchain: tree.path(node).map(|place| functions.of_place[place as usize]).collect(),
                cost: pair(transform, bytes, blocks),
            })
        }),
    };
    serde_json::to_writer(&mut *out, &file)?;
    writeln!(out)
}

/// What is asked for first.
fn pair<T>(transform: &Transform<'_, '_>, bytes: T, blocks: T) -> [T; 2] {
    if transform.blocks { [blocks, bytes] } else { [bytes, blocks] }
}

fn cost(transform: &Transform<'_, '_>, unit: &'static str) -> Cost {
    Cost { description: transform.view.name().replace('_', " "), unit }
}

fn function(name: &str, file: &str) -> Function {
    Function { name: plain(name), module: plain(file) }
}

/// Functions, where places differ in lines too.
struct Functions<'t> {
    all: Vec<(&'t str, &'t str)>,
    of_place: Vec<u32>,
}

impl<'t> Functions<'t> {
    fn new(tree: &'t Tree<'_, '_>) -> Functions<'t> {
        let mut all = Vec::new();
        let mut numbers = HashMap::new();
        let number = |key| {
            *numbers.entry(key).or_insert_with(|| {
                all.push(key);
                all.len() as u32 - 1
            })
        };
        let of_place = tree.places().iter().map(|place| (&*place.function, place.file)).map(number).collect();
        Functions { all, of_place }
    }
}
