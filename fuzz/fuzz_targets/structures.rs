//! See `prof::fuzz::structures`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prof::fuzz::structures(data));
