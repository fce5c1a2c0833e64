//! An HTTP/2 client that writes frames as it is told, valid or not, and notes what comes back.
//!
//! Header blocks are written as literals without Huffman or indexing, so that any byte can be put anywhere. Of what the
//! edge sends only what attacks are judged by is read: the first field of a header block (`:status`), resets, GOAWAY.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::client::{Target, connect_with};
use crate::patience::patience;
use crate::socket::Socket;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// What a stream has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamSeen {
    /// Of the final response; 0 before one.
    pub status: u16,
    pub body: Vec<u8>,
    pub ended: bool,
    pub reset: Option<u32>,
}

/// A connection with raw frames.
#[derive(Debug)]
pub struct FrameClient {
    reader: ReadHalf<Socket>,
    writer: WriteHalf<Socket>,
    buffer: Vec<u8>,
    pub streams: BTreeMap<u32, StreamSeen>,
    pub goaway: Option<u32>,
    pub closed: bool,
    /// Frames by type.
    pub counts: BTreeMap<u8, usize>,
}

impl FrameClient {
    /// Connects and sends the preface and settings (our table size 0, so that the edge's blocks are literals).
    pub async fn open(target: &Target, greet: bool) -> Result<Self> {
        Self::open_with(target, greet, None).await
    }

    /// The same, where the kernel holds at most so many bytes that were not read.
    pub async fn open_with(
        target: &Target,
        greet: bool,
        receive_buffer: Option<u32>,
    ) -> Result<Self> {
        let (reader, writer) = tokio::io::split(connect_with(target, receive_buffer).await?);
        let mut client = Self {
            reader,
            writer,
            buffer: Vec::new(),
            streams: BTreeMap::new(),
            goaway: None,
            closed: false,
            counts: BTreeMap::new(),
        };
        if greet {
            client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
            client
                .write(&frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]))
                .await;
        }
        Ok(client)
    }

    /// Writes bytes; an edge that has closed is no error here.
    pub async fn write(&mut self, bytes: &[u8]) {
        // Reading goes on meanwhile: an edge that cannot write its answers must not be what stops us.
        let Self {
            reader,
            writer,
            buffer,
            ..
        } = self;
        let mut rest = bytes;
        let mut open = true;
        while !rest.is_empty() {
            tokio::select! {
                biased;
                written = writer.write(rest) => match written {
                    Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                    _ => break,
                },
                read = reader.read_buf(buffer), if open => open = matches!(read, Ok(count) if count > 0),
                () = tokio::time::sleep(patience()) => break,
            }
        }
        let _judged_by_what_comes = writer.flush().await;
        self.digest();
    }

    /// Reads until `enough` says so, the edge closes, or nothing has come for `pause`. Answers SETTINGS and PING.
    pub async fn read_until(
        &mut self,
        pause: Duration,
        enough: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        loop {
            let answer = self.digest();
            if !answer.is_empty() {
                let _judged_by_what_comes = self.writer.write_all(&answer).await;
                let _judged_by_what_comes = self.writer.flush().await;
            }
            if enough(self) || self.closed {
                return Ok(());
            }
            ensure!(
                self.buffer.len() < 64 << 20,
                "the edge sends a frame without end"
            );
            match tokio::time::timeout(pause, self.reader.read_buf(&mut self.buffer)).await {
                Ok(Ok(0) | Err(_)) => self.closed = true,
                Ok(Ok(_)) => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// Reads once, at most so many bytes. What the edge asks is not answered.
    pub async fn sip(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
        let mut sip = (&mut self.reader).take(bytes as u64);
        let read = tokio::time::timeout(patience(), sip.read_buf(&mut self.buffer)).await;
        self.closed |= matches!(read, Ok(Ok(0) | Err(_)));
        self.digest();
    }

    /// Takes whole frames out of the buffer; returns what should be answered.
    fn digest(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut at = 0;
        while let Some(head) = self.buffer.get(at..at + 9) {
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let Some(payload) = self.buffer.get(at + 9..at + 9 + length) else {
                break;
            };
            *self.counts.entry(kind).or_default() += 1;
            let number = |bytes: &[u8]| {
                bytes
                    .first_chunk::<4>()
                    .map_or(0, |four| u32::from_be_bytes(*four))
            };
            match kind {
                HEADERS => {
                    let seen = self.streams.entry(stream).or_default();
                    let status = first_status(payload);
                    if seen.status < 200 {
                        seen.status = status;
                    }
                    seen.ended |= flags & END_STREAM != 0;
                }
                DATA => {
                    let seen = self.streams.entry(stream).or_default();
                    seen.body.extend_from_slice(payload);
                    seen.ended |= flags & END_STREAM != 0;
                }
                RST_STREAM => self.streams.entry(stream).or_default().reset = Some(number(payload)),
                GOAWAY => self.goaway = Some(number(payload.get(4..).unwrap_or_default())),
                SETTINGS if flags & ACK == 0 => answer.extend(frame(SETTINGS, ACK, 0, &[])),
                PING if flags & ACK == 0 => answer.extend(frame(PING, ACK, 0, payload)),
                _ => {}
            }
            at += 9 + length;
        }
        self.buffer.drain(..at);
        answer
    }
}

/// A frame; the payload may have any length that fits 24 bits.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block of literals, never indexed (RFC 7541 §6.2.3), any bytes.
pub fn block<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0x10);
        string(&mut bytes, name);
        string(&mut bytes, value);
    }
    bytes
}

/// RFC 7541 §5.1 and §5.2, without Huffman.
fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        bytes.push(text.len() as u8);
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text);
}

/// The status in the first field of a block; 0 when it cannot be told.
fn first_status(block: &[u8]) -> u16 {
    let mut rest = block;
    while let [first, more @ ..] = rest {
        // A change of the table's size comes before the first field (RFC 7541 §6.3).
        if first & 0xe0 != 0x20 {
            break;
        }
        rest = more;
    }
    match rest {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, length, value @ ..] => {
            let Some(value) = value.get(..usize::from(length & 0x7f)) else {
                return 0;
            };
            if length & 0x80 == 0 {
                String::from_utf8_lossy(value).parse().unwrap_or(0)
            } else {
                huffman_digits(value)
            }
        }
        _ => 0,
    }
}

/// Three digits in the code of RFC 7541 appendix B: `0` to `2` are five bits, `3` to `9` are six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut number = 0;
    for _ in 0..3 {
        let mut code = 0;
        for _ in 0..5 {
            let Some(bit) = bits.next() else { return 0 };
            code = code << 1 | u16::from(bit);
        }
        number = number * 10
            + match code {
                0..=2 => code,
                _ => {
                    let Some(bit) = bits.next() else { return 0 };
                    match code << 1 | u16::from(bit) {
                        six @ 25..=31 => six - 25 + 3,
                        _ => return 0,
                    }
                }
            };
    }
    number
}

/// The name of an error code (RFC 9113 §7).
pub fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_all_their_spellings() {
        assert_eq!(first_status(&[0x88]), 200);
        assert_eq!(first_status(&[0x20, 0x8c]), 400);
        assert_eq!(first_status(b"\x48\x03421"), 421);
        // "502" is 01 1011 | 00000 | 00010 in the code.
        assert_eq!(first_status(&[0x48, 0x82, 0b0110_1100, 0b0000_0010]), 502);
        // "307" as in RFC 7541 C.6.1's "302" with another digit: 011001 00000 011101.
        assert_eq!(
            first_status(&[0x08, 0x83, 0b0110_0100, 0b0000_1110, 0b1111_1111]),
            307
        );
        assert_eq!(first_status(&[]), 0);
        assert_eq!(first_status(&[0x48, 0x85, 1]), 0);
    }

    #[test]
    fn long_strings_have_long_lengths() {
        let long = vec![b'v'; 300];
        let bytes = block([(b"n".as_slice(), long.as_slice())]);
        assert_eq!(
            bytes.get(..6),
            Some([0x10, 1, b'n', 127, 173, 1].as_slice())
        );
        assert_eq!(bytes.len(), 306);
    }
}
