//! Why an origin's connection failed.

use std::io;

use crate::h2::{ErrorCode, StreamGone};
use crate::incoming::BodyFault;

/// Why an origin's connection failed.
#[derive(Debug, thiserror::Error)]
pub enum OriginFault {
    /// It closed before a response began.
    #[error("closed before it answered")]
    ClosedEarly,
    /// It closed, or reset, in the middle of the response.
    #[error("closed in the middle of its answer")]
    Closed,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Socket(io::Error),
    /// What it sent is no HTTP, or ambiguous.
    #[error("not an HTTP response that can be trusted: {0}")]
    Malformed(&'static str),
    /// It did not answer in time.
    #[error("no answer in time")]
    Slow,
    /// It did not take the request in time.
    #[error("the request was not taken in time")]
    Stuck,
    /// The stream was reset (HTTP/2 error code).
    #[error("the stream was reset with code {0}")]
    Reset(u32),
}

impl OriginFault {
    /// The origin certainly did nothing with the request (RFC 9113 §8.7).
    pub fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Reset(code) if *code == ErrorCode::REFUSED_STREAM.0)
    }
}

impl From<StreamGone> for OriginFault {
    fn from(_: StreamGone) -> Self {
        Self::Closed
    }
}

impl From<BodyFault> for OriginFault {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Closed => Self::Closed,
            BodyFault::Socket(error) => Self::Socket(error),
            BodyFault::Framing(reason) => Self::Malformed(reason),
            BodyFault::Slow => Self::Slow,
            BodyFault::Reset(code) => Self::Reset(code),
        }
    }
}
