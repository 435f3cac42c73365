//! What an attach would do, found out without touching anything.

use super::Error;
use super::admit::look;
use super::install::needs;
use super::islands::Islands;
use super::metadata::{detour, pointer};
use super::session::Options;
use crate::model::Entry;

/// What an attach would do.
pub struct Rehearsal {
    /// The interpreter and its version.
    pub python: String,
    /// Who serves Python's objects.
    pub allocator: String,
    /// Threads that it has now.
    pub threads: u64,
    /// The functions that would be hooked, and how.
    pub entries: Vec<Entry>,
    /// The functions that would not be, and why.
    pub refused: Vec<String>,
    /// Bytes of its address space that would be taken.
    pub address_space: u64,
    /// Whether a killed attacher left something that would be removed first.
    pub has_remains: bool,
}

/// Does all of an attach that only looks.
pub fn rehearse(options: &Options) -> Result<Rehearsal, Error> {
    let (ground, what, remains) = look(options)?;
    let facts = what.python.facts(&ground.process, &ground.maps);
    let threads = ground.process.tasks().map_err(Error::io("listing the target's threads"))?.len() as u64;
    // Functions that a killed attacher has changed do not look like those of their file.
    let islands = match remains {
        Some(_) => None,
        None => Some(Islands::plan(&ground, &ground.maps)?),
    };
    let detours =
        islands.iter().flat_map(|islands| islands.planned()).map(|(function, plan)| detour(function, plan));
    let pointers = what.domains.iter().map(|function| pointer(function.kind, function.slot));
    Ok(Rehearsal {
        python: format!("{} {}", facts.implementation, facts.version),
        allocator: facts.allocator.to_string(),
        threads,
        entries: detours.chain(pointers).collect(),
        refused: islands.as_ref().map(|islands| islands.refused.clone()).unwrap_or_default(),
        address_space: needs(threads, options.ring, options.native).address_space,
        has_remains: remains.is_some(),
    })
}
