//! What runs in place of the allocator's functions.
//!
//! A hook has the function's own signature and, behind its arguments, the entry
//! that the island adds. It calls the function through the entry's trampoline and
//! returns exactly what that returned; errno is never touched. An allocation is
//! stamped after the call and a free before it, so that on one coherent clock
//! the free of a block precedes the next allocation at its address.
//!
//! Hooks of blocks are there twice: `sampled_` is in front of the names of those that record
//! samples only.

use crate::event::Event;
use core::mem::transmute;
use prof_shared::kind::Kind;
use prof_shared::record::Encoder;
use prof_shared::region::Entry;

/// Exports a hook of blocks, for all of them and for samples.
macro_rules! export {
    ($name:ident($($argument:ident: $type:ty),+) $(-> $result:ty)? = $hook:ident) => {
        /// # Safety
        /// Called in place of the function of the same name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type,)+ entry: &Entry) $(-> $result)? {
            #[unsafe(export_name = concat!("sampled_", stringify!($name)))]
            unsafe extern "C" fn sampled($($argument: $type,)+ entry: &Entry) $(-> $result)? {
                // SAFETY: the caller's promise.
                unsafe { $hook::<true>($($argument,)+ entry) }
            }
            // SAFETY: the caller's promise.
            unsafe { $hook::<false>($($argument,)+ entry) }
        }
    };
}

/// Declares hooks whose result is a new block, or null. CPython's own functions have
/// a context in front (`PyMemAllocatorEx`).
macro_rules! allocation {
    ($($name:ident($($argument:ident),+) = $kind:ident of $size:expr, $after:ident;)+) => {$(
        const _: () = {
            #[inline(always)]
            unsafe fn hook<const SAMPLED: bool>($($argument: u64,)+ entry: &Entry) -> u64 {
                // SAFETY: the trampoline is that function.
                let original: extern "C" fn($(allocation!(@word $argument),)+) -> u64 =
                    unsafe { transmute(entry.original) };
                let Some(event) = Event::begin(entry) else { return original($($argument),+) };
                let addr = event.call(|| original($($argument),+));
                if addr != 0 && event.takes::<SAMPLED>(addr, $size) {
                    let ticks = event.$after();
                    event.allocated::<SAMPLED>(Kind::$kind, ticks, block(ticks, addr, $size));
                }
                addr
            }
            export!($name($($argument: u64),+) -> u64 = hook);
        };
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

#[inline(always)]
unsafe fn posix_memalign<const SAMPLED: bool>(
    out: *mut u64,
    alignment: u64,
    size: u64,
    entry: &Entry,
) -> i32 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(*mut u64, u64, u64) -> i32 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(out, alignment, size) };
    let error = event.call(|| original(out, alignment, size));
    if error == 0 {
        // SAFETY: it succeeded, so it wrote there.
        let addr = unsafe { out.read() };
        if event.takes::<SAMPLED>(addr, size) {
            let ticks = event.after();
            event.allocated::<SAMPLED>(Kind::PosixMemalign, ticks, block(ticks, addr, size));
        }
    }
    error
}

#[inline(always)]
unsafe fn realloc<const SAMPLED: bool>(old: u64, size: u64, entry: &Entry) -> u64 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64, u64) -> u64 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(old, size) };
    let old = Old::of::<SAMPLED>(&event, old, event.before());
    let addr = event.call(|| original(old.addr, size));
    reallocated::<SAMPLED>(&event, Kind::Realloc, &old, addr, size, size == 0 && event.zero_frees());
    addr
}

#[inline(always)]
unsafe fn reallocarray<const SAMPLED: bool>(old: u64, count: u64, size: u64, entry: &Entry) -> u64 {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64, u64, u64) -> u64 = unsafe { transmute(entry.original) };
    let Some(event) = Event::begin(entry) else { return original(old, count, size) };
    let old = Old::of::<SAMPLED>(&event, old, event.before());
    let addr = event.call(|| original(old.addr, count, size));
    // Null for a product that overflows leaves the old block alive.
    let is_zero = count.checked_mul(size) == Some(0);
    let size = count.wrapping_mul(size);
    reallocated::<SAMPLED>(&event, Kind::Reallocarray, &old, addr, size, is_zero && event.zero_frees());
    addr
}

export!(prof_posix_memalign(out: *mut u64, alignment: u64, size: u64) -> i32 = posix_memalign);
export!(prof_realloc(old: u64, size: u64) -> u64 = realloc);
export!(prof_reallocarray(old: u64, count: u64, size: u64) -> u64 = reallocarray);

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
    /// Its fields. One function for all, as [`block`].
    fn fields(&self) -> impl Fn(&mut Encoder) {
        move |encoder| {
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
}

/// The block that one of the `realloc` functions is given.
struct Old {
    /// Null if there is none.
    addr: u64,
    before: u64,
    /// Whether its end is to be recorded.
    is_told: bool,
}

impl Old {
    #[inline(always)]
    fn of<const SAMPLED: bool>(event: &Event, addr: u64, before: u64) -> Old {
        Old { addr, before, is_told: addr != 0 && event.tells_end::<SAMPLED>(addr) }
    }
}

/// Records what became of both blocks. Null, unless it `frees`, leaves the old one alive.
fn reallocated<const SAMPLED: bool>(event: &Event, kind: Kind, old: &Old, addr: u64, size: u64, frees: bool) {
    if addr != 0 && event.takes::<SAMPLED>(addr, size) {
        let (before, ticks) = (old.before, event.after());
        let old = if old.is_told { old.addr } else { 0 };
        let replacement = Replacement { before, old, ticks, addr, size, mapping: None };
        event.allocated::<SAMPLED>(kind, before, replacement.fields());
    } else if old.is_told && (addr != 0 || frees) {
        gave_back_rarely::<SAMPLED>(event, Kind::Free, old.before, old.addr);
    } else if old.is_told {
        event.goes_on::<SAMPLED>(old.addr);
    }
}

/// Declares hooks for CPython's `realloc` functions. They never free: to them 0 bytes
/// are 1.
macro_rules! reallocation {
    ($($name:ident = $kind:ident, $before:ident;)+) => {$(
        const _: () = {
            #[inline(always)]
            unsafe fn hook<const SAMPLED: bool>(context: u64, old: u64, size: u64, entry: &Entry) -> u64 {
                // SAFETY: that function.
                let original: extern "C" fn(u64, u64, u64) -> u64 = unsafe { transmute(entry.original) };
                let Some(event) = Event::begin(entry) else { return original(context, old, size) };
                let old = Old::of::<SAMPLED>(&event, old, event.$before());
                let addr = event.call(|| original(context, old.addr, size));
                reallocated::<SAMPLED>(&event, Kind::$kind, &old, addr, size, false);
                addr
            }
            export!($name(context: u64, old: u64, size: u64) -> u64 = hook);
        };
    )+};
}

reallocation! {
    prof_raw_realloc = RawRealloc, before;
    prof_mem_realloc = MemRealloc, before_in_turn;
    prof_object_realloc = ObjectRealloc, before_in_turn;
}

#[inline(always)]
fn gave_back<const SAMPLED: bool>(event: &Event, kind: Kind, ticks: u64, addr: u64) {
    event.freed::<SAMPLED>(kind, ticks, |encoder| {
        encoder.moment(ticks, addr);
    });
}

/// The same, once for all functions that few programs call often.
#[inline(never)]
fn gave_back_rarely<const SAMPLED: bool>(event: &Event, kind: Kind, ticks: u64, addr: u64) {
    gave_back::<SAMPLED>(event, kind, ticks, addr);
}

/// Declares hooks that give the block `addr` back.
macro_rules! release {
    ($($name:ident($($argument:ident),+) = $kind:ident of $addr:ident, $before:ident, $gave_back:ident;)+) => {$(
        const _: () = {
            #[inline(always)]
            unsafe fn hook<const SAMPLED: bool>($($argument: u64,)+ entry: &Entry) {
                // SAFETY: that function.
                let original: extern "C" fn($(release!(@word $argument)),+) = unsafe { transmute(entry.original) };
                if $addr != 0
                    && !Event::is_no_sample::<SAMPLED>(entry, $addr)
                    && let Some(event) = Event::begin(entry)
                {
                    if event.tells_end::<SAMPLED>($addr) {
                        $gave_back::<SAMPLED>(&event, Kind::$kind, event.$before(), $addr);
                    }
                    event.call(|| original($($argument),+));
                } else {
                    original($($argument),+);
                }
            }
            export!($name($($argument: u64),+) = hook);
        };
    )+};
    (@word $argument:ident) => { u64 };
}

/// glibc empties a thread's cache at its end by freeing each cached block a second
/// time through `free` (malloc/malloc.c, `tcache_thread_shutdown`). These calls are
/// told by where they return to, which this passes on as a third argument.
///
macro_rules! free {
    ($($name:ident = $sampled:literal;)+) => {$(
        /// # Safety
        /// Called by the island in place of `free`.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "mov rdx, [rsp]",
                "jmp {free}",
                ".cfi_endproc",
                free = sym free::<$sampled>,
            )
        }
    )+};
}

free! {
    prof_free = false;
    sampled_prof_free = true;
}

unsafe extern "C" fn free<const SAMPLED: bool>(addr: u64, entry: &Entry, caller: u64) {
    // SAFETY: the trampoline is that function.
    let original: extern "C" fn(u64) = unsafe { transmute(entry.original) };
    if addr != 0
        && !Event::is_internal(entry, caller)
        && !Event::is_no_sample::<SAMPLED>(entry, addr)
        && let Some(event) = Event::begin(entry)
    {
        if event.tells_end::<SAMPLED>(addr) {
            gave_back::<SAMPLED>(&event, Kind::Free, event.before(), addr);
        }
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
        event.unmapped(Kind::Munmap, before, |encoder| {
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
        let replacement = Replacement { before, old, ticks, addr, size, mapping };
        event.mapped(Kind::Mremap, before, replacement.fields());
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
        event.mapped(kind, ticks, block(ticks, addr, size));
    }
    addr
}
