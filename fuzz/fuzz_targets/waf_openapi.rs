//! libFuzzer's door to `waf::openapi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::waf::openapi(data));
