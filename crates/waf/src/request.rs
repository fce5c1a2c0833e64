//! What rules look at: a request and a response, borrowed from whoever has them.

use std::net::IpAddr;

/// A request, as its client sent it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The client's address.
    pub client: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// Where the request came in.
    pub server: IpAddr,
    /// Where the request came in.
    pub server_port: u16,
    /// The request line, byte for byte and without its end; where a protocol has none, as HTTP/1.1 would have it.
    pub line: &'r [u8],
    /// The method.
    pub method: &'r [u8],
    /// The request target, byte for byte.
    pub target: &'r [u8],
    /// `HTTP/1.1`, `HTTP/2.0`, `HTTP/3.0`, or what stood in the request line.
    pub protocol: &'r [u8],
    /// All field lines in their order, names as they were sent.
    pub headers: &'r [(&'r [u8], &'r [u8])],
    /// A text that no other request has; sampling goes by it.
    pub unique_id: &'r [u8],
    /// Seconds since 1970.
    pub time: u64,
}

/// The body of a request, as far as it was held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Body<'r> {
    /// Its bytes.
    pub bytes: &'r [u8],
    /// Whether there was more than is held.
    pub cut: bool,
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'r> {
    /// The status.
    pub status: u16,
    /// `HTTP/1.1` and the like.
    pub protocol: &'r [u8],
    /// All field lines in their order.
    pub headers: &'r [(&'r [u8], &'r [u8])],
}

/// The value of the first field of this name.
pub(crate) fn header<'h>(headers: &[(&'h [u8], &'h [u8])], name: &[u8]) -> Option<&'h [u8]> {
    headers
        .iter()
        .find(|(is, _)| is.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}
