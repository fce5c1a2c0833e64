//! HTTP/2 (RFC 9113) with HPACK (RFC 7541), both roles, without IO: bytes in, events out, bytes out.
//!
//! [`Connection`] is fed with [`Connection::receive`], says what happened with [`Connection::next_event`], and collects
//! all that is to be sent in one contiguous [`Connection::output`], so that the answers of one poll leave in one write.
//! It is our own because fingerprints need the order of SETTINGS and pseudo-fields, because an idle connection must
//! cost a few KiB only, and because of that single write.
//!
//! Every queue in here is bounded: received bodies by the windows that we grant, heads by `max_header_list`, the output
//! by a high-water mark, and what a peer can make us do for nothing by the budgets of [`Limits`]. A stream error resets
//! the stream; a connection error queues GOAWAY and is returned once.
//!
//! Not here: sockets, timers, TLS, server push (never sent, never accepted), priorities (parsed for fingerprints, not
//! acted upon), the `h2c` upgrade.

mod connection;
mod fingerprint;
mod flow;
mod frame;
mod guard;
mod history;
mod hpack;
pub(crate) mod huffman;
mod inbound;
mod inbound_data;
mod inbound_heads;
mod message;
mod outbound;
mod output;
mod settings;
mod stream;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use fingerprint::{Fingerprint, Priority};
pub use guard::Limits;
pub use hpack::Request as Pseudo;
pub(crate) use hpack::{Decoded, Sink, is_sound_name, is_sound_value};
pub use message::Malformed;
pub(crate) use message::{Collected, Collector, Section, Unfit};
pub use settings::{Config, Role};

/// Number of a stream: odd, as only clients open streams here.
pub type StreamId = u32;

/// An error code of RST_STREAM and GOAWAY (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

#[allow(missing_docs, reason = "each is its RFC's name")]
impl ErrorCode {
    pub const NO_ERROR: Self = Self(0x0);
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    pub const INTERNAL_ERROR: Self = Self(0x2);
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    pub const STREAM_CLOSED: Self = Self(0x5);
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub const REFUSED_STREAM: Self = Self(0x7);
    pub const CANCEL: Self = Self(0x8);
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    pub const CONNECT_ERROR: Self = Self(0xa);
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// The RFC's name.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x4 => "SETTINGS_TIMEOUT",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xa => "CONNECT_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            0xc => "INADEQUATE_SECURITY",
            0xd => "HTTP_1_1_REQUIRED",
            _ => "unknown",
        }
    }
}

/// The peer broke the protocol, or asked too much of us. GOAWAY is in the output: send it and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", code.name())]
pub struct ConnectionError {
    /// As the GOAWAY says it.
    pub code: ErrorCode,
    /// What was wrong, in plain words.
    pub why: &'static str,
}

impl ConnectionError {
    const fn new(code: ErrorCode, why: &'static str) -> Self {
        Self { code, why }
    }

    const fn protocol(why: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, why)
    }

    const fn calm(why: &'static str) -> Self {
        Self::new(ErrorCode::ENHANCE_YOUR_CALM, why)
    }
}

/// The stream was reset, released, or has sent its end: nothing more can be sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is closed for sending")]
pub struct StreamGone;

/// What happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Server: a request's head is there for [`Connection::take_request`]; `end`: it has no body.
    Request {
        /// The new stream, to be given to [`Connection::release`] in the end.
        id: StreamId,
        /// Nothing follows the head.
        end: bool,
    },
    /// Client: the final response's head is there for [`Connection::take_response`].
    Response {
        /// The stream.
        id: StreamId,
        /// Nothing follows the head.
        end: bool,
    },
    /// Client: a 1xx head is there for [`Connection::take_informational`].
    Informational {
        /// The stream.
        id: StreamId,
    },
    /// Body bytes are there for [`Connection::read_body`]. Not repeated before it was taken off the event queue.
    Data {
        /// The stream.
        id: StreamId,
    },
    /// The body has been received whole, without trailers. Bytes of it may wait to be read.
    EndOfBody {
        /// The stream.
        id: StreamId,
    },
    /// The body has been received whole, and trailers are there for [`Connection::take_trailers`].
    Trailers {
        /// The stream.
        id: StreamId,
    },
    /// The head was larger than `max_header_list` and is lost; the stream is open, so that 431 can be answered.
    HeadTooLarge {
        /// The stream.
        id: StreamId,
    },
    /// Server: a request was malformed (RFC 9113 §8.1.1) and its stream reset. There is no stream to release.
    Malformed {
        /// Its number, for the record.
        id: StreamId,
        /// What was wrong.
        why: Malformed,
    },
    /// The stream was reset, by the peer or by us for an error of the peer's.
    Reset {
        /// The stream, still to be released.
        id: StreamId,
        /// Why.
        code: ErrorCode,
    },
    /// A stream whose [`Connection::send_data`] took nothing may try again.
    Writable {
        /// The stream.
        id: StreamId,
    },
    /// The peer's SETTINGS have come, or changed.
    Settings,
    /// The peer has acknowledged our SETTINGS.
    SettingsAcked,
    /// A PING of ours came back.
    Pong {
        /// What we had sent.
        payload: [u8; 8],
    },
    /// The peer opens no more streams (server), or takes none above `last` (client).
    GoAway {
        /// The last stream that it has acted upon, or may act upon.
        last: StreamId,
        /// Why.
        code: ErrorCode,
    },
}
