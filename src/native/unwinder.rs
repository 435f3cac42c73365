//! The rules of a whole process, and the walk over one of its stacks.

use super::{Error, Rules};
use prof_shared::row::{End, Regs, Row, walk};
use std::ops::Range;

/// Pcs remembered, a power of two: recursion and repeated looks meet the same ones.
const FOUND_COUNT: usize = 1 << 12;

/// The modules of one process at one moment.
pub struct Unwinder<D> {
    modules: Vec<Placed<D>>,
    /// Pcs and their rows; each pc has one place, which the latest takes.
    found: Vec<Option<(u64, Option<Row>)>>,
}

struct Placed<D> {
    text: Vec<Range<u64>>,
    load_bias: u64,
    rules: Rules<D>,
}

/// A stack, innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// The pc of each frame: the first as it is, the others where calls return to
    /// (or, behind a signal frame, where the thread was interrupted).
    pub pcs: Vec<u64>,
    /// Where each signal frame on the way has its `ucontext`.
    pub contexts: Vec<u64>,
    /// How the walk ended.
    pub end: End,
}

impl<D: AsRef<[u8]>> Default for Unwinder<D> {
    fn default() -> Self {
        Unwinder::new()
    }
}

impl<D: AsRef<[u8]>> Unwinder<D> {
    /// An unwinder that knows no module yet.
    pub fn new() -> Unwinder<D> {
        Unwinder { modules: Vec::new(), found: vec![None; FOUND_COUNT] }
    }

    /// Adds a module: its executable parts in the process, what is added to the
    /// file's addresses, and the file. A module without rules is left out.
    pub fn add(&mut self, text: Vec<Range<u64>>, load_bias: u64, file: D) -> Result<(), Error> {
        let rules = Rules::parse(file)?;
        rules.fetch();
        self.found.fill(None);
        self.modules.push(Placed { text, load_bias, rules });
        Ok(())
    }

    /// The row for a pc of the process.
    pub fn row(&mut self, pc: u64) -> Option<Row> {
        let place = (pc ^ (pc >> 12)) as usize % FOUND_COUNT;
        if let Some((_, row)) = self.found[place].filter(|(found, _)| *found == pc) {
            return row;
        }
        let row = self.find(pc);
        self.found[place] = Some((pc, row));
        row
    }

    fn find(&mut self, pc: u64) -> Option<Row> {
        let module = self.modules.iter_mut().find(|m| m.text.iter().any(|range| range.contains(&pc)))?;
        module.rules.row(pc.wrapping_sub(module.load_bias))
    }

    /// Walks at most `limit` frames outwards from `regs`; `read` gives words of
    /// the stack.
    pub fn unwind(&mut self, regs: Regs, limit: usize, read: impl FnMut(u64) -> Option<u64>) -> Backtrace {
        let (mut pcs, mut contexts) = (Vec::new(), Vec::new());
        let end = walk(
            regs,
            limit,
            |pc| self.row(pc),
            read,
            |frame| {
                pcs.push(frame.regs.pc);
                contexts.extend(frame.context());
                true
            },
        );
        Backtrace { pcs, contexts, end }
    }
}
