//! libFuzzer's door to `chunked::bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::chunked::bodies(data));
