//! libFuzzer's door to `quic::datagrams`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::quic::datagrams(data));
