//! The system calls that a recorded process is made to make.
//!
//! An argument that is not known beforehand is [`ANY`]. glibc's calls are those of 2.26
//! to 2.41, seen by `strace` of a `dlopen` and a `dlclose` of the payload.

use libc::{
    MADV_NOHUGEPAGE, MADV_WIPEONFORK, MAP_ANONYMOUS, MAP_DENYWRITE, MAP_FIXED, MAP_FIXED_NOREPLACE,
    MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, MFD_ALLOW_SEALING, MFD_CLOEXEC, O_CLOEXEC, O_RDONLY, PROT_EXEC,
    PROT_NONE, PROT_READ, PROT_WRITE,
};

/// An argument that may be anything.
const ANY: Option<u64> = None;
const NO_FILE: Option<u64> = Some(u64::MAX);
/// As libc passes it, in a register of 32 bits.
const HERE: Option<u64> = Some(libc::AT_FDCWD as u32 as u64);
/// `MFD_NOEXEC_SEAL`, Linux 6.3.
const NOEXEC_SEAL: u32 = 8;

/// A system call, as far as it is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, with what is telling of its arguments.
    pub name: &'static str,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub args: [Option<u64>; 6],
    /// Whether nothing goes without it. Any other may fail.
    pub is_needed: bool,
}

const fn flags(bits: i32) -> Option<u64> {
    Some(bits as u32 as u64)
}

const fn needed(name: &'static str, number: i64, args: [Option<u64>; 6]) -> Call {
    Call { name, number, args, is_needed: true }
}

const fn optional(name: &'static str, number: i64, args: [Option<u64>; 6]) -> Call {
    Call { name, number, args, is_needed: false }
}

const fn map(name: &'static str, protection: i32, how: i32, file: Option<u64>) -> Call {
    needed(name, libc::SYS_mmap, [ANY, ANY, flags(protection), flags(how), file, ANY])
}

const fn protect(name: &'static str, protection: i32) -> Call {
    needed(name, libc::SYS_mprotect, [ANY, ANY, flags(protection), ANY, ANY, ANY])
}

const fn advise(name: &'static str, advice: i32) -> Call {
    needed(name, libc::SYS_madvise, [ANY, ANY, flags(advice), ANY, ANY, ANY])
}

const fn make_file(name: &'static str, how: u32) -> Call {
    needed(name, libc::SYS_memfd_create, [ANY, flags(how as i32), ANY, ANY, ANY, ANY])
}

const fn plain(name: &'static str, number: i64) -> Call {
    needed(name, number, [ANY; 6])
}

const ACCESSIBLE: i32 = PROT_READ | PROT_WRITE;
const CODE: i32 = PROT_READ | PROT_EXEC;
const PLACED: i32 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
const OF_FILE: i32 = MAP_PRIVATE | MAP_DENYWRITE;
const MEMFD: u32 = MFD_CLOEXEC | MFD_ALLOW_SEALING;

/// All of them, in the order in which they come.
pub const CALLS: [Call; 33] = [
    plain("rt_sigreturn", libc::SYS_rt_sigreturn),
    // The kernel's own, for a thread that was stopped in a wait with a time limit.
    plain("restart_syscall", libc::SYS_restart_syscall),
    // The region.
    map("mmap", ACCESSIBLE, PLACED | MAP_NORESERVE, NO_FILE),
    map("mmap(PROT_NONE)", PROT_NONE, PLACED | MAP_NORESERVE, NO_FILE),
    optional("munlock", libc::SYS_munlock, [ANY; 6]),
    protect("mprotect", ACCESSIBLE),
    advise("madvise(MADV_WIPEONFORK)", MADV_WIPEONFORK),
    advise("madvise(MADV_NOHUGEPAGE)", MADV_NOHUGEPAGE),
    protect("mprotect(PROT_EXEC)", CODE),
    // The files.
    make_file("memfd_create", MEMFD | NOEXEC_SEAL),
    make_file("memfd_create", MEMFD),
    // dlopen, and what malloc may do for it.
    needed("openat", libc::SYS_openat, [HERE, ANY, flags(O_RDONLY | O_CLOEXEC), ANY, ANY, ANY]),
    plain("read", libc::SYS_read),
    optional("pread64", libc::SYS_pread64, [ANY; 6]),
    optional("fstat", libc::SYS_fstat, [ANY; 6]),
    optional("newfstatat", libc::SYS_newfstatat, [ANY, ANY, ANY, flags(libc::AT_EMPTY_PATH), ANY, ANY]),
    map("mmap", PROT_READ, OF_FILE, ANY),
    map("mmap(PROT_EXEC)", CODE, OF_FILE | MAP_FIXED, ANY),
    map("mmap", ACCESSIBLE, OF_FILE | MAP_FIXED, ANY),
    protect("mprotect", PROT_READ),
    optional("brk", libc::SYS_brk, [ANY; 6]),
    optional(
        "mmap",
        libc::SYS_mmap,
        [ANY, ANY, flags(ACCESSIBLE), flags(MAP_PRIVATE | MAP_ANONYMOUS), NO_FILE, ANY],
    ),
    optional("futex", libc::SYS_futex, [ANY; 6]),
    optional("getrandom", libc::SYS_getrandom, [ANY; 6]),
    optional("sched_getaffinity", libc::SYS_sched_getaffinity, [ANY; 6]),
    plain("close", libc::SYS_close),
    // The ring and the islands.
    map("mmap(MAP_SHARED)", ACCESSIBLE, MAP_SHARED, ANY),
    map("mmap(MAP_SHARED)", PROT_READ, MAP_SHARED, ANY),
    map("mmap(PROT_EXEC)", CODE, PLACED, NO_FILE),
    // The payload, in whatever thread runs it.
    optional("tgkill", libc::SYS_tgkill, [ANY, ANY, Some(0), ANY, ANY, ANY]),
    optional("sigaltstack", libc::SYS_sigaltstack, [Some(0), ANY, ANY, ANY, ANY, ANY]),
    // The way out.
    optional("madvise", libc::SYS_madvise, [ANY, ANY, flags(libc::MADV_DONTNEED), ANY, ANY, ANY]),
    plain("munmap", libc::SYS_munmap),
];
