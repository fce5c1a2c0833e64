//! libFuzzer's door to `cache::structured`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::cache::structured(data));
