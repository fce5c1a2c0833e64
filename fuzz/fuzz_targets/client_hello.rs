//! libFuzzer's door to `hello::records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::hello::records(data));
