//! Function pointers of the interpreter that lead to our hooks while recording: the
//! deallocator of code objects, and the allocator tables where those are traced.
//!
//! ```text
//!  slot: function      ─► slot: thunk ─► hook ─► function
//! ```
//!
//! A slot changes by a compare-and-swap that the target executes. Others may take a
//! copy of what stands there, as tracemalloc does to call what it replaces; so the way
//! back is to find every copy.

use super::install::STUB_THUNKS;
use super::{Error, Ground};
use crate::cpython::{DomainFunction, Interpreter};
use prof_injector::detour::{THUNK_BYTES, thunk};
use prof_injector::process::{Mapping, Memory, Module};
use prof_injector::region::RegionHandle;
use prof_shared::kind::Kind;
use prof_shared::region::{Entry, HEADER, POINTER, PROGRAM, STUB, Step, step};
use std::ops::Range;

/// From one thunk to the next.
const THUNK_STRIDE: u64 = (THUNK_BYTES as u64).next_multiple_of(16);
/// So much is read at once.
const PIECE: usize = 1 << 20;
/// So much private memory is searched for a copy, not more: to read what nobody has
/// touched costs the target page tables.
const SEARCH_MAX: u64 = 4 << 30;

/// A pointer that shall lead to a hook.
pub struct Pointer {
    slot: u64,
    function: u64,
    hook: &'static str,
    arguments: usize,
    kind: u8,
}

impl Pointer {
    /// `PyCode_Type.tp_dealloc`.
    pub fn dealloc(python: &Interpreter, memory: &Memory) -> Result<Pointer, Error> {
        let slot = python.dealloc_slot();
        let function = memory.read_u64(slot).map_err(Error::io("reading tp_dealloc"))?;
        Ok(Pointer { slot, function, hook: "prof_code_dealloc", arguments: 1, kind: 0 })
    }

    /// A function of an allocator table; its context comes first.
    pub fn domain(function: DomainFunction) -> Pointer {
        let (hook, arguments) = match function.kind {
            Kind::RawMalloc => ("prof_raw_malloc", 2),
            Kind::RawCalloc => ("prof_raw_calloc", 3),
            Kind::RawRealloc => ("prof_raw_realloc", 3),
            Kind::RawFree => ("prof_raw_free", 2),
            Kind::MemMalloc => ("prof_mem_malloc", 2),
            Kind::MemCalloc => ("prof_mem_calloc", 3),
            Kind::MemRealloc => ("prof_mem_realloc", 3),
            Kind::MemFree => ("prof_mem_free", 2),
            Kind::ObjectMalloc => ("prof_object_malloc", 2),
            Kind::ObjectCalloc => ("prof_object_calloc", 3),
            Kind::ObjectRealloc => ("prof_object_realloc", 3),
            _ => ("prof_object_free", 2),
        };
        let DomainFunction { kind, slot, function } = function;
        Pointer { slot, function, hook, arguments, kind: kind as u8 }
    }

    /// The payload's symbol that it shall lead to.
    pub fn hook(&self) -> &'static str {
        self.hook
    }

    /// Its entry in the register, as pointer number `index`.
    pub fn entry(&self, region: &RegionHandle, index: usize) -> Entry {
        let mut entry = Entry::default();
        (entry.original, entry.region, entry.function) = (self.function, region.at(HEADER), self.function);
        entry.patch = self.slot;
        entry.before = self.function.to_ne_bytes();
        entry.after = region.at(thunk_at(index)).to_ne_bytes();
        (entry.patch_len, entry.kind) = (POINTER, self.kind);
        entry
    }

    /// The thunk of pointer number `index` and its place in the region.
    pub fn thunk(&self, index: usize, entry_addr: u64, hook_addr: u64) -> (u64, [u8; THUNK_BYTES]) {
        (thunk_at(index), thunk(self.arguments, entry_addr, hook_addr))
    }
}

fn thunk_at(index: usize) -> u64 {
    STUB_THUNKS + index as u64 * THUNK_STRIDE
}

/// The swap that leads a pointer to its thunk. It answers with what was there.
pub fn swap_in(entry: &Entry) -> Step {
    swap(entry.patch, entry.before, entry.after)
}

fn swap(slot: u64, from: [u8; 8], to: [u8; 8]) -> Step {
    let (from, to) = (u64::from_ne_bytes(from), u64::from_ne_bytes(to));
    Step { what: step::SWAP, target: slot, args: [from, to, 0, 0, 0, 0], result: 0 }
}

/// Whether somebody has put something else there than the function or our thunk.
fn is_replaced(memory: &Memory, entry: &Entry) -> bool {
    let held = memory.read_u64(entry.patch).map(u64::to_ne_bytes);
    held.is_ok_and(|held| held != entry.after && held != entry.before)
}

/// Whether `swaps` would set a copy of this pointer back.
fn is_kept(swaps: &[Step], entry: &Entry) -> bool {
    swaps.iter().any(|swap| swap.args[0].to_ne_bytes() == entry.after)
}

/// Watches for somebody who replaces a pointer while recording.
pub struct Watch<'a> {
    copies: Copies<'a>,
    /// What the slots held at the last look.
    held: Vec<Option<u64>>,
}

impl<'a> Watch<'a> {
    /// Of `entries`, which lead to us now.
    pub fn new(ground: &'a Ground, region: &RegionHandle, entries: &[Entry]) -> Watch<'a> {
        let held = entries.iter().map(|entry| Some(u64::from_ne_bytes(entry.after))).collect();
        Watch { copies: Copies::new(ground, region, entries), held }
    }

    /// A function that somebody has replaced since the last look, without keeping ours
    /// to call it.
    pub fn lost(&mut self) -> Option<Kind> {
        let copies = &self.copies;
        let memory = copies.ground.process.memory();
        let held: Vec<_> = copies.entries.iter().map(|entry| memory.read_u64(entry.patch).ok()).collect();
        if held == self.held {
            return None;
        }
        self.held = held;
        let kept = copies.swaps().ok()?;
        Kind::from_tag(copies.entries.iter().find(|entry| !is_kept(&kept, entry))?.kind)
    }
}

/// Finds the copies of our thunks' addresses in a target.
pub struct Copies<'a> {
    ground: &'a Ground,
    entries: Vec<Entry>,
    thunks: Range<u64>,
    region: Range<u64>,
}

impl<'a> Copies<'a> {
    /// Of the pointers among `entries`.
    pub fn new(ground: &'a Ground, region: &RegionHandle, entries: &[Entry]) -> Copies<'a> {
        let entries = entries.iter().copied().filter(|entry| entry.patch_len == POINTER).collect();
        Copies {
            ground,
            entries,
            thunks: region.at(STUB)..region.at(PROGRAM),
            region: region.base()..region.base() + region.total_bytes(),
        }
    }

    /// The swaps that set back every copy in the data of the module that the pointers
    /// lie in; of all modules, if somebody has changed one.
    pub fn swaps(&self) -> Result<Vec<Step>, Error> {
        let maps = self.ground.maps_now()?;
        let memory = self.ground.process.memory();
        let everywhere = self.entries.iter().any(|entry| is_replaced(&memory, entry));
        let holds_pointer = |module: &Module| {
            module.writable(&maps).any(|range| self.entries.iter().any(|entry| range.contains(&entry.patch)))
        };
        let mut swaps = Vec::new();
        for module in self.ground.modules.iter().filter(|module| everywhere || holds_pointer(module)) {
            for range in module.writable(&maps) {
                self.search(range, |addr, entry| swaps.push(swap(addr, entry.after, entry.before)));
            }
        }
        Ok(swaps)
    }

    /// Whether somebody has replaced a pointer and keeps no copy of ours in a module's
    /// data: then it may be anywhere.
    pub fn is_any_missing(&self) -> Result<bool, Error> {
        let memory = self.ground.process.memory();
        let mut replaced = self.entries.iter().filter(|entry| is_replaced(&memory, entry)).peekable();
        if replaced.peek().is_none() {
            return Ok(false);
        }
        let kept = self.swaps()?;
        Ok(replaced.any(|entry| !is_kept(&kept, entry)))
    }

    /// A place in private memory where a copy is; or where the search ended, if there is
    /// too much of it.
    pub fn elsewhere(&self) -> Result<Option<u64>, Error> {
        let (mut found, mut left) = (None, SEARCH_MAX);
        let is_ours = |mapping: &&Mapping| self.region.contains(&mapping.range.start);
        let maps = self.ground.maps_now()?;
        let searched = maps.0.iter().filter(|m| m.read && m.write && !m.shared && m.inode == 0);
        for Mapping { range, .. } in searched.filter(|mapping| !is_ours(mapping)) {
            let Some(rest) = left.checked_sub(range.end - range.start) else { return Ok(Some(range.start)) };
            left = rest;
            self.search(range.clone(), |addr, _| found = Some(addr));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Tells of every word in `range` that is the address of a thunk of ours.
    fn search(&self, range: Range<u64>, mut tell: impl FnMut(u64, &Entry)) {
        let memory = self.ground.process.memory();
        let mut bytes = vec![0; PIECE.min((range.end - range.start) as usize)];
        for start in range.clone().step_by(PIECE) {
            let len = bytes.len().min((range.end - start) as usize);
            let Ok(read) = memory.read_some(start, &mut bytes[..len]) else { continue };
            for (addr, word) in (start..).step_by(8).zip(bytes[..read].as_chunks().0) {
                if !self.thunks.contains(&u64::from_ne_bytes(*word)) {
                    continue;
                }
                if let Some(entry) = self.entries.iter().find(|entry| entry.after == *word) {
                    tell(addr, entry);
                }
            }
        }
    }
}
