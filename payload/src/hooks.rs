//! What runs in place of the allocator's functions.
//!
//! A hook has the function's own signature and, behind its arguments, the entry
//! that the island adds. It calls the function through the entry's trampoline and
//! returns exactly what that returned; errno is never touched. An allocation is
//! stamped after the call and a free before it, so that on one coherent clock
//! the free of a block precedes the next allocation at its address.

use crate::event::Event;
use core::mem::transmute;
use prof_shared::kind::Kind;
use prof_shared::record::Encoder;
use prof_shared::region::Entry;

/// Declares hooks whose result is a new block, or null. CPython's own functions have
/// a context in front (`PyMemAllocatorEx`).
macro_rules! allocation {
    ($($name:ident($($argument:ident),+) = $kind:ident of $size:expr, $after:ident;)+) => {$(
        /// # Safety
        /// Called by the island in place of the function of the same name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: u64,)+ entry: &Entry) -> u64 {
            // SAFETY: the trampoline is that function.
            let original: extern "C" fn($(allocation!(@word $argument),)+) -> u64 = unsafe { transmute(entry.original) };
            let Some(event) = Event::begin(entry) else { return original($($argument),+) };
            let addr = event.call(|| original($($argument),+));
            if addr != 0 {
                let ticks = event.$after();
                event.allocated(Kind::$kind, ticks, block(ticks, addr, $size));
            }
            addr
        }
    )+};
    (@word $argument:ident) => { u64 };
}

allocation! {
    prof_malloc(size) = Malloc of size, after;
    prof_calloc(count, size) = Calloc of count.wrapping_mul(size), after;
    prof_aligned_alloc(alignment, size) = AlignedAlloc of size, after;
    prof_memalign(alignment, size) = Memalign of size, after;
    prof_valloc(size) = Valloc of size, after;
    prof_pvalloc(size) = Pvalloc of size, after;
    prof_raw_malloc(context, size) = RawMalloc of size, after;
    prof_raw_calloc(context, count, size) = RawCalloc of count.wrapping_mul(size), after;
    prof_mem_malloc(context, size) = MemMalloc of size, after_in_turn;
    prof_mem_calloc(context, count, size) = MemCalloc of count.wrapping_mul(size), after_in_turn;
    prof_object_malloc(context, size) = ObjectMalloc of size, after_in_turn;
    prof_object_calloc(context, count, size) = ObjectCalloc of count.wrapping_mul(size), after_in_turn;
}

/// The fields of a new block. One function for all, so that what records them
/// exists once.
#[inline(always)]
fn block(ticks: u64, addr: u64, size: u64) -> impl Fn(&mut Encoder) {
    move |encoder| encoder.block(ticks, addr, size)
}

/// # Safety
/// Called by the island in place of `posix_memalign`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_posix_memalign(out: *mut u64, alignment: u64, size: u64, entry: &Entry) -> i32 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(*mut u64, u64, u64) -> i32 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(out, alignment, size) };
    let error = event.call(|| original(out, alignment, size));
    if error == 0 {
        let ticks = event.after();
        // SAFETY: it succeeded, so it wrote there.
        let addr = unsafe { out.read() };
        event.allocated(Kind::PosixMemalign, ticks, block(ticks, addr, size));
    }
    error
}

/// # Safety
/// Called by the island in place of `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_realloc(old: u64, size: u64, entry: &Entry) -> u64 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64, u64) -> u64 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(old, size) };
    let before = event.before();
    let addr = event.call(|| original(old, size));
    reallocated(&event, Kind::Realloc, before, old, addr, size);
    addr
}

/// # Safety
/// Called by the island in place of `reallocarray`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_reallocarray(old: u64, count: u64, size: u64, entry: &Entry) -> u64 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64, u64, u64) -> u64 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(old, count, size) };
    let before = event.before();
    let addr = event.call(|| original(old, count, size));
    // Null for a product that overflows leaves the old block alive.
    if addr != 0 || count.checked_mul(size).is_some() {
        reallocated(&event, Kind::Reallocarray, before, old, addr, count.wrapping_mul(size));
    }
    addr
}

/// A block in place of another.
struct Replacement {
    before: u64,
    old: u64,
    ticks: u64,
    addr: u64,
    size: u64,
    mapping: Option<Mapping>,
}

/// What is told of mappings only.
struct Mapping {
    old_size: u64,
    flags: u64,
}

impl Replacement {
    fn write(&self, encoder: &mut Encoder) {
        match &self.mapping {
            Some(mapping) => encoder.block(self.before, self.old, mapping.old_size),
            None => encoder.moment(self.before, self.old),
        }
        encoder.block(self.ticks, self.addr, self.size);
        if let Some(mapping) = &self.mapping {
            encoder.number(mapping.flags);
        }
    }
}

fn replaced(event: &Event, kind: Kind, replacement: &Replacement) {
    event.allocated(kind, replacement.before, |encoder| replacement.write(encoder));
}

fn reallocated(event: &Event, kind: Kind, before: u64, old: u64, addr: u64, size: u64) {
    if addr != 0 {
        let ticks = event.after();
        replaced(event, kind, &Replacement { before, old, ticks, addr, size, mapping: None });
    } else if size == 0 && old != 0 && event.zero_frees() {
        gave_back_rarely(event, Kind::Free, before, old);
    }
}

/// Declares hooks for CPython's `realloc` functions. They never free: to them 0 bytes
/// are 1.
macro_rules! reallocation {
    ($($name:ident = $kind:ident, $before:ident;)+) => {$(
        /// # Safety
        /// Called in place of the function that a table of CPython's held.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(context: u64, old: u64, size: u64, entry: &Entry) -> u64 {
            // SAFETY: that function.
            let original: extern "C" fn(u64, u64, u64) -> u64 = unsafe { transmute(entry.original) };
            let Some(event) = Event::begin(entry) else { return original(context, old, size) };
            let before = event.$before();
            let addr = event.call(|| original(context, old, size));
            if addr != 0 {
                reallocated(&event, Kind::$kind, before, old, addr, size);
            }
            addr
        }
    )+};
}

reallocation! {
    prof_raw_realloc = RawRealloc, before;
    prof_mem_realloc = MemRealloc, before_in_turn;
    prof_object_realloc = ObjectRealloc, before_in_turn;
}

#[inline(always)]
fn gave_back(event: &Event, kind: Kind, ticks: u64, addr: u64) {
    event.freed(kind, ticks, |encoder| {
        encoder.moment(ticks, addr);
    });
}

/// The same, once for all functions that few programs call often.
#[inline(never)]
fn gave_back_rarely(event: &Event, kind: Kind, ticks: u64, addr: u64) {
    gave_back(event, kind, ticks, addr);
}

/// Declares hooks that give the block `addr` back.
macro_rules! release {
    ($($name:ident($($argument:ident),+) = $kind:ident of $addr:ident, $before:ident, $gave_back:ident;)+) => {$(
        /// # Safety
        /// Called in place of the function of the same name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: u64,)+ entry: &Entry) {
            // SAFETY: that function.
            let original: extern "C" fn($(release!(@word $argument)),+) = unsafe { transmute(entry.original) };
            if $addr != 0 && let Some(event) = Event::begin(entry) {
                $gave_back(&event, Kind::$kind, event.$before(), $addr);
                event.call(|| original($($argument),+));
            } else {
                original($($argument),+);
            }
        }
    )+};
    (@word $argument:ident) => { u64 };
}

/// glibc empties a thread's cache at its end by freeing each cached block a second
/// time through `free` (malloc/malloc.c, `tcache_thread_shutdown`). These calls are
/// told by where they return to, which this passes on as a third argument.
///
/// # Safety
/// Called by the island in place of `free`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_free() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rdx, [rsp]",
        "jmp {free}",
        ".cfi_endproc",
        free = sym free,
    )
}

unsafe extern "C" fn free(addr: u64, entry: &Entry, caller: u64) {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64) = unsafe { transmute(entry.original) };
    if addr != 0
        && !Event::is_internal(entry, caller)
        && let Some(event) = Event::begin(entry)
    {
        gave_back(&event, Kind::Free, event.before(), addr);
        event.call(|| original(addr));
    } else {
        original(addr);
    }
}

release! {
    prof_free_sized(addr, size) = Free of addr, before, gave_back_rarely;
    prof_free_aligned_sized(addr, alignment, size) = Free of addr, before, gave_back_rarely;
    prof_raw_free(context, addr) = RawFree of addr, before, gave_back_rarely;
    prof_mem_free(context, addr) = MemFree of addr, before_in_turn, gave_back;
    prof_object_free(context, addr) = ObjectFree of addr, before_in_turn, gave_back;
}

/// # Safety
/// Called by the island in place of `munmap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_munmap(addr: u64, size: u64, entry: &Entry) -> i32 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64, u64) -> i32 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(addr, size) };
    let before = event.before();
    let error = event.call(|| original(addr, size));
    if error == 0 {
        event.freed(Kind::Munmap, before, |encoder| {
            encoder.block(before, addr, size);
        });
    }
    error
}

/// # Safety
/// Called by the island in place of `mremap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_mremap(
    old: u64,
    old_size: u64,
    size: u64,
    flags: u64,
    wanted: u64,
    entry: &Entry,
) -> u64 {
    // SAFETY: the trampoline is that function. It is variadic: the callee reads the
    // fifth argument only with the flag that asks for it.
    let original: extern "C" fn(u64, u64, u64, u64, u64) -> u64 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(old, old_size, size, flags, wanted) };
    let before = event.before();
    let addr = event.call(|| original(old, old_size, size, flags, wanted));
    if addr != MAP_FAILED {
        let ticks = event.after();
        let mapping = Some(Mapping { old_size, flags: flags & 0xffff_ffff });
        replaced(&event, Kind::Mremap, &Replacement { before, old, ticks, addr, size, mapping });
    }
    addr
}

const MAP_FAILED: u64 = u64::MAX;
const MAP_SHARED: u64 = 1;
const MAP_STACK: u64 = 0x2_0000;

/// `mmap` fills all six argument registers: the entry comes in r11 and is passed
/// on as the seventh argument, and where the call returns to as the eighth.
///
/// # Safety
/// Called by the island in place of `mmap`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_mmap() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "push [rsp+8]",
        ".cfi_adjust_cfa_offset 8",
        "push r11",
        ".cfi_adjust_cfa_offset 8",
        "call {mmap}",
        "add rsp, 24",
        ".cfi_adjust_cfa_offset -24",
        "ret",
        ".cfi_endproc",
        mmap = sym mmap,
    )
}

unsafe extern "C" fn mmap(
    hint: u64,
    size: u64,
    prot: u64,
    flags: u64,
    fd: u64,
    offset: u64,
    entry: &Entry,
    caller: u64,
) -> u64 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64, u64, u64, u64, u64, u64) -> u64 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(hint, size, prot, flags, fd, offset) };
    let addr = event.call(|| original(hint, size, prot, flags, fd, offset));
    if addr != MAP_FAILED {
        let ticks = event.after();
        let kind = match flags & MAP_STACK {
            0 if flags & MAP_SHARED == 0 && event.is_arena(caller, size) => Kind::PymallocArena,
            0 => Kind::Mmap,
            _ => Kind::ThreadStack,
        };
        event.allocated(kind, ticks, block(ticks, addr, size));
    }
    addr
}
