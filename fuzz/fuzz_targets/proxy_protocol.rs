//! libFuzzer's door to `proxy_protocol::headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::proxy_protocol::headers(data));
