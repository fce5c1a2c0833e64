//! Field sections (RFC 9204) without a dynamic table: what is not in the static one is a literal.

use super::wire::HEADERS;
use crate::h2::{Decoded, Sink, huffman, is_sound_name, is_sound_value};

/// Appendix A of RFC 9204.
#[rustfmt::skip]
static STATIC: [(&str, &str); 99] = [
    (":authority", ""), (":path", "/"), ("age", "0"), ("content-disposition", ""), ("content-length", "0"),
    ("cookie", ""), ("date", ""), ("etag", ""), ("if-modified-since", ""), ("if-none-match", ""),
    ("last-modified", ""), ("link", ""), ("location", ""), ("referer", ""), ("set-cookie", ""),
    (":method", "CONNECT"), (":method", "DELETE"), (":method", "GET"), (":method", "HEAD"), (":method", "OPTIONS"),
    (":method", "POST"), (":method", "PUT"), (":scheme", "http"), (":scheme", "https"), (":status", "103"),
    (":status", "200"), (":status", "304"), (":status", "404"), (":status", "503"), ("accept", "*/*"),
    ("accept", "application/dns-message"), ("accept-encoding", "gzip, deflate, br"), ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"), ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"), ("cache-control", "max-age=0"), ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"), ("cache-control", "no-cache"), ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"), ("content-encoding", "br"), ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"), ("content-type", "application/javascript"),
    ("content-type", "application/json"), ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"), ("content-type", "image/jpeg"), ("content-type", "image/png"),
    ("content-type", "text/css"), ("content-type", "text/html; charset=utf-8"), ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"), ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"), ("vary", "origin"), ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"), (":status", "100"), (":status", "204"), (":status", "206"),
    (":status", "302"), (":status", "400"), (":status", "403"), (":status", "421"), (":status", "425"),
    (":status", "500"), ("accept-language", ""), ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"), ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"), ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"), ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"), ("access-control-request-method", "get"),
    ("access-control-request-method", "post"), ("alt-svc", "clear"), ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"), ("early-data", "1"),
    ("expect-ct", ""), ("forwarded", ""), ("if-range", ""), ("origin", ""), ("purpose", "prefetch"), ("server", ""),
    ("timing-allow-origin", "*"), ("upgrade-insecure-requests", "1"), ("user-agent", ""), ("x-forwarded-for", ""),
    ("x-frame-options", "deny"), ("x-frame-options", "sameorigin"),
];

/// Index of the first `:status`, and of `:status: 100`.
const STATUS: u64 = 24;

/// A section cannot be decoded, or needs a table that was never allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// Decodes a whole section. `room` is where strings are unpacked.
pub(super) fn decode<S: Sink>(
    mut block: &[u8],
    room: &mut [Vec<u8>; 2],
    sink: &mut S,
) -> Result<(), Undecodable> {
    // Required Insert Count and Base (RFC 9204 §4.5.1): nothing was ever inserted.
    let required = prefixed(8, &mut block)?;
    let base = prefixed(7, &mut block)?;
    if required.1 != 0 || base.1 != 0 || base.0 != 0 {
        return Err(Undecodable);
    }
    let [name_room, value_room] = room;
    while let Some(first) = block.first().copied() {
        let (name, value, sound) = match first {
            // Indexed, static (§4.5.2).
            0xc0.. => {
                let (name, value) = entry(prefixed(6, &mut block)?.1)?;
                (name.as_bytes(), value.as_bytes(), true)
            }
            // Literal with the name of a static entry (§4.5.4).
            0x40..0x80 if first & 0x10 != 0 => {
                let (name, _) = entry(prefixed(4, &mut block)?.1)?;
                let value = string(7, &mut block, value_room)?;
                (name.as_bytes(), value, is_sound_value(value))
            }
            // Literal with a name of its own (§4.5.6).
            0x20..0x40 => {
                let name = string(3, &mut block, name_room)?;
                let value = string(7, &mut block, value_room)?;
                (name, value, is_sound_name(name) && is_sound_value(value))
            }
            // All others name the dynamic table.
            _ => return Err(Undecodable),
        };
        sink.field(Decoded { name, value, sound });
    }
    Ok(())
}

fn entry(index: u64) -> Result<(&'static str, &'static str), Undecodable> {
    let index = usize::try_from(index).map_err(|_| Undecodable)?;
    STATIC.get(index).copied().ok_or(Undecodable)
}

/// An integer whose first byte has so many bits for it (RFC 7541 §5.1), and the bits before those.
fn prefixed(bits: u32, block: &mut &[u8]) -> Result<(u8, u64), Undecodable> {
    let (first, rest) = block.split_first().ok_or(Undecodable)?;
    *block = rest;
    let full = 0xffu8 >> (8 - bits);
    let flags = first & !full;
    let mut value = u64::from(first & full);
    if value < u64::from(full) {
        return Ok((flags, value));
    }
    for shift in (0..=28).step_by(7) {
        let (byte, rest) = block.split_first().ok_or(Undecodable)?;
        *block = rest;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((flags, value));
        }
    }
    Err(Undecodable)
}

/// A string whose length has so many bits in its first byte; the bit before them says whether it is packed.
fn string<'r, 'b: 'r>(
    bits: u32,
    block: &mut &'b [u8],
    room: &'r mut Vec<u8>,
) -> Result<&'r [u8], Undecodable> {
    let (flags, length) = prefixed(bits, block)?;
    let length = usize::try_from(length).map_err(|_| Undecodable)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Undecodable)?;
    *block = rest;
    if flags & (1 << bits) == 0 {
        return Ok(text);
    }
    room.clear();
    huffman::decode(text, room).map_err(|_| Undecodable)?;
    Ok(room)
}

/// Appends a HEADERS frame with these fields, after `:status` where there is one.
pub(crate) fn put_headers<'a>(
    status: Option<u16>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    out: &mut Vec<u8>,
) {
    out.push(HEADERS as u8);
    // The length is known in the end: four bytes can say what any section needs (RFC 9000 §16 allows the longer form).
    let at = out.len();
    out.extend_from_slice(&[0; 4 + 2]);
    if let Some(status) = status {
        put_status(status, out);
    }
    for (name, value) in fields {
        put_field(name, value, out);
    }
    let length = (out.len() - at - 4) as u32 | 0x8000_0000;
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = length.to_be_bytes();
    }
}

fn put_status(status: u16, out: &mut Vec<u8>) {
    let known: u64 = match status {
        103 => 24,
        200 => 25,
        304 => 26,
        404 => 27,
        503 => 28,
        100 => 63,
        204 => 64,
        206 => 65,
        302 => 66,
        400 => 67,
        403 => 68,
        421 => 69,
        425 => 70,
        500 => 71,
        _ => {
            put_prefixed(0x50, 4, STATUS, out);
            out.push(3);
            let digit = |by: u16| b'0' + (status / by % 10) as u8;
            out.extend_from_slice(&[digit(100), digit(10), digit(1)]);
            return;
        }
    };
    put_prefixed(0xc0, 6, known, out);
}

/// Fields that belong to an HTTP/1.1 connection do not travel (RFC 9114 §4.2).
fn travels(name: &[u8], value: &[u8]) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is(b"te") => value.eq_ignore_ascii_case(b"trailers"),
        7 => !is(b"upgrade"),
        10 => !is(b"connection") && !is(b"keep-alive"),
        16 => !is(b"proxy-connection"),
        17 => !is(b"transfer-encoding"),
        _ => true,
    }
}

/// The static entry for names that answers often have, and whether their values are secrets (§7.1.3).
fn known(name: &[u8]) -> Option<(u64, bool)> {
    let index = match (name.len(), name.first()? | 0x20) {
        (3, b'a') if name.eq_ignore_ascii_case(b"age") => 2,
        (4, b'd') if name.eq_ignore_ascii_case(b"date") => 6,
        (4, b'e') if name.eq_ignore_ascii_case(b"etag") => 7,
        (4, b'v') if name.eq_ignore_ascii_case(b"vary") => 59,
        (6, b's') if name.eq_ignore_ascii_case(b"server") => 92,
        (7, b'a') if name.eq_ignore_ascii_case(b"alt-svc") => 83,
        (8, b'l') if name.eq_ignore_ascii_case(b"location") => 12,
        (10, b's') if name.eq_ignore_ascii_case(b"set-cookie") => return Some((14, true)),
        (12, b'c') if name.eq_ignore_ascii_case(b"content-type") => 53,
        (13, b'a') if name.eq_ignore_ascii_case(b"accept-ranges") => 32,
        (13, b'c') if name.eq_ignore_ascii_case(b"cache-control") => 36,
        (13, b'l') if name.eq_ignore_ascii_case(b"last-modified") => 10,
        (14, b'c') if name.eq_ignore_ascii_case(b"content-length") => 4,
        (16, b'c') if name.eq_ignore_ascii_case(b"content-encoding") => 43,
        _ => return None,
    };
    Some((index, false))
}

fn put_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if !travels(name, value) {
        return;
    }
    match known(name) {
        Some((index, secret)) => put_prefixed(if secret { 0x70 } else { 0x50 }, 4, index, out),
        None => {
            put_prefixed(0x20, 3, name.len() as u64, out);
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    put_prefixed(0, 7, value.len() as u64, out);
    out.extend_from_slice(value);
}

fn put_prefixed(flags: u8, bits: u32, value: u64, out: &mut Vec<u8>) {
    let full = u64::from(0xffu8 >> (8 - bits));
    if value < full {
        return out.push(flags | value as u8);
    }
    out.push(flags | full as u8);
    let mut left = value - full;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    #[derive(Default)]
    struct Lines(Vec<(String, String, bool)>);

    impl Sink for Lines {
        fn field(&mut self, field: Decoded<'_>) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.0
                .push((text(field.name), text(field.value), field.sound));
        }
    }

    fn decoded(block: &[u8]) -> Result<Vec<(String, String, bool)>, Undecodable> {
        let mut lines = Lines::default();
        decode(block, &mut Default::default(), &mut lines)?;
        Ok(lines.0)
    }

    fn section(status: Option<u16>, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        put_headers(status, fields, &mut out);
        let (kind, at) = wire::integer(&out).unwrap();
        let (length, more) = wire::integer(&out[at..]).unwrap();
        assert_eq!(
            (kind, length as usize),
            (wire::HEADERS, out.len() - at - more)
        );
        out.split_off(at + more)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let long = "x".repeat(1000);
        let fields = [
            ("Content-Type", "text/html"),
            ("x-own", long.as_str()),
            ("set-cookie", "a=b"),
            ("connection", "close"),
            ("te", "gzip"),
            ("date", "today"),
        ];
        for status in [
            100, 103, 200, 204, 206, 302, 304, 400, 403, 404, 421, 425, 500, 503, 299, 599,
        ] {
            let lines = decoded(&section(Some(status), &fields)).unwrap();
            let names: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
            assert_eq!(
                names,
                [":status", "content-type", "x-own", "set-cookie", "date"]
            );
            assert_eq!(lines[0].1, status.to_string());
            assert_eq!(lines[2].1, long);
            assert!(lines.iter().all(|line| line.2));
        }
        for (name, _) in STATIC {
            if let Some((index, _)) = known(name.as_bytes()) {
                assert_eq!(STATIC[index as usize].0, name);
            }
        }
    }

    #[test]
    fn the_rfcs_literal_is_read_and_so_is_a_packed_one() {
        // RFC 9204 B.1: :path = /index.html, with the name of the static table.
        let block = b"\x00\x00\x51\x0b/index.html";
        let expected = [(":path".into(), "/index.html".into(), true)];
        assert_eq!(decoded(block).unwrap(), expected);
        // "a" packed is 0x1f.
        let packed = decoded(&[0, 0, 0x29, 0x1f, 0x81, 0x1f]).unwrap();
        assert_eq!(packed, [("a".into(), "a".into(), true)]);
    }

    #[test]
    fn whatever_names_a_dynamic_table_is_refused_and_nothing_panics() {
        for block in [
            &b"\x01\x00"[..],
            b"\x00\x80",
            b"\x00\x01\xc1",
            b"\x00\x00\x80",
            b"\x00\x00\x10",
            b"\x00\x00\x00",
            b"\x00\x00\x40\x01a",
            b"\x00\x00\xff\x24",
            b"\x00\x00\xff\xff\xff\xff\xff\xff\xff",
            b"\x00\x00\x23ab",
            b"\x00",
            b"",
        ] {
            assert_eq!(decoded(block), Err(Undecodable), "{block:02x?}");
        }
        let mut state = 1u32;
        for _ in 0..100_000 {
            let block: Vec<u8> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let _ = decoded(&[&[0, 0][..], &block].concat());
        }
    }

    #[test]
    fn upper_case_and_control_bytes_are_not_sound() {
        assert!(!decoded(b"\x00\x00\x21A\x01b").unwrap()[0].2);
        assert!(!decoded(b"\x00\x00\x21a\x01\n").unwrap()[0].2);
        assert!(!decoded(b"\x00\x00\x51\x02a\r").unwrap()[0].2);
    }
}
