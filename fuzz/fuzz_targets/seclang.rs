//! libFuzzer's door to `waf::seclang`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::waf::seclang(data));
