//! What each part of an address space is for. Pure: maps and landmarks in, segments out.
//!
//! ```text
//!  mapping   [heap]   rw-p ─────────────────   ---p rw-p   /lib/x.so   [stack]
//!  landmark           └heap┘   └arenas┘             ▲ sp
//!  segment   brk      malloc │ pymalloc │ anon    stack      file      stack
//! ```
//!
//! Neighbouring mappings of one kind are one mapping for the kernel, so an anonymous
//! one is cut where landmarks begin and end.

use prof_injector::process::{Mapping, Maps};
use std::ops::Range;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// The heap that `brk` grows: malloc's main arena.
    BrkHeap,
    /// Heaps of glibc's other arenas.
    MallocArenas,
    /// Arenas of CPython's small-object allocator.
    Pymalloc,
    /// Mapped by nobody known, large blocks of malloc among them.
    Anonymous,
    /// Stacks, also those that glibc keeps for the next thread.
    ThreadStacks,
    /// Private or shared, of a file on disk.
    Files,
    /// Shared memory without a file on disk.
    Shared,
    /// The recording itself.
    Prof,
    /// The kernel's own pages.
    Other,
}

impl Category {
    /// The name used in every output.
    pub fn name(self) -> &'static str {
        match self {
            Category::BrkHeap => "brk_heap",
            Category::MallocArenas => "malloc_arenas",
            Category::Pymalloc => "pymalloc_arenas",
            Category::Anonymous => "anonymous",
            Category::ThreadStacks => "thread_stacks",
            Category::Files => "files",
            Category::Shared => "shared",
            Category::Prof => "prof",
            Category::Other => "other",
        }
    }
}

/// Known places in an address space. Each list is ascending.
#[derive(Clone, Debug, Default)]
pub struct Landmarks {
    /// Where threads have their stack pointers.
    pub stack_pointers: Vec<u64>,
    /// Heaps of glibc's arenas.
    pub malloc_heaps: Vec<Range<u64>>,
    /// pymalloc's arenas.
    pub arenas: Vec<Range<u64>>,
    /// Private memory of the recording.
    pub own: Vec<Range<u64>>,
}

/// A part of a mapping that is for one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where.
    pub range: Range<u64>,
    /// What for.
    pub category: Category,
    /// The mapping it is of.
    pub mapping: &'a Mapping,
}

/// Where user space ends; above lies `[vsyscall]`.
const ADDRESS_END: u64 = 1 << 47;
/// A thread's stack, if nobody asks for another size: the usual `RLIMIT_STACK`
/// (pthread_create(3)).
const STACK_BYTES: u64 = 8 << 20;
/// The largest guard: one page, which elsewhere has 64 KiB.
const GUARD_MAX: u64 = 64 << 10;

/// Every mapping, cut into segments.
pub fn segments<'a>(maps: &'a Maps, landmarks: &Landmarks) -> Vec<Segment<'a>> {
    let mut segments = Vec::with_capacity(maps.0.len());
    let mut before: Option<&Mapping> = None;
    for mapping in maps.0.iter().filter(|mapping| mapping.range.end <= ADDRESS_END) {
        match category(mapping) {
            Category::Anonymous => cut(mapping, before, landmarks, &mut segments),
            category => segments.push(Segment { range: mapping.range.clone(), category, mapping }),
        }
        before = Some(mapping);
    }
    segments
}

/// By what the kernel says of the mapping.
fn category(mapping: &Mapping) -> Category {
    match mapping.name.as_str() {
        "[heap]" => Category::BrkHeap,
        "[stack]" => Category::ThreadStacks,
        name if name.starts_with("/memfd:prof-") => Category::Prof,
        name if mapping.shared && is_memory(name) => Category::Shared,
        name if mapping.inode != 0 || name.starts_with('/') => Category::Files,
        name if name.is_empty() || name.starts_with("[anon") => Category::Anonymous,
        _ => Category::Other,
    }
}

/// Whether a shared mapping of that name is memory only (proc_pid_maps(5), shm_overview(7)).
fn is_memory(name: &str) -> bool {
    let prefixes = ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "[anon_shmem"];
    name.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn cut<'a>(
    mapping: &'a Mapping,
    before: Option<&Mapping>,
    landmarks: &Landmarks,
    out: &mut Vec<Segment<'a>>,
) {
    let mut parts = Vec::new();
    parts.extend(within(&landmarks.own, &mapping.range).map(|range| (range, Category::Prof)));
    parts
        .extend(within(&landmarks.malloc_heaps, &mapping.range).map(|range| (range, Category::MallocArenas)));
    parts.extend(within(&landmarks.arenas, &mapping.range).map(|range| (range, Category::Pymalloc)));
    if parts.is_empty() {
        let stack = stack(mapping, before, &landmarks.stack_pointers);
        parts.extend(stack.map(|range| (range, Category::ThreadStacks)));
    }
    parts.sort_by_key(|(range, _)| range.start);
    let mut at = mapping.range.start;
    for (range, category) in parts {
        let range = range.start.max(at)..range.end.max(at);
        put(at..range.start, Category::Anonymous, mapping, out);
        put(range.clone(), category, mapping, out);
        at = range.end;
    }
    put(at..mapping.range.end, Category::Anonymous, mapping, out);
}

fn put<'a>(range: Range<u64>, category: Category, mapping: &'a Mapping, out: &mut Vec<Segment<'a>>) {
    if !range.is_empty() {
        out.push(Segment { range, category, mapping });
    }
}

/// The parts of ascending, disjoint `ranges` that lie in `outer`.
fn within<'r>(ranges: &'r [Range<u64>], outer: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<'r> {
    let (start, end) = (outer.start, outer.end);
    let first = ranges.partition_point(|range| range.end <= start);
    let inside = ranges[first..].iter().take_while(move |range| range.start < end);
    inside.map(move |range| range.start.max(start)..range.end.min(end))
}

/// The part of an anonymous mapping that is a thread's stack: right above a guard, as
/// glibc makes it (nptl/allocatestack.c), or around a stack pointer.
fn stack(mapping: &Mapping, before: Option<&Mapping>, stack_pointers: &[u64]) -> Option<Range<u64>> {
    let range = &mapping.range;
    if !mapping.write || mapping.shared {
        return None;
    }
    let first = stack_pointers.partition_point(|&sp| sp < range.start);
    let pointers = stack_pointers[first..].partition_point(|&sp| sp < range.end) as u64;
    let has_guard = before.is_some_and(|before| is_guard(before) && before.range.end == range.start);
    match has_guard {
        true => Some(range.start..range.end.min(range.start + STACK_BYTES)),
        // Stacks whose guards are no mappings of their own (glibc 2.42 and later) are one mapping.
        false => {
            (pointers > 0 && mapping.len() <= pointers * (STACK_BYTES + GUARD_MAX)).then(|| range.clone())
        }
    }
}

fn is_guard(mapping: &Mapping) -> bool {
    let is_open = mapping.read || mapping.write || mapping.exec;
    !is_open && mapping.is_anonymous() && mapping.len() <= GUARD_MAX
}

#[cfg(test)]
#[path = "category_tests.rs"]
mod tests;
