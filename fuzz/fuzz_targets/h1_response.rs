//! libFuzzer's door to `h1::responses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::h1::responses(data));
