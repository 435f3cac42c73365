//! Restartable sequences: code that the kernel aborts when it is interrupted.
//!
//! A sigreturn into the middle of one would skip the abort, so such a moment is
//! not used; a thread that is let go unchanged is aborted by the kernel itself.
//! Layouts: `include/uapi/linux/rseq.h`.

/// Offset of `rseq_cs`, the address of the running sequence's descriptor, in
/// `struct rseq`.
pub const RSEQ_CS: u64 = 8;
/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES: usize = 32;

/// Whether `pc` lies in the sequence that `descriptor` describes.
pub fn covers(descriptor: &[u8; DESCRIPTOR_BYTES], pc: u64) -> bool {
    let word = |at: usize| {
        let bytes = descriptor[at..at + 8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    };
    let (start, len) = (word(8), word(16));
    pc.wrapping_sub(start) < len
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_pcs_of_the_sequence_are_covered() {
        let mut descriptor = [0; super::DESCRIPTOR_BYTES];
        descriptor[8..16].copy_from_slice(&0x1000_u64.to_le_bytes());
        descriptor[16..24].copy_from_slice(&0x20_u64.to_le_bytes());
        for (pc, expected) in [(0xfff, false), (0x1000, true), (0x101f, true), (0x1020, false)] {
            assert_eq!(super::covers(&descriptor, pc), expected, "{pc:#x}");
        }
    }
}
