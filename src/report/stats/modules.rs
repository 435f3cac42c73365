//! Which modules allocate. What the standard library and native code do is done for whoever called
//! them.

use hashbrown::HashMap;

use super::Top;
use crate::analysis::{Figures, Sum};
use crate::model::StackId;
use crate::report::merged::Merged;
use crate::report::module::{Modules, Origin};
use crate::report::native;
use crate::report::place::NO_PYTHON;

/// The modules that allocated most bytes, and most often.
pub fn top_modules(sites: &HashMap<StackId, Figures>, stacks: &Merged<'_>, top: usize) -> [Top<String>; 2] {
    let python = stacks.python_places().map(|place| place.file);
    let modules = Modules::new(python);
    let mut names: HashMap<u32, (String, Origin)> = HashMap::new();
    let mut sums: HashMap<String, Sum> = HashMap::new();
    for (&stack, figures) in sites {
        let mut leaf = None;
        let mut caller = None;
        for number in stacks.numbers(stack) {
            let (name, origin) = &*names.entry(number).or_insert_with(|| match stacks.module(number) {
                // Native code, too, works for whoever of Python called it.
                Some(path) => (native::name(path).to_owned(), Origin::StandardLibrary),
                None => modules.of(stacks.place(number).file),
            });
            leaf = leaf.or_else(|| Some(name.clone()));
            if *origin != Origin::StandardLibrary {
                caller = Some(name.clone());
                break;
            }
        }
        let name = caller.or(leaf).unwrap_or_else(|| NO_PYTHON.to_owned());
        sums.entry(name).or_default().add(figures.made);
    }
    let by =
        |pick: fn(&Sum) -> u64| super::largest(sums.iter().map(|(name, sum)| (name.clone(), pick(sum))), top);
    [by(|sum| sum.bytes), by(|sum| sum.blocks)]
}
