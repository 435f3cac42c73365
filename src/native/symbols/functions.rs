//! The functions of a module by the symbol tables of its files.
//!
//! ```text
//!  symbols, by start     a ├───────────────┤   b ├────┤    c ├ (no size)    d ├──┤
//!                            a2 ├────┤
//!  segments                a ├──┤ a2 │──┤ a ┤   ├─ b ─┤      ├──── c ──────┤──d─┤
//! ```

use super::image::{Elf, Image};
use super::{name, plt};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionKind, SymbolKind};
use std::ops::Range;

/// A function, or a label in code.
#[derive(Clone, Debug)]
pub(super) struct Function<'a> {
    pub range: Range<u64>,
    pub name: &'a [u8],
    /// Whether it is the linker's stub that jumps to the function of that name.
    pub is_stub: bool,
    is_label: bool,
    is_local: bool,
}

/// Every function of a module, found by address.
pub(super) struct Functions<'a> {
    /// By start, the best name of a start first.
    functions: Vec<Function<'a>>,
    /// Where something else begins, and which function that is. Ascending.
    segments: Vec<(u64, Option<usize>)>,
}

impl<'a> Functions<'a> {
    /// From the symbols of `module` and of the files that were made when it was stripped.
    pub fn new(module: &'a Image<'_>, others: impl Iterator<Item = &'a Image<'a>>) -> Functions<'a> {
        let code = code(&module.elf());
        let mut functions: Vec<_> = plt::stubs(module);
        for elf in [module].into_iter().chain(others).map(Image::elf) {
            functions.extend(elf.symbols().chain(elf.dynamic_symbols()).filter_map(function));
        }
        functions.retain(|function| code.iter().any(|part| part.contains(&function.range.start)));
        functions.sort_by_cached_key(Function::rank);
        Functions { segments: segments(&mut functions, &code), functions }
    }

    pub fn at(&self, address: u64) -> Option<&Function<'a>> {
        let next = self.segments.partition_point(|(start, _)| *start <= address);
        let (_, function) = self.segments.get(next.checked_sub(1)?)?;
        function.map(|index| &self.functions[index])
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.functions.iter().map(|function| function.range.clone())
    }

    /// The places of a function and of the parts that the compiler made of it
    /// (`name.cold`, `name.part.0`), ascending.
    pub fn named(&self, name: &str) -> Vec<Range<u64>> {
        let is_part = |function: &&Function| {
            function.name.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
        };
        let mut found: Vec<_> =
            self.functions.iter().filter(is_part).map(|part| part.range.clone()).collect();
        found.dedup();
        found
    }
}

impl<'a> Function<'a> {
    /// A stub of the linker.
    pub fn stub(range: Range<u64>, name: &'a [u8]) -> Function<'a> {
        Function { range, name, is_stub: true, is_label: false, is_local: true }
    }

    /// Its name as the linker knows it.
    pub fn raw_name(&self) -> String {
        name::text(self.name) + if self.is_stub { "@plt" } else { "" }
    }

    /// By address; then functions before labels, those with a size first, those that
    /// others can call before those of one file, and the plainest name.
    fn rank(&self) -> impl Ord + use<> {
        let has_no_size = self.range.is_empty();
        let underscores = self.name.iter().take_while(|byte| **byte == b'_').count();
        let name: Vec<u8> = self.name.iter().copied().take(64).collect();
        (self.range.start, self.is_label, has_no_size, self.is_local, underscores, self.name.len(), name)
    }
}

fn function<'a>(symbol: impl ObjectSymbol<'a>) -> Option<Function<'a>> {
    let is_label = match symbol.kind() {
        SymbolKind::Text => false,
        SymbolKind::Unknown => true,
        _ => return None,
    };
    let name = symbol.name_bytes().ok().filter(|name| !name.is_empty() && symbol.is_definition())?;
    let start = symbol.address();
    let range = start..start.saturating_add(symbol.size());
    Some(Function { range, name, is_stub: false, is_label, is_local: symbol.is_local() })
}

/// Where a file has code: by its sections, or by its segments if it has no sections.
fn code(elf: &Elf) -> Vec<Range<u64>> {
    let part = |address: u64, size: u64| address..address.saturating_add(size);
    let sections = elf.sections().filter(|section| section.kind() == SectionKind::Text);
    let mut code: Vec<_> = sections.map(|section| part(section.address(), section.size())).collect();
    if code.is_empty() {
        let segments = elf.segments().filter(|segment| segment.permissions().executable());
        code = segments.map(|segment| part(segment.address(), segment.size())).collect();
    }
    code.sort_by_key(|part| (part.start, part.end));
    code
}

/// Gives those without a size the room up to the next one, and says for every address whose
/// it is: of those that reach there the one that begins last.
fn segments(functions: &mut [Function], code: &[Range<u64>]) -> Vec<(u64, Option<usize>)> {
    stretch(functions, code);
    let mut sweep = Sweep::default();
    for (index, Function { range, is_label, .. }) in functions.iter().enumerate() {
        sweep.close(range.start);
        let around = sweep.open.last().map(|(_, around)| &functions[*around]);
        // The best name of a start came first, and labels in a function are its own.
        let is_hidden =
            |around: &Function| around.range.start == range.start || *is_label && !around.is_label;
        if !range.is_empty() && !around.is_some_and(is_hidden) {
            sweep.segments.push((range.start, Some(index)));
            sweep.open.push((range.end, index));
        }
    }
    sweep.close(u64::MAX);
    sweep.segments
}

fn stretch(functions: &mut [Function], code: &[Range<u64>]) {
    let (mut next, mut current) = (u64::MAX, u64::MAX);
    for function in functions.iter_mut().rev() {
        let start = function.range.start;
        if start != current {
            (next, current) = (current, start);
        }
        if function.range.is_empty() {
            let part = code.partition_point(|part| part.start <= start).checked_sub(1);
            let end = part.map_or(start, |part| code[part].end);
            function.range.end = next.min(end).max(start);
        }
    }
}

#[derive(Default)]
struct Sweep {
    segments: Vec<(u64, Option<usize>)>,
    /// The ends and numbers of those that have begun, the last to begin on top.
    open: Vec<(u64, usize)>,
}

impl Sweep {
    /// Ends all that do not reach behind `address`.
    fn close(&mut self, address: u64) {
        while let Some((end, _)) = self.open.pop_if(|(end, _)| *end <= address) {
            while self.open.pop_if(|(outer, _)| *outer <= end).is_some() {}
            self.segments.push((end, self.open.last().map(|(_, index)| *index)));
        }
    }
}
