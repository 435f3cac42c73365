//! One look at the resident set.

use super::arenas::malloc_arenas;
use super::category::{Landmarks, segments};
use super::heaps::{Heap, malloc_heaps};
use super::sum::Sum;
use crate::cpython::{ArenaTable, Arenas};
use crate::model::{MallocArena, Pymalloc, RssSample};
use prof_injector::process::{Activity, Mapping, Maps, Process, Resident};
use prof_shared::region::PAGE;
use std::io;
use std::ops::Range;

/// Files told by name in a thorough look.
const FILES: usize = 100;
/// So finely a thorough look tells where resident memory is.
const TILE: u64 = 1 << 20;
/// The most extents told: 16 GiB, if each tile is resident in part.
const EXTENTS: usize = 1 << 14;

/// The kernel's counters: `rss_anon`, `rss_file`, `rss_shmem`. Cheap at any size.
pub fn counters(process: &Process, t_ns: u64) -> io::Result<RssSample> {
    let set = process.resident_set()?;
    let parts =
        [("rss_anon", set.anonymous_bytes), ("rss_file", set.file_bytes), ("rss_shmem", set.shared_bytes)];
    let parts = parts.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    Ok(RssSample { t_ns, resident_bytes: set.total_bytes(), parts, ..RssSample::default() })
}

/// The resident set by category, and pymalloc's own figures. `by_name` adds what the
/// largest files hold, where resident memory and the arenas are, and malloc's own figures.
pub fn look(
    process: &Process,
    table: Option<&ArenaTable>,
    own: &[Range<u64>],
    by_name: bool,
    t_ns: u64,
) -> io::Result<RssSample> {
    let memory = process.memory();
    let arenas = table.and_then(|table| table.read(&memory));
    let maps = process.maps()?;
    if own.iter().any(|range| maps.at(range.start).is_none()) {
        // It has become another program (execve(2)).
        return Err(io::ErrorKind::NotFound.into());
    }
    let heaps = heaps(process, &maps)?;
    let malloc_arenas = if by_name { arenas_of_malloc(process) } else { None };
    let landmarks = Landmarks {
        stack_pointers: stack_pointers(process),
        malloc_heaps: heaps.into_iter().map(|heap| heap.range).collect(),
        arenas: arenas.as_ref().map(Arenas::ranges).unwrap_or_default(),
        own: own.to_vec(),
    };
    let (pagemap, mut sum) = (process.pagemap()?, Sum::default());
    for segment in segments(&maps, &landmarks) {
        if is_counted(segment.mapping) {
            let tile = if by_name { TILE } else { u64::MAX };
            pagemap.tiles(&segment.range, tile, |range, resident| sum.add(&segment, range, resident))?;
        }
    }
    let set = process.resident_set()?;
    Ok(RssSample {
        t_ns,
        resident_bytes: set.total_bytes(),
        parts: sum.parts(set.anonymous_bytes, if by_name { FILES } else { 0 }),
        pymalloc: arenas.map(|arenas| pymalloc(&arenas, by_name)),
        malloc_arenas: malloc_arenas.unwrap_or_default(),
        extents: if by_name { sum.extents(set.anonymous_bytes, EXTENTS) } else { Vec::new() },
    })
}

/// Only resident memory is read: a read of other memory would map the zero page there,
/// or the huge one.
fn heaps(process: &Process, maps: &Maps) -> io::Result<Vec<Heap>> {
    let (memory, pagemap) = (process.memory(), process.pagemap()?);
    let is_resident = |at: u64| {
        let page = at - at % PAGE;
        pagemap.resident(&(page..page + PAGE)).is_ok_and(|resident| resident != Resident::default())
    };
    Ok(malloc_heaps(maps, |at| is_resident(at).then(|| memory.read_u64(at).ok())?))
}

/// While it changes it does not look right, or not whole.
fn arenas_of_malloc(process: &Process) -> Option<Vec<MallocArena>> {
    const TRIES: u32 = 3;
    let memory = process.memory();
    let mut found = None;
    for _ in 0..TRIES {
        let maps = process.maps().ok()?;
        let heaps = heaps(process, &maps).ok()?;
        found = malloc_arenas(&maps, &heaps, &|at, out| memory.read(at, out).ok()).or(found);
        if found.as_ref().is_some_and(|arenas| arenas.iter().all(|arena| !arena.is_partial)) {
            break;
        }
    }
    found
}

/// Ascending. Of threads that wait in the kernel; those that run are known by their guards.
fn stack_pointers(process: &Process) -> Vec<u64> {
    let pointer = |tid| match process.activity(tid) {
        Ok(Activity::Blocked { sp, .. }) => Some(sp),
        _ => None,
    };
    let mut pointers: Vec<_> = process.tasks().unwrap_or_default().into_iter().filter_map(pointer).collect();
    pointers.sort_unstable();
    pointers
}

/// Whether pages of a mapping are in the resident set: those of `hugetlbfs` and of
/// the kernel's variables are not (fs/proc/task_mmu.c, arch/x86/entry/vdso/vma.c).
fn is_counted(mapping: &Mapping) -> bool {
    !["/anon_hugepage", "[vvar"].iter().any(|name| mapping.name.starts_with(name))
}

fn pymalloc(arenas: &Arenas, with_ranges: bool) -> Pymalloc {
    let ranges = if with_ranges { arenas.ranges() } else { Vec::new() };
    Pymalloc {
        arenas: arenas.starts.len() as u64,
        arena_bytes: arenas.arena_bytes,
        used_pools: arenas.used_pools,
        free_pools: arenas.free_pools,
        pool_bytes: arenas.pool_bytes,
        ranges: ranges.into_iter().map(|range| (range.start, range.end - range.start)).collect(),
    }
}
