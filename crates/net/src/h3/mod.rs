//! HTTP/3 (RFC 9114) with QPACK (RFC 9204), the server's side, over a [`quic::Connection`](crate::quic::Connection).
//!
//! [`Session`] is a connection: settings, the streams beside requests, GOAWAY. [`Stream`] is one request: its frames are read
//! in the task that serves it, so that a slow one costs nobody else anything, and straight into the flat head that HTTP/2
//! fills too, by the same rules. It is our own because of that head, because of what is counted here (cancelled requests), and
//! because nothing in it needs to be shared between threads.
//!
//! QPACK's dynamic table is not used in either direction: we announce none, so no request waits for another one's table, and
//! a client cannot make us keep one. Not here: server push (never sent), priorities (their frames are skipped), datagrams.

#[doc(hidden)]
pub mod alone;
mod others;
mod qpack;
mod reader;
mod session;
mod stream;
mod wire;

pub(crate) use qpack::put_headers;
pub(crate) use wire::put_data;

pub use session::{Ended, Patience, Session};
pub use stream::{HeadFault, Stream};

/// How a connection behaves.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Largest field section that is accepted, in bytes as RFC 9114 §4.2.2 counts them.
    pub max_field_section: usize,
    /// Requests that the client may cancel before their response is complete, beyond those completed.
    pub cancelled: u32,
}

/// Error codes (RFC 9114 §8.1, RFC 9204 §6).
#[allow(missing_docs, reason = "each is its RFC's name")]
pub mod code {
    pub const NO_ERROR: u64 = 0x100;
    pub const GENERAL_PROTOCOL_ERROR: u64 = 0x101;
    pub const INTERNAL_ERROR: u64 = 0x102;
    pub const STREAM_CREATION_ERROR: u64 = 0x103;
    pub const CLOSED_CRITICAL_STREAM: u64 = 0x104;
    pub const FRAME_UNEXPECTED: u64 = 0x105;
    pub const FRAME_ERROR: u64 = 0x106;
    pub const EXCESSIVE_LOAD: u64 = 0x107;
    pub const ID_ERROR: u64 = 0x108;
    pub const SETTINGS_ERROR: u64 = 0x109;
    pub const MISSING_SETTINGS: u64 = 0x10a;
    pub const REQUEST_REJECTED: u64 = 0x10b;
    pub const REQUEST_CANCELLED: u64 = 0x10c;
    pub const REQUEST_INCOMPLETE: u64 = 0x10d;
    pub const MESSAGE_ERROR: u64 = 0x10e;
    pub const DECOMPRESSION_FAILED: u64 = 0x200;
    pub const ENCODER_STREAM_ERROR: u64 = 0x201;
    pub const DECODER_STREAM_ERROR: u64 = 0x202;
}

/// The client broke the protocol, or asked too much: the connection closes with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} (code {code:#x})")]
pub struct ConnectionError {
    /// One of [`code`].
    pub code: u64,
    /// What was wrong, in plain words.
    pub why: &'static str,
}

impl ConnectionError {
    const fn new(code: u64, why: &'static str) -> Self {
        Self { code, why }
    }
}
