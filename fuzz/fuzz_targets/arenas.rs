//! See `prof::fuzz::arenas`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prof::fuzz::arenas(data));
