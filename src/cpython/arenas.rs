//! The arenas of pymalloc, the allocator of CPython's small objects, read from outside.
//!
//! ```text
//!  arenas ─► arena_object × maxarenas      address 0: not in use
//!              address nfreepools ntotalpools …     48 bytes, 3.6 to 3.15
//! ```
//!
//! `arenas` and `maxarenas` are static variables up to 3.11 (`Objects/obmalloc.c`),
//! found where the file still has its symbols, and lie in the interpreter's state
//! since (`Include/internal/pycore_obmalloc.h`), where the tables of
//! [`super::offsets`] say. What does not look right in every detail is taken for
//! unknown.

use super::Interpreter;
use super::offsets::ArenaLayout;
use object::{Object, ObjectSymbol};
use prof_injector::process::{Memory, Module};
use prof_shared::region::ABSENT;
use std::ops::Range;

/// Bytes of an `arena_object`.
const OBJECT: usize = 48;
/// `INITIAL_ARENA_OBJECTS`; the table doubles from there.
const FIRST: u32 = 16;
const MAX: u32 = 1 << 22;

/// Where a process keeps its arenas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaTable {
    /// Address of the pointer to the first `arena_object`.
    pointer: u64,
    /// Address of their number.
    length: u64,
    shape: ArenaShape,
}

/// How large things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ArenaShape {
    arena_bytes: u64,
    pool_bytes: u64,
}

/// The arenas of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arenas {
    /// Bytes of each.
    pub arena_bytes: u64,
    /// Where each begins, ascending.
    pub starts: Vec<u64>,
    /// Pools with objects in them.
    pub used_pools: u64,
    /// Pools without.
    pub free_pools: u64,
    /// Bytes of a pool.
    pub pool_bytes: u64,
}

impl ArenaTable {
    /// Finds it. `module` is the interpreter's.
    pub fn find(python: &Interpreter, memory: &Memory, module: &Module) -> Option<ArenaTable> {
        let layout = python.layout().arenas;
        let (pointer, length) = match layout.interpreter_state {
            ABSENT => (variable(module, "arenas")?, variable(module, "maxarenas")?),
            _ => {
                let state = state(python, &layout, memory)?;
                let field = |offset: u32| state.checked_add(offset.into());
                (field(layout.state_objects)?, field(layout.state_length)?)
            }
        };
        let table = ArenaTable { pointer, length, shape: ArenaShape::of(&layout) };
        table.read(memory).is_some().then_some(table)
    }

    #[cfg(feature = "fuzzing")]
    pub(super) fn at(pointer: u64, length: u64, layout: &ArenaLayout) -> ArenaTable {
        ArenaTable { pointer, length, shape: ArenaShape::of(layout) }
    }

    /// The arenas now; `None` if they do not look right.
    pub fn read(&self, memory: &Memory) -> Option<Arenas> {
        let count = memory.read_u32(self.length).ok().filter(|&count| is_length(count))?;
        let mut table = vec![0; count as usize * OBJECT];
        memory.read(memory.read_u64(self.pointer).ok()?, &mut table).ok()?;
        self.shape.decode(&table)
    }
}

impl Interpreter {
    /// Bytes of an arena.
    pub fn arena_bytes(&self) -> u64 {
        self.layout().arenas.arena_bytes.into()
    }
}

impl ArenaShape {
    fn of(layout: &ArenaLayout) -> ArenaShape {
        ArenaShape { arena_bytes: layout.arena_bytes.into(), pool_bytes: layout.pool_bytes.into() }
    }

    fn decode(self, table: &[u8]) -> Option<Arenas> {
        let Self { arena_bytes, pool_bytes } = self;
        let mut arenas = Arenas { arena_bytes, pool_bytes, ..Arenas::default() };
        for object in table.chunks_exact(OBJECT) {
            let (start, free, total) = (word(object, 0), half(object, 16), half(object, 20));
            if start == 0 {
                continue;
            }
            let capacity = arena_bytes / pool_bytes;
            let looks_right = start % 4096 == 0
                && start < 1 << 47
                && free <= total
                && total <= capacity
                && total + 1 >= capacity;
            if !looks_right {
                return None;
            }
            arenas.starts.push(start);
            arenas.free_pools += free;
            arenas.used_pools += total - free;
        }
        arenas.starts.sort_unstable();
        Some(arenas)
    }
}

impl Arenas {
    /// Where they lie, ascending; neighbours are one.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for &start in &self.starts {
            let end = start.saturating_add(self.arena_bytes);
            match ranges.last_mut() {
                Some(last) if start <= last.end => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }
}

/// A table that has never grown is empty.
fn is_length(count: u32) -> bool {
    count <= MAX && count.is_multiple_of(FIRST)
}

/// The address of the main interpreter's allocator state.
fn state(python: &Interpreter, layout: &ArenaLayout, memory: &Memory) -> Option<u64> {
    let place = main_interpreter(python, memory)?.checked_add(layout.interpreter_state.into())?;
    if layout.is_pointer { memory.read_u64(place).ok() } else { Some(place) }
}

/// The oldest interpreter: the newest comes first.
fn main_interpreter(python: &Interpreter, memory: &Memory) -> Option<u64> {
    const INTERPRETERS: usize = 1 << 10;
    let layout = python.layout();
    let first = python.runtime().start + u64::from(layout.runtime_interpreters);
    let mut state = memory.read_u64(first).ok().filter(|&state| state != 0)?;
    for _ in 0..INTERPRETERS {
        match memory.read_u64(state.checked_add(u64::from(layout.interpreter_next))?).ok()? {
            0 => return Some(state),
            next => state = next,
        }
    }
    None
}

/// The address of a variable that only its file's symbol table names.
fn variable(module: &Module, name: &str) -> Option<u64> {
    let file = object::File::parse(&module.data[..]).ok()?;
    let mut found = file.symbols().filter(|symbol| symbol.is_definition() && symbol.name() == Ok(name));
    let only = found.next()?;
    match found.next() {
        None => module.load_bias.checked_add(only.address()),
        Some(_) => None,
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn half(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(address: u64, free: u32, total: u32) -> Vec<u8> {
        let pool_address = 0u64;
        let mut object = [address.to_le_bytes(), pool_address.to_le_bytes()].concat();
        object.extend([free.to_le_bytes(), total.to_le_bytes()].concat());
        object.resize(OBJECT, 0);
        object
    }

    fn decode(arenas: &[(u64, u32, u32)]) -> Option<Arenas> {
        let table: Vec<u8> = arenas.iter().flat_map(|&(at, free, total)| arena(at, free, total)).collect();
        ArenaShape { arena_bytes: 1 << 20, pool_bytes: 16 << 10 }.decode(&table)
    }

    #[test]
    fn pools_are_summed() {
        let found =
            decode(&[(0x7f00_0030_0000, 3, 64), (0, 0, 0), (0x7f00_0010_1000, 0, 63)]).expect("valid");
        assert_eq!(found.starts, [0x7f00_0010_1000, 0x7f00_0030_0000]);
        assert_eq!((found.used_pools, found.free_pools), (61 + 63, 3));
        assert_eq!(found.ranges().len(), 2);
    }

    #[test]
    fn neighbours_are_one_range() {
        let found = decode(&[(0x7f00_0010_0000, 0, 64), (0x7f00_0020_0000, 0, 64)]).expect("valid");
        let ranges: Vec<_> = found.ranges().into_iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(ranges, [(0x7f00_0010_0000, 0x7f00_0030_0000)]);
    }

    #[test]
    fn what_looks_wrong_is_unknown() {
        for wrong in [(0x7f00_0010_0001, 0, 64), (0x1000, 65, 64), (0x1000, 0, 62), (1 << 60, 0, 64)] {
            assert_eq!(decode(&[wrong]), None, "{wrong:x?}");
        }
        assert!(is_length(0) && is_length(16) && is_length(64));
        assert!(!is_length(7) && !is_length(u32::MAX));
    }
}
