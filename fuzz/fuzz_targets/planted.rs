//! libFuzzer's door to `planted::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::planted::requests(data));
