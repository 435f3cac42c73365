//! One look at the resident set.

use super::arenas::malloc_arenas;
use super::category::{Category, Landmarks, segments};
use super::heaps::malloc_heaps;
use crate::cpython::{ArenaTable, Arenas};
use crate::model::{MallocArena, Pymalloc, RssSample};
use prof_injector::process::{Activity, Mapping, Process, Resident};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// Files told by name in a thorough look.
const FILES: usize = 100;

/// The kernel's counters: `rss_anon`, `rss_file`, `rss_shmem`. Cheap at any size.
pub fn counters(process: &Process, t_ns: u64) -> io::Result<RssSample> {
    let set = process.resident_set()?;
    let parts =
        [("rss_anon", set.anonymous_bytes), ("rss_file", set.file_bytes), ("rss_shmem", set.shared_bytes)];
    let parts = parts.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    Ok(RssSample { t_ns, resident_bytes: set.total_bytes(), parts, ..RssSample::default() })
}

/// The resident set by category, and pymalloc's own figures. `by_name` adds what the
/// largest files hold, where the arenas are, and malloc's own figures.
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
    let heaps = malloc_heaps(&maps, |at| memory.read_u64(at).ok());
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
            sum.add(segment.category, segment.mapping, pagemap.resident(&segment.range)?);
        }
    }
    let set = process.resident_set()?;
    Ok(RssSample {
        t_ns,
        resident_bytes: set.total_bytes(),
        parts: sum.parts(set.anonymous_bytes, if by_name { FILES } else { 0 }),
        pymalloc: arenas.map(|arenas| pymalloc(&arenas, by_name)),
        malloc_arenas: malloc_arenas.unwrap_or_default(),
    })
}

/// While it changes it does not look right, or not whole.
fn arenas_of_malloc(process: &Process) -> Option<Vec<MallocArena>> {
    const TRIES: u32 = 3;
    let memory = process.memory();
    let mut found = None;
    for _ in 0..TRIES {
        let maps = process.maps().ok()?;
        let heaps = malloc_heaps(&maps, |at| memory.read_u64(at).ok());
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

/// Resident bytes by category and by file.
#[derive(Default)]
struct Sum {
    certain: BTreeMap<Category, u64>,
    doubtful: BTreeMap<Category, u64>,
    /// Anonymous memory among the certain.
    own_bytes: u64,
    files: BTreeMap<String, u64>,
}

impl Sum {
    fn add(&mut self, category: Category, mapping: &Mapping, resident: Resident) {
        let Resident { file_bytes, own_bytes, doubtful_bytes } = resident;
        // A shared mapping has nothing anonymous: the rest of it is device memory.
        let (own_bytes, doubtful_bytes) = if mapping.shared { (0, 0) } else { (own_bytes, doubtful_bytes) };
        *self.certain.entry(category).or_default() += file_bytes + own_bytes;
        *self.doubtful.entry(category).or_default() += doubtful_bytes;
        self.own_bytes += own_bytes;
        if category == Category::Files {
            *self.files.entry(mapping.name.clone()).or_default() += file_bytes + own_bytes;
        }
    }

    /// Of the doubtful pages as many count as the kernel's counter has room for; the
    /// others are the zero page.
    fn parts(&self, anonymous_bytes: u64, files: usize) -> BTreeMap<String, u64> {
        let doubtful: u64 = self.doubtful.values().sum();
        let counted = anonymous_bytes.saturating_sub(self.own_bytes).min(doubtful);
        let part =
            |bytes: u64| (u128::from(bytes) * u128::from(counted) / u128::from(doubtful.max(1))) as u64;
        let of = |category: &Category| self.doubtful.get(category).map_or(0, |&bytes| part(bytes));
        let parts =
            self.certain.iter().map(|(category, bytes)| (category.name().to_owned(), bytes + of(category)));
        let mut by_size: Vec<_> = self.files.iter().filter(|(_, bytes)| **bytes > 0).collect();
        by_size.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
        let files = by_size.into_iter().take(files).map(|(path, bytes)| (format!("file:{path}"), *bytes));
        parts.chain(files).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum() -> Sum {
        let mapping = |line| Mapping::parse(line).expect("a line of maps");
        let (anonymous, file) =
            (mapping("1000-2000 rw-p 0 00:00 0 "), mapping("3000-4000 rw-s 0 08:01 7 /data/x"));
        let mut sum = Sum::default();
        let resident = Resident { file_bytes: 0, own_bytes: 40, doubtful_bytes: 20 };
        sum.add(Category::Anonymous, &anonymous, resident);
        sum.add(Category::BrkHeap, &anonymous, Resident { doubtful_bytes: 60, ..Resident::default() });
        sum.add(Category::Files, &file, Resident { file_bytes: 8, own_bytes: 0, doubtful_bytes: 4 });
        sum
    }

    /// anonymous, brk_heap, files
    fn parts(anonymous_bytes: u64) -> [u64; 3] {
        let parts = sum().parts(anonymous_bytes, 0);
        ["anonymous", "brk_heap", "files"].map(|name| parts[name])
    }

    #[test]
    fn doubtful_pages_count_as_far_as_the_kernel_does() {
        assert_eq!(parts(120), [60, 60, 8], "shared with a fork");
        assert_eq!(parts(500), [60, 60, 8], "it grew meanwhile");
        assert_eq!(parts(40), [40, 0, 8], "the zero page");
        assert_eq!(parts(80), [50, 30, 8]);
        assert_eq!(parts(0), [40, 0, 8], "it shrank meanwhile");
    }

    #[test]
    fn files_have_names() {
        assert_eq!(sum().parts(0, 5)["file:/data/x"], 8);
        assert_eq!(sum().parts(0, 0).get("file:/data/x"), None);
    }
}
