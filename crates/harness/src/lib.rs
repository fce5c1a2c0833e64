//! Scenarios played against the real binary over real sockets. Never shipped.
//!
//! * [`edge`]: starts the binary, finds its ports, reads its records, stops it.
//! * [`origin`], [`listens`], [`vice`]: sites behind the edge, well-behaved and otherwise, that remember every byte.
//! * [`strict`]: the judge: what RFC 9112 allows on the wire, and nothing beside it.
//! * [`client`], [`client_h2`], [`frames`]: clients, among them two that break rules on purpose.
//! * [`scenario`], [`player`], [`exchange`], [`expect`], [`world`]: scripts as TOML, and what plays them.
//! * [`corpus`], [`framing`]: tables of bytes, each with its verdict. [`folder`]: whole folders of both.
//!
//! Not here: what the edge should do. That is in `scenarios/`, as data.
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "never shipped: a panic here fails a test and nothing else, and clients here connect where they like"
)]
#![allow(
    missing_docs,
    reason = "never shipped: fields that mirror a scenario's keys are explained by the scenarios"
)]

pub mod answer;
pub mod certificate;
pub mod client;
pub mod client_h2;
pub mod corpus;
pub mod edge;
pub mod exchange;
pub mod exchange_frames;
pub mod expect;
pub mod folder;
pub mod frames;
pub mod framing;
pub mod listens;
pub mod origin;
mod origin_h1;
mod origin_h2;
pub mod patience;
pub mod player;
pub mod scenario;
pub mod socket;
pub mod strict;
pub mod temp;
pub mod values;
pub mod vice;
pub mod world;
