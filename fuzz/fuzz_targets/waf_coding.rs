//! libFuzzer's door to `waf::codings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::waf::codings(data));
