//! libFuzzer's door to `rules::conditions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::rules::conditions(data));
