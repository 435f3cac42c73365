//! Where glibc keeps what must not be interrupted. A distribution's libc has only
//! dynamic symbols, so the extent of an object file is told by its neighbours.

use crate::process::{Module, Symbol};
use std::ops::Range;

/// What malloc's object files export, in any version: malloc, mcheck, mtrace,
/// obstack and reallocarray are linked next to each other.
const MALLOC_FAMILY: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "free",
    "cfree",
    "memalign",
    "aligned_alloc",
    "valloc",
    "pvalloc",
    "posix_memalign",
    "reallocarray",
    "free_sized",
    "free_aligned_sized",
    "mallinfo",
    "mallinfo2",
    "malloc_info",
    "malloc_stats",
    "malloc_trim",
    "malloc_usable_size",
    "malloc_get_state",
    "malloc_set_state",
    "mallopt",
    "__libc_malloc",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_free",
    "__libc_memalign",
    "__libc_valloc",
    "__libc_pvalloc",
    "__libc_reallocarray",
    "__libc_mallinfo",
    "__libc_mallopt",
    "__posix_memalign",
    "__default_morecore",
    "__malloc_check_init",
    "__libc_freeres",
    "__libc_thread_freeres",
    "__malloc_fork_lock_parent",
    "__malloc_fork_unlock_parent",
    "__malloc_fork_unlock_child",
    "mcheck",
    "mcheck_check_all",
    "mcheck_pedantic",
    "mprobe",
    "mtrace",
    "muntrace",
    "tr_break",
    "obstack_free",
    "_obstack_free",
    "_obstack_begin",
    "_obstack_begin_1",
    "_obstack_newchunk",
    "_obstack_allocated_p",
    "_obstack_memory_used",
];

/// Those that every version has in malloc's own object file.
const CORE: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "free",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_trim",
    "mallopt",
    "malloc_stats",
];

/// Functions that hold or change what `dlopen` needs, in whichever module
/// defines them: before glibc 2.34 they were spread over three libraries. The
/// local functions behind them are entered through these, so theirs is a frame.
/// The last ones hold the lock that a failing `dlopen` takes to translate its message.
const EXACT: &[&str] = &[
    "fork",
    "__fork",
    "__libc_fork",
    "_Fork",
    "vfork",
    "__vfork",
    "__libc_vfork",
    "posix_spawn",
    "posix_spawnp",
    "pidfd_spawn",
    "pidfd_spawnp",
    "system",
    "__libc_system",
    "popen",
    "_IO_popen",
    "pthread_create",
    "thrd_create",
    "pthread_exit",
    "thrd_exit",
    "pthread_join",
    "thrd_join",
    "pthread_tryjoin_np",
    "pthread_timedjoin_np",
    "pthread_clockjoin_np",
    "pthread_detach",
    "thrd_detach",
    "pthread_cancel",
    "pthread_atfork",
    "__pthread_atfork",
    "__register_atfork",
    "exit",
    "_exit",
    "_Exit",
    "quick_exit",
    "atexit",
    "at_quick_exit",
    "on_exit",
    "__cxa_atexit",
    "__cxa_finalize",
    "__cxa_at_quick_exit",
    "__cxa_thread_atexit_impl",
    "dlopen",
    "dlmopen",
    "dlclose",
    "dlsym",
    "dlvsym",
    "dladdr",
    "dladdr1",
    "dlinfo",
    "dlerror",
    "dl_iterate_phdr",
    "_dl_find_object",
    "__libc_dlopen_mode",
    "__libc_dlclose",
    "__libc_dlsym",
    "__libc_dlvsym",
    "_dl_catch_error",
    "_dl_catch_exception",
    "_dl_signal_error",
    "_dl_signal_exception",
    "_dl_addr",
    "setlocale",
    "newlocale",
    "duplocale",
    "freelocale",
    "textdomain",
    "bindtextdomain",
    "bind_textdomain_codeset",
];

/// `mov rax, 15; syscall`: the function that a signal handler returns to.
const RESTORER: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];

/// Whether the module is glibc itself.
pub(super) fn is_libc(module: &Module) -> bool {
    module.symbols.contains_key("gnu_get_libc_version")
}

/// Whether the module is glibc's dynamic loader.
pub(super) fn is_loader(module: &Module) -> bool {
    module.symbols.contains_key("_rtld_global") || module.symbols.contains_key("_dl_mcount")
}

/// From the end of the last export before malloc's object files to the start of
/// the first one behind them.
pub(super) fn malloc_range(module: &Module) -> Option<Range<u64>> {
    let malloc = module.symbol("malloc")?.addr;
    let text = module.text.iter().find(|text| text.contains(&malloc))?;
    let family: Vec<u64> = MALLOC_FAMILY.iter().filter_map(|name| Some(module.symbol(name)?.addr)).collect();
    let core =
        CORE.iter().filter_map(|name| Some(module.symbol(name)?.addr)).filter(|addr| text.contains(addr));
    let (lowest, highest) = (core.clone().min()?, core.max()?);
    let others = module.symbols.values().filter(|s| text.contains(&s.addr) && !family.contains(&s.addr));
    let before = others.clone().filter(|s| s.addr < lowest).map(end_of).max();
    let behind = others.map(|s| s.addr).filter(|addr| *addr > highest).min();
    Some(before.unwrap_or(text.start).min(lowest)..behind.unwrap_or(text.end))
}

fn end_of(symbol: &Symbol) -> u64 {
    symbol.addr.saturating_add(symbol.size)
}

/// The functions of [`EXACT`] that a module defines.
pub(super) fn exact_ranges(module: &Module) -> impl Iterator<Item = Range<u64>> + '_ {
    let found = EXACT.iter().filter_map(|name| module.symbol(name));
    found.filter(|symbol| symbol.size != 0).map(|symbol| symbol.addr..end_of(&symbol))
}

/// Where in `code` the signal restorers begin.
pub(super) fn restorers(code: &[u8]) -> impl Iterator<Item = usize> + '_ {
    code.windows(RESTORER.len()).enumerate().filter(|(_, bytes)| **bytes == RESTORER).map(|(index, _)| index)
}
