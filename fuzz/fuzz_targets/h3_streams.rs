//! libFuzzer's door to `h3::streams`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::h3::streams(data));
