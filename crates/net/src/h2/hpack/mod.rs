//! HPACK, field compression for HTTP/2 (RFC 7541): a decoder that hands slices to a [`Sink`], an encoder that writes
//! straight into the output.
//!
//! Not here: what the fields mean, and whether a message made of them is well formed; that is `message`.

mod decode;
mod encode;
mod table;

pub(crate) use decode::{Decoded, Sink, is_sound_name, is_sound_value};
pub(super) use decode::{Decoder, Discard};
pub(super) use encode::Encoder;
pub use encode::Request;

/// The size of either dynamic table that we use at most, in bytes as RFC 7541 §4.1 counts them: the protocol's default.
pub(super) const TABLE_SIZE: usize = 4096;
