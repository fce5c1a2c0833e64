//! What is known of a connection, the same for all of its requests.

use std::net::SocketAddr;

/// The version of HTTP spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0: no persistence unless asked for, no chunked coding.
    Http10,
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http11,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// HTTP/3 (RFC 9114).
    Http3,
}

impl HttpVersion {
    /// As Cloudflare's `http.request.version` and our Records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
        }
    }

    /// As `Via` writes it (RFC 9110 §7.6.3).
    pub const fn via(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        }
    }
}

/// What the TLS handshake told.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The server name that the client asked for, in lower case; empty without SNI.
    pub server_name: Box<str>,
    /// Whether the session was resumed from a ticket.
    pub resumed: bool,
    /// The client presented a certificate that the zone's authorities signed.
    pub client_verified: bool,
    /// The raw ClientHello handshake message (without record headers), cut at 16 KiB. Later fingerprints read it.
    pub client_hello: Box<[u8]>,
}

/// What is known of a connection.
#[derive(Clone, Debug)]
pub struct ConnFacts {
    /// The peer of the socket.
    pub peer: SocketAddr,
    /// The address of ours that it connected to.
    pub local: SocketAddr,
    /// Present on a TLS connection.
    pub tls: Option<TlsFacts>,
}
