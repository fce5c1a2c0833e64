//! libFuzzer's door to `h1::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::h1::requests(data));
