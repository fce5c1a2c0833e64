//! libFuzzer's door to `waf::bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::waf::bodies(data));
