//! The xsave area of a signal frame.
//!
//! ```text
//!  0    legacy FXSAVE; at 464: magic 1, sizes, features (fpx_sw_bytes)
//!  512  header: XSTATE_BV, XCOMP_BV
//!  576  components at the offsets that CPUID 0xD tells
//!  size magic 2
//! ```
//!
//! ptrace gives the area as long as the machine's largest. The kernel takes one
//! back only up to what the *thread* may use, which is less where AMX exists and
//! was not asked for; a longer one would lose all vector registers. So the area is
//! cut behind the last component in use. Source:
//! `arch/x86/kernel/fpu/{signal,xstate}.c`, Linux 6.18.

use std::arch::x86_64::__cpuid_count;

const SOFTWARE: usize = 464;
const XSTATE_BV: usize = 512;
const COMPONENTS: usize = 576;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const PKRU: u64 = 1 << 9;
const TILES: u64 = 1 << 17 | 1 << 18;
/// Without xsave there is the legacy part alone.
const LEGACY: u32 = 512;

/// The xsave area for a frame, from what ptrace gave; `None` if that is none.
pub fn for_frame(from_ptrace: &[u8]) -> Option<Vec<u8>> {
    let features = word(from_ptrace, SOFTWARE)?;
    // The kernel keeps PKRU elsewhere and fills it in, but need not mark it in use;
    // unmarked it would be restored to "all allowed".
    let in_use = word(from_ptrace, XSTATE_BV)? | features & PKRU;
    let size = size_of(in_use);
    let mut area = from_ptrace.get(..size)?.to_vec();
    area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&in_use.to_le_bytes());
    area[SOFTWARE..XSTATE_BV].fill(0);
    let software = [MAGIC1, size as u32 + 4, features as u32, (features >> 32) as u32, size as u32];
    for (slot, value) in area[SOFTWARE..].chunks_exact_mut(4).zip(software) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
    area.extend(MAGIC2.to_le_bytes());
    Some(area)
}

/// The least that the kernel puts between a thread that a signal interrupts and the handler,
/// on the same stack (`get_sigframe`, arch/x86/kernel/signal.c): the red zone, the xsave area
/// as every thread has it, ucontext and siginfo. Alignment and the handler's own frame come on
/// top.
pub fn smallest_signal_frame() -> u32 {
    const FRAME: u32 = 8 + 304 + 128;
    let leaf = __cpuid_count(0xd, 0);
    let enabled = leaf.ebx;
    // A thread has the tiles of AMX only if it asked for them.
    let usual = size_of(u64::from(leaf.eax) & !TILES) as u32;
    super::RED_ZONE as u32 + enabled.min(usual).max(LEGACY) + FRAME
}

fn word(area: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(area.get(at..at + 8)?.try_into().ok()?))
}

/// Bytes up to the end of the last component in `features`. The first two lie in
/// the legacy part.
fn size_of(features: u64) -> usize {
    let extended = (2..63).filter(|component| features & 1 << component != 0);
    extended.map(component_end).max().unwrap_or(0).max(COMPONENTS)
}

fn component_end(component: u32) -> usize {
    let leaf = __cpuid_count(0xd, component);
    (leaf.eax + leaf.ebx) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_ends_behind_the_last_component_in_use() {
        let mut machine = vec![0; 16 << 10];
        let (x87_sse_avx, all) = (0b111_u64, 0b10_0000_0111_u64 & !PKRU);
        machine[SOFTWARE..SOFTWARE + 8].copy_from_slice(&all.to_le_bytes());
        machine[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&x87_sse_avx.to_le_bytes());
        let area = for_frame(&machine).unwrap();
        // AVX: 256 bytes behind the header, on every processor that has it.
        assert_eq!(area.len(), COMPONENTS + 256 + 4);
        assert_eq!(area[SOFTWARE..SOFTWARE + 4], MAGIC1.to_le_bytes());
        assert_eq!(area[SOFTWARE + 16..SOFTWARE + 20], 832_u32.to_le_bytes());
        assert_eq!(area[832..], MAGIC2.to_le_bytes());
    }

    #[test]
    fn protection_keys_count_as_in_use() {
        let mut machine = vec![0; 16 << 10];
        machine[SOFTWARE..SOFTWARE + 8].copy_from_slice(&(PKRU | 0b11).to_le_bytes());
        let area = for_frame(&machine).unwrap();
        assert_eq!(word(&area, XSTATE_BV), Some(PKRU));
        // The mask of what is to be restored lies behind magic and size.
        assert_eq!(word(&area, SOFTWARE + 8), Some(PKRU | 0b11));
    }

    /// `AT_MINSIGSTKSZ` (getauxval(3)) is the most that a frame takes, red zone apart.
    #[test]
    fn a_signal_frame_has_at_least_so_many_bytes() {
        const MOST: u64 = 51;
        let vector = std::fs::read("/proc/self/auxv").unwrap();
        let words: Vec<u64> = vector.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let most = words.chunks_exact(2).find(|pair| pair[0] == MOST).map(|pair| pair[1]);
        let least = u64::from(smallest_signal_frame());
        assert!(
            least > 1000 && most.is_none_or(|most| least <= most + super::super::RED_ZONE),
            "{least}, {most:?}"
        );
    }

    #[test]
    fn an_area_that_is_too_short_is_none() {
        assert_eq!(for_frame(&[0; 500]), None);
        assert_eq!(for_frame(&[0; 540]), None);
    }
}
