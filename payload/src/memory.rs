//! Loads from the interpreter's memory, checked as far as one can from inside.

/// Reads a value that other code of this thread may have just written.
///
/// # Safety
/// `addr` is mapped. Alignment is not needed.
#[inline(always)]
pub unsafe fn load<T: Copy>(addr: u64) -> T {
    // SAFETY: the caller's promise; the volatile read is not hoisted or merged.
    unsafe { (addr as *const T).read_volatile() }
}

/// Whether `addr` could be an object: user half, canonical, aligned, not near null.
#[inline(always)]
pub fn is_plausible(addr: u64) -> bool {
    addr & 7 == 0 && addr.wrapping_sub(0x1_0000) < 0x7fff_ffff_0000 - 0x1_0000
}

/// Copies bytes, by an instruction: the compiler would call `memcpy`, which does
/// not exist here.
///
/// # Safety
/// `from` is readable and `to` is writable for its length.
pub unsafe fn copy(from: u64, to: &mut [u8]) {
    // SAFETY: the caller's promise; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!("rep movsb", inout("rcx") to.len() => _, inout("rsi") from => _,
                         inout("rdi") to.as_mut_ptr() => _, options(nostack, preserves_flags));
    }
}
