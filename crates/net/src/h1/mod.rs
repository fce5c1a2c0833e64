//! The HTTP/1.1 codec (RFC 9112): bytes in, heads, framing and verdicts out; heads, chunks and trailers back to bytes.
//!
//! A reader of requests and a reader of responses that disagree with any other about where a message ends let one client
//! write into another's exchange. So this codec has one rule: whatever is not unambiguous is refused, and the connection
//! is closed. Every refusal names the section of the RFC that it rests upon. Where it is stricter than the RFC demands,
//! the place says so.
//!
//! The order of use: [`HeadScanner::find`] tells how long the head is, [`parse_request`] or [`parse_response`] reads
//! exactly that many bytes and says by [`Framing`] how the body ends, [`ChunkedDecoder`] takes a chunked body apart. For a
//! head that came whole and well-formed, which nearly all do, [`begin_request`] and [`begin_response`] do both in one pass.
//! The `write_…` functions append to a buffer; what is sent on is always written anew, never the bytes that came.
//!
//! Not here: sockets, timeouts, buffers, and what a proxy makes of a head (forwarding fields, routing, error pages).

mod block;
mod chunked;
mod framing;
mod lines;
mod request;
mod response;
mod scan;
mod target;
mod write;

pub use chunked::{ChunkStep, ChunkedDecoder};
pub use framing::connection_named;
pub use request::{RequestInfo, Upgrade, begin_request, parse_request};
pub use response::{ResponseInfo, begin_response, parse_response};
pub use scan::{HeadScanner, too_long};
pub(crate) use target::is_authority;
pub use write::{
    CHUNK_END, LAST_CHUNK, reason_phrase, write_chunk_size, write_decimal, write_field,
    write_request_line, write_status_line, write_trailers,
};

/// No head has more field lines than this, whatever [`HeadLimits::fields`] says: the memory for them is kept for the next.
pub const MAX_FIELDS: usize = 128;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head, in bytes, the empty line included.
    pub head_bytes: usize,
    /// The request target, in bytes.
    pub target_bytes: usize,
    /// Field lines; [`MAX_FIELDS`] at most.
    pub fields: usize,
}

impl HeadLimits {
    /// Whether it takes less than another one of anything.
    pub fn is_narrower(&self, other: &Self) -> bool {
        self.head_bytes < other.head_bytes
            || self.target_bytes < other.target_bytes
            || self.fields < other.fields
    }

    /// Whether a head that was read is within it, as far as its parts tell.
    pub fn holds(&self, head: &seawall_model::RequestHead) -> bool {
        head.target().len() <= self.target_bytes && head.fields.len() <= self.fields
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            fields: 100,
        }
    }
}

/// How a message's body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and nothing said how long it would be.
    None,
    /// So many bytes; `Content-Length: 0` is told apart from no body at all.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// All bytes until the connection closes: responses only. An end that is told apart from a truncation by nothing.
    UntilClose,
}

/// Why a request is refused. The connection cannot be used any further: nobody knows where the next request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {reason} ({section})")]
pub struct Reject {
    /// The status to answer with.
    pub status: u16,
    /// What was wrong, as a word for logs: `duplicate_content_length`.
    pub reason: &'static str,
    /// Where that is written: `RFC 9112 §6.3`.
    pub section: &'static str,
}

impl Reject {
    const fn new(status: u16, reason: &'static str, section: &'static str) -> Self {
        Self {
            status,
            reason,
            section,
        }
    }

    const fn bad(reason: &'static str, section: &'static str) -> Self {
        Self::new(400, reason, section)
    }
}

/// Why an origin's response cannot be passed on. Its connection cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad response: {reason}")]
pub struct BadResponse {
    /// What was wrong, as a word for logs.
    pub reason: &'static str,
}

impl From<Reject> for BadResponse {
    fn from(reject: Reject) -> Self {
        Self {
            reason: reject.reason,
        }
    }
}

#[cfg(test)]
mod mutation;
