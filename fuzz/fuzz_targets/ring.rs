//! See `prof::fuzz::ring`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prof::fuzz::ring(data));
