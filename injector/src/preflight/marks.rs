//! Files whose presence in the maps says what else works on a process.

/// Starts of file names, and what they stand for.
type Marks = &'static [(&'static str, &'static str)];

/// What changes how code runs, or watches every access to memory.
const INSTRUMENTS: Marks = &[
    ("libasan.", "AddressSanitizer"),
    ("libtsan.", "ThreadSanitizer"),
    ("libmsan.", "MemorySanitizer"),
    ("liblsan.", "LeakSanitizer"),
    ("libhwasan.", "HWAddressSanitizer"),
    ("libclang_rt.asan", "AddressSanitizer"),
    ("libclang_rt.tsan", "ThreadSanitizer"),
    ("libclang_rt.msan", "MemorySanitizer"),
    ("libclang_rt.lsan", "LeakSanitizer"),
    ("libclang_rt.hwasan", "HWAddressSanitizer"),
    ("vgpreload_", "Valgrind"),
    ("librrpreload", "rr"),
    ("qemu-", "qemu user emulation"),
];

/// What hooks the same functions as we do.
const PROFILERS: Marks = &[
    ("_memray.", "Memray"),
    ("libheaptrack_", "heaptrack"),
    ("libbytehound", "Bytehound"),
    ("libmemory_profiler", "Bytehound"),
    ("libdd_profiling", "ddprof"),
    ("libddprof", "ddprof"),
];

/// The instrument that a mapping's name gives away.
pub fn instrument(mapping: &str) -> Option<&'static str> {
    find(INSTRUMENTS, mapping)
}

/// The profiler that a mapping's name gives away.
pub fn profiler(mapping: &str) -> Option<&'static str> {
    find(PROFILERS, mapping)
}

fn find(marks: Marks, mapping: &str) -> Option<&'static str> {
    let file = mapping.rsplit('/').next().unwrap_or(mapping);
    marks.iter().find(|(start, _)| file.starts_with(start)).map(|(_, tool)| *tool)
}
