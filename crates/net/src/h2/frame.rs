//! Frames on the wire (RFC 9113 §4.1, §6): the header that each begins with, and writers for all frames but HEADERS,
//! CONTINUATION and DATA, which `output` builds in place.

use super::{ConnectionError, ErrorCode, StreamId};

/// Length of the header that every frame begins with.
pub(super) const HEADER: usize = 9;
/// The largest stream identifier.
pub(super) const LAST_STREAM: StreamId = 0x7fff_ffff;

/// Frame types.
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const PRIORITY: u8 = 2;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const PING: u8 = 6;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

/// Frame flags.
pub(super) mod flag {
    pub(in super::super) const ACK: u8 = 1;
    pub(in super::super) const END_STREAM: u8 = 1;
    pub(in super::super) const END_HEADERS: u8 = 4;
    pub(in super::super) const PADDED: u8 = 8;
    pub(in super::super) const PRIORITY: u8 = 0x20;
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the payload, in bytes.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: StreamId,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & LAST_STREAM,
        }
    }

    pub(super) fn bytes(self) -> [u8; HEADER] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s0, s1, s2, s3]
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What a PRIORITY frame, or HEADERS with that flag, says (RFC 7540 §6.3; RFC 9113 keeps only its form).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) on: StreamId,
    pub(super) exclusive: bool,
    pub(super) weight: u8,
}

impl Dependency {
    pub(super) fn parse(bytes: &[u8; 5]) -> Self {
        let [d0, d1, d2, d3, weight] = *bytes;
        let on = u32::from_be_bytes([d0, d1, d2, d3]);
        Self {
            on: on & LAST_STREAM,
            exclusive: on > LAST_STREAM,
            weight,
        }
    }
}

/// Strips padding and priority from a HEADERS payload (RFC 9113 §6.2).
pub(super) fn fragment<'a>(
    header: &Header,
    mut payload: &'a [u8],
) -> Result<(&'a [u8], Option<Dependency>), ConnectionError> {
    let short = ConnectionError::new(
        ErrorCode::FRAME_SIZE_ERROR,
        "HEADERS shorter than its flags say",
    );
    let mut padding = 0;
    if header.has(flag::PADDED) {
        let (length, rest) = payload.split_first().ok_or(short)?;
        (padding, payload) = (usize::from(*length), rest);
    }
    let mut dependency = None;
    if header.has(flag::PRIORITY) {
        let (bytes, rest) = payload.split_first_chunk::<5>().ok_or(short)?;
        (dependency, payload) = (Some(Dependency::parse(bytes)), rest);
    }
    let content = payload
        .len()
        .checked_sub(padding)
        .and_then(|length| payload.get(..length));
    let content = content.ok_or(ConnectionError::new(
        ErrorCode::PROTOCOL_ERROR,
        "HEADERS padded beyond its length",
    ))?;
    Ok((content, dependency))
}

/// A payload of exactly four bytes, as a number.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_be_bytes)
}

fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: StreamId, payload: &[u8]) {
    let length = payload.len() as u32;
    out.extend_from_slice(
        &Header {
            length,
            kind,
            flags,
            stream,
        }
        .bytes(),
    );
    out.extend_from_slice(payload);
}

pub(super) fn put_reset(out: &mut Vec<u8>, stream: StreamId, code: ErrorCode) {
    put(out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

pub(super) fn put_window_update(out: &mut Vec<u8>, stream: StreamId, increment: u32) {
    put(
        out,
        kind::WINDOW_UPDATE,
        0,
        stream,
        &increment.to_be_bytes(),
    );
}

pub(super) fn put_ping(out: &mut Vec<u8>, ack: bool, payload: &[u8; 8]) {
    put(out, kind::PING, if ack { flag::ACK } else { 0 }, 0, payload);
}

pub(super) fn put_settings_ack(out: &mut Vec<u8>) {
    put(out, kind::SETTINGS, flag::ACK, 0, &[]);
}

pub(super) fn put_go_away(out: &mut Vec<u8>, last: StreamId, code: ErrorCode) {
    let [l0, l1, l2, l3] = last.to_be_bytes();
    let [c0, c1, c2, c3] = code.0.to_be_bytes();
    put(out, kind::GOAWAY, 0, 0, &[l0, l1, l2, l3, c0, c1, c2, c3]);
}

/// Writes a SETTINGS frame of these pairs of identifier and value.
pub(super) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let length = settings.len() as u32 * 6;
    let header = Header {
        length,
        kind: kind::SETTINGS,
        flags: 0,
        stream: 0,
    };
    out.extend_from_slice(&header.bytes());
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_both_ways() {
        let header = Header {
            length: 0x01_02_03,
            kind: 9,
            flags: 0x2d,
            stream: LAST_STREAM,
        };
        assert_eq!(Header::parse(&header.bytes()), header);
        // The reserved bit is ignored (RFC 9113 §4.1).
        assert_eq!(Header::parse(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]).stream, 1);
    }

    #[test]
    fn padding_and_priority_are_stripped() {
        let flags = flag::PADDED | flag::PRIORITY;
        let header = Header {
            length: 0,
            kind: kind::HEADERS,
            flags,
            stream: 1,
        };
        let (content, dependency) =
            fragment(&header, &[2, 0x80, 0, 0, 3, 15, b'a', b'b', 0, 0]).unwrap();
        assert_eq!(content, b"ab");
        assert_eq!(
            dependency,
            Some(Dependency {
                on: 3,
                exclusive: true,
                weight: 15
            })
        );
        let code = |payload: &[u8]| fragment(&header, payload).unwrap_err().code;
        assert_eq!(code(&[]), ErrorCode::FRAME_SIZE_ERROR);
        assert_eq!(code(&[0, 0, 0]), ErrorCode::FRAME_SIZE_ERROR);
        assert_eq!(
            code(&[3, 0, 0, 0, 0, 0, b'a', 0]),
            ErrorCode::PROTOCOL_ERROR
        );
    }
}
