//! Variable-length integers (RFC 9000 §16) and the headers of frames (RFC 9114 §7.1).

/// Types of frames (RFC 9114 §7.2).
pub(super) const DATA: u64 = 0x0;
pub(super) const HEADERS: u64 = 0x1;
pub(super) const CANCEL_PUSH: u64 = 0x3;
pub(super) const SETTINGS: u64 = 0x4;
pub(super) const PUSH_PROMISE: u64 = 0x5;
pub(super) const GOAWAY: u64 = 0x7;
pub(super) const MAX_PUSH_ID: u64 = 0xd;

/// Types that meant something in HTTP/2 and must not come (RFC 9114 §7.2.8).
pub(super) fn is_of_http2(kind: u64) -> bool {
    matches!(kind, 0x2 | 0x6 | 0x8 | 0x9)
}

/// The integer at the front, and how many bytes it takes; none if it is not here whole.
pub(super) fn integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1usize << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| {
        value << 8 | u64::from(*byte)
    });
    Some((value, length))
}

/// Appends an integer, in the shortest form. Above 2^62 - 1, which nothing of ours reaches, it is cut.
pub(super) fn put_integer(value: u64, out: &mut Vec<u8>) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Appends the header of a frame.
pub(super) fn put_frame(kind: u64, length: usize, out: &mut Vec<u8>) {
    put_integer(kind, out);
    put_integer(length as u64, out);
}

/// Appends the header of a DATA frame.
pub(crate) fn put_data(length: usize, out: &mut Vec<u8>) {
    put_frame(DATA, length, out);
}

/// A frame's header, gathered byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    bytes: [u8; 16],
    held: u8,
}

impl Header {
    /// Takes bytes from the front until the header is whole: type and length.
    pub(super) fn gather(&mut self, from: &mut &[u8]) -> Option<(u64, u64)> {
        loop {
            let held = usize::from(self.held);
            let bytes = self.bytes.get(..held).unwrap_or_default();
            if let Some((kind, used)) = integer(bytes)
                && let Some((length, _)) = integer(bytes.get(used..)?)
            {
                *self = Self::default();
                return Some((kind, length));
            }
            let (byte, rest) = from.split_first()?;
            // Two integers are sixteen bytes at most, so there is room for as long as they are not whole.
            *self.bytes.get_mut(held)? = *byte;
            self.held += 1;
            *from = rest;
        }
    }

    /// Whether a part of one is here.
    pub(super) fn has_begun(&self) -> bool {
        self.held > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_each_length_come_back() {
        // RFC 9000 A.1.
        assert_eq!(
            integer(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
            Some((151_288_809_941_952_652, 8))
        );
        assert_eq!(integer(&[0x40, 0x25]), Some((37, 2)));
        for value in [
            0,
            63,
            64,
            16_383,
            16_384,
            (1 << 30) - 1,
            1 << 30,
            (1 << 62) - 1,
        ] {
            let mut out = Vec::new();
            put_integer(value, &mut out);
            assert_eq!(integer(&out), Some((value, out.len())));
            for short in 0..out.len() {
                assert_eq!(integer(&out[..short]), None);
            }
        }
    }

    #[test]
    fn a_header_may_come_in_any_pieces() {
        let mut bytes = Vec::new();
        put_frame((1 << 62) - 1, 1 << 40, &mut bytes);
        bytes.push(9);
        for cut in 0..=bytes.len() {
            let mut header = Header::default();
            let (mut front, mut back) = bytes.split_at(cut);
            let whole = header
                .gather(&mut front)
                .or_else(|| header.gather(&mut back));
            assert_eq!(whole, Some(((1 << 62) - 1, 1 << 40)));
            assert_eq!([front, back].concat(), [9]);
        }
    }
}
