//! See `prof::fuzz::elf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prof::fuzz::elf(data));
