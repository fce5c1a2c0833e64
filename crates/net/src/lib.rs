//! Everything that touches a socket: accept, TLS, QUIC, HTTP/1.1, HTTP/2, HTTP/3, and [`outward`], the only way to connect out.
//!
//! Protocol cores ([`h1`], [`h2`]) are sans-IO: bytes in, bytes and events out. [`stream`] moves the bytes. Not here: which zone
//! a request belongs to, where it goes, and what is recorded of it.

pub mod alarm;
pub mod buffer;
pub mod client;
pub mod clock;
pub mod downstream;
pub mod h1;
pub mod h2;
pub mod h3;
pub mod incoming;
pub mod multiplex;
pub mod outgoing;
pub mod outward;
pub mod proxy_protocol;
pub mod quic;
mod socket;
pub mod stream;
pub mod tls;
pub mod upstream;
