//! libFuzzer's door to `cache::cache_control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::cache::cache_control(data));
