//! libFuzzer's door to `documents::texts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::documents::texts(data));
