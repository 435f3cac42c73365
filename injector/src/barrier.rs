//! A memory barrier on every processor, issued from outside.

use std::io;

/// `MEMBARRIER_CMD_GLOBAL` (membarrier(2), Linux 4.3): when it returns, every
/// thread of the machine has passed a full barrier. The target need not register
/// for it, and its threads are not disturbed.
pub fn global() -> io::Result<()> {
    const GLOBAL: libc::c_int = 1;
    #[expect(unsafe_code)]
    // SAFETY: the call takes integers only and changes no memory.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
