//! `Cache-Status` (RFC 9211) and `Age` (RFC 9111 §5.1).

use std::io::Write as _;

use super::{Life, Time};
use crate::directives::MOST_SECONDS;
use crate::structured::write_item;

/// Why a request went on to the origin (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The cache is not to handle it.
    Bypass,
    /// By its method.
    Method,
    /// Nothing is stored for its URL.
    UriMiss,
    /// What is stored for its URL is for other requests.
    VaryMiss,
    /// The client asked for it.
    Request,
    /// What is stored is stale.
    Stale,
    /// Of what is stored a part is missing.
    Partial,
}

impl Forwarded {
    /// The token.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// How a cache handled a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status<'a> {
    /// Why it went on to the origin; none for a hit.
    pub forwarded: Option<Forwarded>,
    /// What the origin answered, where that is not the answer's own status.
    pub origin_status: Option<u16>,
    /// Seconds until the answer is stale, negative since when it has been.
    pub ttl: Option<i64>,
    /// Storing the answer has begun. Whether it came to its end is not known yet when the head goes out.
    pub stored: bool,
    /// It came from another request that was on its way already.
    pub collapsed: bool,
    /// What else is to be known, in a few of our own words.
    pub detail: Option<&'a str>,
}

impl Status<'_> {
    /// Writes the member of the list that stands for us.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"seawall");
        match self.forwarded {
            None => out.extend_from_slice(b"; hit"),
            Some(why) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(why.token().as_bytes());
            }
        }
        // Writing into memory does not fail.
        if let Some(status) = self.origin_status {
            let _ = write!(out, "; fwd-status={status}");
        }
        if let Some(ttl) = self.ttl {
            let most = i64::from(MOST_SECONDS);
            let _ = write!(out, "; ttl={}", ttl.clamp(-most, most));
        }
        if self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            write_item(detail.as_bytes(), out);
        }
    }
}

/// What `Age` says of a stored response: seconds, 2^31 at most.
pub fn age(life: &Life, now: Time) -> u64 {
    (life.age(now) / 1_000).min(u64::from(MOST_SECONDS))
}
