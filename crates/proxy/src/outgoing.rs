//! The two doors out: a request head for an origin is made of an [`Admitted`] alone, a response head for a client of a
//! [`Cleared`] alone.
//!
//! Nothing else in this room writes down a [`RequestOut`] or a [`ResponseOut`]; a test over the sources holds that.

use seawall_guard::{Admitted, Cleared};
use seawall_model::Fields;
use seawall_net::outgoing::{BodyOut, Line, Prepared, RequestOut, ResponseOut};

/// What we say to an origin beside what was admitted.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    /// The method, where it is another one on this way: an extended CONNECT is a GET on HTTP/1.1.
    pub method: Option<&'a [u8]>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The `Host` it gets, where that is not the client's.
    pub authority: Option<&'a [u8]>,
    /// Ids of the client's fields that stay behind.
    pub skip: u64,
    /// Fields of ours, the same for many requests.
    pub common: &'a Prepared,
    /// Fields of ours, for this one.
    pub extra: &'a Fields,
    /// One more of ours.
    pub last: Line<'a>,
    /// What follows the head.
    pub body: BodyOut,
}

/// The head of a request for an origin.
#[inline]
pub fn request<'a>(admitted: &'a Admitted<'_>, said: Said<'a>) -> RequestOut<'a> {
    let head = admitted.head();
    RequestOut {
        method: said.method.unwrap_or(head.method_bytes()),
        scheme: said.scheme,
        authority: said.authority.unwrap_or(head.authority()),
        target: head.target(),
        client: &head.fields,
        skip: said.skip,
        common: said.common,
        extra: said.extra,
        last: said.last,
        body: said.body,
    }
}

/// The head of a response for a client. `skip` are ids of the origin's fields that stay behind; `extra` and `last` are ours.
#[inline]
pub fn response<'a>(
    cleared: Cleared<'a>,
    skip: u64,
    extra: &'a Fields,
    last: Line<'a>,
    body: BodyOut,
) -> ResponseOut<'a> {
    ResponseOut {
        status: cleared.status(),
        origin: cleared.fields(),
        skip,
        extra,
        last,
        body,
    }
}
