//! libFuzzer's door to `h3::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::h3::requests(data));
