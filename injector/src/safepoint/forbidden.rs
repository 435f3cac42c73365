//! Code that no frame of a thread may be in when it is made to call `dlopen`.

use super::{Error, call, glibc};
use crate::process::Module;
use goblin::elf::Elf;
use goblin::elf::program_header::{PF_X, PT_LOAD};
use std::ops::Range;

/// The forbidden code of one process, with a copy of its bytes.
pub struct Forbidden {
    codes: Vec<Code>,
    restorers: Vec<u64>,
}

/// A range and the bytes that it and what precedes it has in the file.
struct Code {
    range: Range<u64>,
    bytes: Option<Box<[u8]>>,
}

impl Forbidden {
    /// Collects the ranges: the loader, glibc's malloc, whole modules that bring
    /// an allocator of their own, and glibc's functions around threads,
    /// processes and libraries. `extra` is added as it is: the payload, islands,
    /// the region.
    pub fn from_modules(modules: &[Module], extra: &[Range<u64>]) -> Result<Forbidden, Error> {
        let mut forbidden = Forbidden { codes: Vec::new(), restorers: Vec::new() };
        for module in modules {
            forbidden.add_module(module)?;
        }
        let has = |is: fn(&Module) -> bool| modules.iter().any(is);
        if !has(glibc::is_libc) {
            return Err(Error::NoGlibc);
        }
        if !has(glibc::is_loader) {
            return Err(Error::NoLoader);
        }
        forbidden.codes.extend(extra.iter().map(|range| Code { range: range.clone(), bytes: None }));
        forbidden.merge();
        Ok(forbidden)
    }

    fn add_module(&mut self, module: &Module) -> Result<(), Error> {
        let mut ranges = Vec::new();
        if glibc::is_libc(module) {
            ranges.push(glibc::malloc_range(module).ok_or_else(|| Error::NoMalloc(module.path.clone()))?);
        }
        if glibc::is_loader(module) || (!glibc::is_libc(module) && module.symbol("malloc").is_some()) {
            ranges.extend(module.text.iter().cloned());
        }
        ranges.extend(glibc::exact_ranges(module));
        if ranges.is_empty() {
            return Ok(());
        }
        let code = file_code(module)?;
        if module.symbol("sigaction").is_some() {
            for (start, bytes) in &code {
                self.restorers.extend(glibc::restorers(bytes).map(|index| start + index as u64));
            }
        }
        self.codes.extend(ranges.into_iter().map(|range| Code { bytes: bytes_of(&code, &range), range }));
        Ok(())
    }

    /// Sorts the ranges and drops those that lie in others, so that a look-up is
    /// a binary search.
    fn merge(&mut self) {
        self.codes.sort_by_key(|code| (code.range.start, std::cmp::Reverse(code.range.end)));
        self.codes.dedup_by(|later, kept| later.range.end <= kept.range.end);
    }

    #[cfg(test)]
    pub(super) fn of_ranges(ranges: &[Range<u64>], restorers: &[u64]) -> Forbidden {
        let codes = ranges.iter().map(|range| Code { range: range.clone(), bytes: None }).collect();
        Forbidden { codes, restorers: restorers.to_vec() }
    }

    /// The ranges, ascending by their start.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.codes.iter().map(|code| code.range.clone())
    }

    /// The addresses that signal handlers return to.
    pub fn restorers(&self) -> &[u64] {
        &self.restorers
    }

    /// Whether the instruction at `pc` is forbidden.
    pub fn has_pc(&self, pc: u64) -> bool {
        let restorer = |start: &u64| (*start..start + 9).contains(&pc);
        self.code(pc).is_some() || self.restorers.iter().any(restorer)
    }

    /// Whether a word of the stack can be a frame in forbidden code: the return
    /// address of a call there, or the end of a signal frame.
    pub fn has_word(&self, word: u64) -> bool {
        self.code(word.wrapping_sub(1)).is_some_and(|code| code.may_return_to(word))
            || self.restorers.contains(&word)
    }

    fn code(&self, pc: u64) -> Option<&Code> {
        // Most words of a stack are no code addresses at all.
        if pc < self.codes.first()?.range.start || pc >= self.codes.last()?.range.end {
            return None;
        }
        let behind = self.codes.partition_point(|code| code.range.start <= pc);
        let code = self.codes.get(behind.checked_sub(1)?)?;
        code.range.contains(&pc).then_some(code)
    }
}

impl Code {
    fn may_return_to(&self, word: u64) -> bool {
        let len = (word - self.range.start) as usize;
        self.bytes.as_ref().is_none_or(|bytes| bytes.get(..len).is_none_or(call::ends_in_call))
    }
}

/// The executable segments of the module's file, at their addresses.
fn file_code(module: &Module) -> Result<Vec<(u64, &[u8])>, Error> {
    let elf =
        Elf::parse(&module.data).map_err(|error| Error::Damaged { path: module.path.clone(), error })?;
    let loads = elf.program_headers.iter().filter(|h| h.p_type == PT_LOAD && h.p_flags & PF_X != 0);
    let code = loads.filter_map(|header| {
        let bytes = module.data.get(header.p_offset as usize..)?;
        let bytes = &bytes[..bytes.len().min(header.p_filesz as usize)];
        Some((header.p_vaddr.wrapping_add(module.load_bias), bytes))
    });
    Ok(code.collect())
}

/// The bytes of a range. A call lies wholly before its return address and a
/// function is entered at its start, so nothing before the range is needed.
fn bytes_of(code: &[(u64, &[u8])], range: &Range<u64>) -> Option<Box<[u8]>> {
    code.iter().find_map(|(start, bytes)| {
        let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
        Some(bytes.get(from..to)?.into())
    })
}
