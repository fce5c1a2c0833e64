//! libFuzzer's door to `llhttp::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::llhttp::requests(data));
