//! libFuzzer's door to `hpack::sections`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::hpack::sections(data));
