//! libFuzzer's door to `h2::from_clients`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::h2::from_clients(data));
