//! See `prof::fuzz::capture`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prof::fuzz::capture(data));
