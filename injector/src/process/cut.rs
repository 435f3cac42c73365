//! Mapped files that somebody cuts short.
//!
//! A module's file is the target's: who may write to it may truncate it while it is
//! mapped here, and reading behind the new end raises SIGBUS (mmap(2)). A page of zeros
//! is put there instead. Zeros make no sense to any parser, which then says so.
#![expect(unsafe_code)]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::sync::OnceLock;

/// `si_code` of an access behind the end of a file (sigaction(2)).
const BUS_ADRERR: i32 = 2;
const PAGE: usize = prof_shared::region::PAGE as usize;

/// Makes reads behind the end of mapped files harmless in this process.
pub fn expect_cuts() -> io::Result<()> {
    static DONE: OnceLock<nix::Result<()>> = OnceLock::new();
    let handle = || {
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::SigAction(fill), flags, SigSet::empty());
        // SAFETY: the handler makes system calls only.
        unsafe { sigaction(Signal::SIGBUS, &action) }.map(drop)
    };
    Ok((*DONE.get_or_init(handle))?)
}

extern "C" fn fill(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives it, and for this signal it has an address.
    let (code, addr) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let page = (addr & !(PAGE - 1)) as *mut libc::c_void;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: replaces a page that lies behind the end of its file, where nothing is that
    // anybody could refer to; writing to it still ends the process.
    let is_filled =
        code == BUS_ADRERR && unsafe { libc::mmap(page, PAGE, libc::PROT_READ, flags, -1, 0) } == page;
    if !is_filled {
        // SAFETY: the default action; the instruction is tried again and ends the process.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
