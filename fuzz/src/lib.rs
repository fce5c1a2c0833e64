//! What is asked of everything that reads bytes from outside, whatever the bytes are: one function for each reader.
//!
//! A function returns when all is well and panics when a reader broke its word: a panic, bytes that mean two things, or another
//! meaning than an independent reader finds. libFuzzer makes up the bytes (`fuzz_targets`); `xtask/tests/corpora.rs` takes this
//! file in as a module and replays what lies in `corpus` through the same functions in every run of the tests.
//! Not here: readers. What is asked is written from the RFCs and other people's parsers, never from our code.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "a panic is how a finding is told"
)]

pub mod cache;
pub mod chunked;
pub mod documents;
pub mod h1;
pub mod h2;
pub mod h3;
pub mod hello;
pub mod hpack;
pub mod llhttp;
pub mod planted;
pub mod proxy_protocol;
pub mod quic;
pub mod rules;
pub mod waf;

/// Takes made-up bytes, and panics when a reader breaks its word on them.
pub type Asks = fn(&[u8]);

/// Every target: its name, which is also its folder in `corpus`, and what it asks.
pub const TARGETS: &[(&str, Asks)] = &[
    ("h1_request", h1::requests),
    ("h1_response", h1::responses),
    ("h1_chunked", chunked::bodies),
    ("h1_llhttp", llhttp::requests),
    ("h2_client", h2::from_origins),
    ("h2_server", h2::from_clients),
    ("h3_request", h3::requests),
    ("h3_streams", h3::streams),
    ("hpack", hpack::sections),
    ("client_hello", hello::records),
    ("quic", quic::datagrams),
    ("proxy_protocol", proxy_protocol::headers),
    ("structured", cache::structured),
    ("cache_control", cache::cache_control),
    ("document", documents::texts),
    ("rule", rules::conditions),
    ("seclang", waf::seclang),
    ("waf_body", waf::bodies),
    ("waf_coding", waf::codings),
    ("waf_openapi", waf::openapi),
];

/// Lengths of pieces to cut bytes into, made from the bytes themselves so that a finding can be repeated.
pub fn pieces(data: &[u8]) -> impl FnMut() -> usize {
    let mut state = data.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 28) as usize
    }
}
