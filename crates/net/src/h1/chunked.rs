//! The chunked transfer coding (RFC 9112 §7.1), read byte by byte for the framing and by slices for the data.
//!
//! Stricter than the RFC: no white space around a chunk size or in extensions outside of quotes, no more than 16 digits
//! in a size, and every line ends in CRLF. Extensions are checked, counted and dropped.

use seawall_model::{FieldId, Fields};

use super::Reject;
use super::lines::{diagnose_lines, is_control, is_token_byte, read_lines};

const SECTION: &str = "RFC 9112 §7.1";
const EXTENSIONS: &str = "RFC 9112 §7.1.1";
const TRAILERS: &str = "RFC 9112 §7.1.2";

/// As many hexadecimal digits as a `u64` has, so that no size overflows.
const SIZE_DIGITS: u8 = 16;
/// Chunk extensions of one message, in bytes, all chunks together.
const EXTENSION_BYTES: usize = 4 * 1024;
/// The trailer section, in bytes.
const TRAILER_BYTES: usize = 8 * 1024;
/// Lines in the trailer section.
const TRAILER_FIELDS: usize = 64;

/// What the next bytes of a chunked body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkStep {
    /// Skip `skip` bytes of framing; the `len` bytes after them (at least one) are body. Both lie in the input.
    Data {
        /// Bytes of framing.
        skip: usize,
        /// Bytes of body.
        len: usize,
    },
    /// The whole input, `consumed` bytes, was framing. The next step begins with what comes after.
    NeedMore {
        /// Bytes of framing: all of the input.
        consumed: usize,
    },
    /// The body ended with the last of these bytes; what follows belongs to the next message.
    End {
        /// Bytes of framing.
        consumed: usize,
    },
}

/// Takes a chunked body apart. It owns no part of the body; it allocates only for trailers.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// While a size is read: that size. While data is read: what is left of the chunk.
    left: u64,
    digits: u8,
    extension_bytes: usize,
    trailer_bytes: Vec<u8>,
    trailer_fields: usize,
    trailers: Fields,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    ExtensionName,
    /// At least one byte of a name has come.
    ExtensionNameMore,
    ExtensionValue,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscape,
    ExtensionQuoteEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Ended,
    Failed(Reject),
}

impl ChunkedDecoder {
    /// For one body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at `input`, which begins where the last step ended. After the end it consumes nothing; after an error it
    /// gives the same error again.
    pub fn step(&mut self, input: &[u8]) -> Result<ChunkStep, Reject> {
        match self.state {
            State::Data => return Ok(self.data(0, input.len())),
            State::Ended => return Ok(ChunkStep::End { consumed: 0 }),
            State::Failed(reject) => return Err(reject),
            _ => {}
        }
        for (at, byte) in input.iter().enumerate() {
            match self.framing(*byte) {
                Ok(State::Data) => {
                    self.state = State::Data;
                    return Ok(self.data(at + 1, input.len() - at - 1));
                }
                Ok(State::Ended) => {
                    self.state = State::Ended;
                    return Ok(ChunkStep::End { consumed: at + 1 });
                }
                Ok(state) => self.state = state,
                Err(reject) => {
                    self.state = State::Failed(reject);
                    return Err(reject);
                }
            }
        }
        Ok(ChunkStep::NeedMore {
            consumed: input.len(),
        })
    }

    /// The trailers, complete once the body has ended.
    ///
    /// A field that the edge acts upon (framing, routing, credentials: all that [`FieldId`] knows) means nothing in a
    /// trailer (RFC 9110 §6.5.1) and is not among them.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Whether the body has ended.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    fn data(&mut self, skip: usize, available: usize) -> ChunkStep {
        let len = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(available);
        if len == 0 {
            return ChunkStep::NeedMore { consumed: skip };
        }
        self.left -= len as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        ChunkStep::Data { skip, len }
    }

    fn framing(&mut self, byte: u8) -> Result<State, Reject> {
        match self.state {
            State::Size => self.size(byte),
            State::SizeLf => match byte {
                b'\n' if self.left == 0 => Ok(State::TrailerStart),
                b'\n' => Ok(State::Data),
                _ => Err(bare_cr()),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                self.digits = 0;
                Ok(State::Size)
            }
            State::DataCr | State::DataLf => {
                Err(Reject::bad("chunk_longer_than_its_size", SECTION))
            }
            State::TrailerStart | State::Trailer | State::TrailerLf | State::EndLf => {
                self.trailer(byte)
            }
            State::Data | State::Ended | State::Failed(_) => Ok(self.state),
            _ => self.extension(byte),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, Reject> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\n' => return Err(bare_lf()),
            b'\r' | b';' if self.digits == 0 => {
                return Err(Reject::bad("empty_chunk_size", SECTION));
            }
            b'\r' => return Ok(State::SizeLf),
            b';' => return Ok(State::ExtensionName),
            _ => return Err(Reject::bad("bad_chunk_size", SECTION)),
        };
        if self.digits == SIZE_DIGITS {
            return Err(Reject::bad("chunk_size_too_long", SECTION));
        }
        let before = if self.digits == 0 { 0 } else { self.left };
        self.left = before << 4 | u64::from(digit);
        self.digits += 1;
        Ok(State::Size)
    }

    /// `chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] )`
    fn extension(&mut self, byte: u8) -> Result<State, Reject> {
        use State::{
            ExtensionEscape, ExtensionName, ExtensionNameMore, ExtensionQuoteEnd, ExtensionQuoted,
            ExtensionToken, ExtensionValue, SizeLf,
        };
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES {
            return Err(Reject::bad("chunk_extensions_too_long", EXTENSIONS));
        }
        match (self.state, byte) {
            (ExtensionName | ExtensionNameMore, _) if is_token_byte(byte) => Ok(ExtensionNameMore),
            (ExtensionNameMore, b'=') => Ok(ExtensionValue),
            (ExtensionValue, b'"') => Ok(ExtensionQuoted),
            (ExtensionValue | ExtensionToken, _) if is_token_byte(byte) => Ok(ExtensionToken),
            (ExtensionQuoted, b'"') => Ok(ExtensionQuoteEnd),
            (ExtensionQuoted, b'\\') => Ok(ExtensionEscape),
            (ExtensionQuoted | ExtensionEscape, _) if byte == b'\t' || !is_control(byte) => {
                Ok(ExtensionQuoted)
            }
            (ExtensionNameMore | ExtensionToken | ExtensionQuoteEnd, b';') => Ok(ExtensionName),
            (ExtensionNameMore | ExtensionToken | ExtensionQuoteEnd, b'\r') => Ok(SizeLf),
            (_, b'\n') => Err(bare_lf()),
            _ => Err(Reject::bad("bad_chunk_extension", EXTENSIONS)),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Reject> {
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => return Ok(State::EndLf),
            (State::EndLf, b'\n') => {
                self.read_trailers()?;
                return Ok(State::Ended);
            }
            (State::EndLf, _) => return Err(bare_cr()),
            (State::TrailerLf, b'\n') => self.trailer_fields += 1,
            (State::TrailerLf, _) => return Err(bare_cr()),
            (_, b'\n') => return Err(bare_lf()),
            _ => {}
        }
        if self.trailer_bytes.len() >= TRAILER_BYTES {
            return Err(Reject::new(431, "trailers_too_long", TRAILERS));
        }
        if self.trailer_fields > TRAILER_FIELDS {
            return Err(Reject::new(431, "too_many_trailers", TRAILERS));
        }
        self.trailer_bytes.push(byte);
        Ok(match (self.state, byte) {
            (State::TrailerLf, _) => State::TrailerStart,
            (_, b'\r') => State::TrailerLf,
            _ => State::Trailer,
        })
    }

    fn read_trailers(&mut self) -> Result<(), Reject> {
        if self.trailer_bytes.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.trailer_bytes);
        bytes.extend_from_slice(b"\r\n");
        let mut all = Fields::default();
        all.set_raw(&bytes);
        if read_lines(&bytes, 0, TRAILER_FIELDS, &mut all).is_err() {
            return Err(
                diagnose_lines(&bytes).unwrap_or(Reject::bad("malformed_trailers", TRAILERS))
            );
        }
        for field in all.iter().filter(|field| field.id == FieldId::Other) {
            self.trailers.push(field.name, field.value);
        }
        Ok(())
    }
}

#[cold]
fn bare_lf() -> Reject {
    Reject::bad("bare_lf", SECTION)
}

#[cold]
fn bare_cr() -> Reject {
    Reject::bad("bare_cr", SECTION)
}

#[cfg(test)]
mod tests;
