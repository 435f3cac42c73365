//! Whether an address follows a call instruction, so that it can be a return address.

/// Longest form considered: `FF /2` with SIB byte and 32-bit displacement.
pub(super) const LONGEST: usize = 7;

/// Whether the bytes *end* in a near call: `E8 rel32` or a form of `FF /2`
/// (Intel SDM volume 2, CALL). Prefixes stand in front and do not matter.
pub(super) fn ends_in_call(before: &[u8]) -> bool {
    let byte =
        |from_end: usize| before.len().checked_sub(from_end).and_then(|index| before.get(index)).copied();
    byte(5) == Some(0xe8)
        || (2..=LONGEST).any(|len| {
            byte(len) == Some(0xff)
                && byte(len - 1).is_some_and(|modrm| indirect_len(modrm, byte(len - 2)) == len)
        })
}

/// Length of an `FF /2` with this ModRM byte and the byte behind it; 0 if the
/// ModRM byte is of another instruction.
fn indirect_len(modrm: u8, sib: Option<u8>) -> usize {
    if (modrm >> 3) & 7 != 2 {
        return 0;
    }
    let (mode, rm) = (modrm >> 6, modrm & 7);
    let has_sib = mode != 3 && rm == 4;
    let displacement = match mode {
        0 if rm == 5 || (has_sib && sib.is_some_and(|sib| sib & 7 == 5)) => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    2 + usize::from(has_sib) + displacement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known() {
        let calls: [&[u8]; 12] = [
            &[0xe8, 1, 2, 3, 4],                      // call rel32
            &[0xff, 0xd0],                            // call rax
            &[0x41, 0xff, 0xd7],                      // call r15
            &[0xff, 0x10],                            // call [rax]
            &[0xff, 0x50, 0x18],                      // call [rax+0x18]
            &[0xff, 0x54, 0x24, 0x08],                // call [rsp+8]
            &[0xff, 0x14, 0xc7],                      // call [rdi+rax*8]
            &[0xff, 0x90, 0, 1, 0, 0],                // call [rax+0x100]
            &[0xff, 0x94, 0x24, 0, 1, 0, 0],          // call [rsp+0x100]
            &[0xff, 0x15, 1, 2, 3, 4],                // call [rip+…]
            &[0xff, 0x14, 0x25, 1, 2, 3, 4],          // call [disp32]
            &[0x64, 0xff, 0x14, 0x25, 0x10, 0, 0, 0], // call fs:[0x10]
        ];
        for call in calls {
            assert!(ends_in_call(call), "{call:x?}");
            let padded: Vec<u8> = [0x90; 8].iter().chain(call).copied().collect();
            assert!(ends_in_call(&padded), "{call:x?}");
        }
    }

    #[test]
    fn other_instructions_are_not() {
        let others: [&[u8]; 8] = [
            &[],
            &[0xff],
            &[0xe8, 1, 2, 3],       // cut
            &[0xe9, 1, 2, 3, 4],    // jmp
            &[0xff, 0xe0],          // jmp rax
            &[0xff, 0xc0],          // inc eax
            &[0xff, 0x50],          // call [rax+…], cut
            &[0xff, 0x15, 1, 2, 3], // call [rip+…], cut
        ];
        for other in others {
            assert!(!ends_in_call(other), "{other:x?}");
        }
    }
}
