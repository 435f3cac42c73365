//! Which variables a function looks at first. For finding what is not exported by way
//! of a function that is.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, MemorySize, OpKind, Register};

/// The addresses of the words that the first `count` instructions of the function at
/// `addr` refer to, in order. Conditional jumps are taken to fall through.
pub fn references(code: &[u8], addr: u64, count: usize) -> Vec<u64> {
    let mut found = Vec::new();
    for instruction in Decoder::with_ip(64, code, addr, DecoderOptions::NONE).iter().take(count) {
        found.extend(word(&instruction));
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            _ => break,
        }
    }
    found
}

/// The address of the word in memory that an instruction names without registers.
fn word(instruction: &Instruction) -> Option<u64> {
    let has_memory = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
    let is_word = matches!(instruction.memory_size(), MemorySize::UInt64 | MemorySize::QwordOffset);
    let is_fixed = matches!(instruction.memory_base(), Register::RIP | Register::None)
        && instruction.memory_index() == Register::None;
    (has_memory && is_word && is_fixed).then(|| instruction.memory_displacement64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_named_by_address_are_found() {
        // mov rsi,rdi; test rdi,rdi; js +0x10; mov rdi,[rip+0x100]; jmp [rip+0x102]; (behind:) jmp [rip]
        let pic = [
            0x48, 0x89, 0xfe, 0x48, 0x85, 0xff, 0x78, 0x10, 0x48, 0x8b, 0x3d, 0, 1, 0, 0, 0xff, 0x25, 2, 1,
            0, 0, 0xff, 0x25, 0, 0, 0, 0,
        ];
        assert_eq!(references(&pic, 0x1000, 16), [0x110f, 0x1117]);
        assert_eq!(references(&pic, 0x1000, 4), [0x110f]);
        // mov rax,[0x500010]; mov rdi,[rax+8]; mov eax,[rip]; call [rip]
        let fixed = [
            0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0x50, 0, 0x48, 0x8b, 0x78, 8, 0x8b, 0x05, 0, 0, 0, 0, 0xff,
            0x15, 0, 0, 0, 0,
        ];
        assert_eq!(references(&fixed, 0, 16), [0x50_0010, 24]);
    }

    #[test]
    fn bytes_that_end_are_no_words() {
        assert_eq!(references(&[0xff, 0x25, 0, 0], 0, 16), []);
        assert_eq!(references(&[], 0, 16), []);
    }
}
