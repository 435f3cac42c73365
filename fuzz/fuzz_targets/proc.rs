//! See `prof::fuzz::proc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prof::fuzz::proc(data));
