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

const LOWEST: u64 = 0x1_0000;
const HIGHEST: u64 = 0x7fff_ffff_0000;

/// Whether `addr` could be an object: user half, canonical, aligned, not near null.
#[inline(always)]
pub fn is_plausible(addr: u64) -> bool {
    // One comparison: bits that should be 0 are the highest.
    addr.rotate_right(3).wrapping_sub(LOWEST / 8) < (HIGHEST - LOWEST) / 8
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
