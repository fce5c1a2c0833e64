//! The encoder: fields in, a header block at the end of the output.
//!
//! Nothing is Huffman-coded. Fields whose values repeat from message to message (`server`, `content-type`, …) go to the
//! dynamic table and cost one byte from then on; what changes each time (`date`, `content-length`, …) is copied as it
//! is, which is the cheapest that can be done with it; secrets are marked never to be indexed (RFC 7541 §7.1.3).
//! Fields that must not travel in HTTP/2 (RFC 9113 §8.2.2) are left out.

use super::TABLE_SIZE;
use super::table::{STATIC, Table};

/// The pseudo-fields of a request (RFC 9113 §8.3.1, RFC 8441 §4).
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:scheme`; empty only for a plain CONNECT, which has none.
    pub scheme: &'a [u8],
    /// `:authority`; left out when it is empty.
    pub authority: &'a [u8],
    /// `:path`; empty only for a plain CONNECT, which has none.
    pub path: &'a [u8],
    /// `:protocol`, of an extended CONNECT.
    pub protocol: Option<&'a [u8]>,
}

/// Encodes the blocks of one direction of a connection.
#[derive(Debug)]
pub(in super::super) struct Encoder {
    table: Table,
    /// Sizes that the peer must be told at the beginning of the next block (RFC 7541 §4.2): the smallest since the
    /// last block, and the last.
    resized: Option<(usize, usize)>,
}

/// A value longer than this is not worth its room in the table.
const LONGEST_INDEXED: usize = 128;
const INDEX_STATUS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// A literal that no table keeps.
    Plain,
    /// Kept by the dynamic table.
    Index,
    /// Kept by no table on the whole way.
    Never,
    /// May be sent with the value `trailers` only.
    Trailers,
    /// Not sent.
    Drop,
}

/// Names that are treated otherwise than as a literal with a literal name: index of the name in the static table
/// (0: it has none), and what to do.
const KNOWN: &[(&[u8], u8, Policy)] = &[
    (b":authority", 1, Policy::Index),
    (b"accept-charset", 15, Policy::Plain),
    (b"accept-encoding", 16, Policy::Index),
    (b"accept-language", 17, Policy::Plain),
    (b"accept-ranges", 18, Policy::Index),
    (b"accept", 19, Policy::Plain),
    (b"access-control-allow-origin", 20, Policy::Index),
    (b"age", 21, Policy::Plain),
    (b"allow", 22, Policy::Plain),
    (b"authorization", 23, Policy::Never),
    (b"cache-control", 24, Policy::Index),
    (b"content-disposition", 25, Policy::Plain),
    (b"content-encoding", 26, Policy::Index),
    (b"content-language", 27, Policy::Index),
    (b"content-length", 28, Policy::Plain),
    (b"content-location", 29, Policy::Plain),
    (b"content-range", 30, Policy::Plain),
    (b"content-type", 31, Policy::Index),
    (b"cookie", 32, Policy::Never),
    (b"date", 33, Policy::Plain),
    (b"etag", 34, Policy::Plain),
    (b"expect", 35, Policy::Plain),
    (b"expires", 36, Policy::Plain),
    (b"from", 37, Policy::Plain),
    (b"host", 38, Policy::Plain),
    (b"if-match", 39, Policy::Plain),
    (b"if-modified-since", 40, Policy::Plain),
    (b"if-none-match", 41, Policy::Plain),
    (b"if-range", 42, Policy::Plain),
    (b"if-unmodified-since", 43, Policy::Plain),
    (b"last-modified", 44, Policy::Plain),
    (b"link", 45, Policy::Plain),
    (b"location", 46, Policy::Plain),
    (b"max-forwards", 47, Policy::Plain),
    (b"proxy-authenticate", 48, Policy::Plain),
    (b"proxy-authorization", 49, Policy::Never),
    (b"range", 50, Policy::Plain),
    (b"referer", 51, Policy::Plain),
    (b"refresh", 52, Policy::Plain),
    (b"retry-after", 53, Policy::Plain),
    (b"server", 54, Policy::Index),
    (b"set-cookie", 55, Policy::Never),
    (b"strict-transport-security", 56, Policy::Index),
    (b"user-agent", 58, Policy::Plain),
    (b"vary", 59, Policy::Index),
    (b"via", 60, Policy::Index),
    (b"www-authenticate", 61, Policy::Plain),
    (b"alt-svc", 0, Policy::Index),
    (b"cdn-loop", 0, Policy::Index),
    (b"grpc-status", 0, Policy::Index),
    (b"grpc-encoding", 0, Policy::Index),
    (b"grpc-accept-encoding", 0, Policy::Index),
    (b"referrer-policy", 0, Policy::Index),
    (b"x-content-type-options", 0, Policy::Index),
    (b"x-forwarded-proto", 0, Policy::Index),
    (b"x-forwarded-host", 0, Policy::Index),
    (b"x-frame-options", 0, Policy::Index),
    (b"x-powered-by", 0, Policy::Index),
    (b"te", 0, Policy::Trailers),
    (b"connection", 0, Policy::Drop),
    (b"http2-settings", 0, Policy::Drop),
    (b"keep-alive", 0, Policy::Drop),
    (b"proxy-connection", 0, Policy::Drop),
    (b"transfer-encoding", 57, Policy::Drop),
    (b"upgrade", 0, Policy::Drop),
];

const SLOT_COUNT: usize = 256;
const EMPTY: u8 = u8::MAX;

/// Folds case by `| 0x20`, which is enough for a hash.
const fn slot(length: usize, first: u8, middle: u8, last: u8) -> usize {
    (length * 37
        + (first | 0x20) as usize * 11
        + (middle | 0x20) as usize * 29
        + (last | 0x20) as usize * 53)
        % SLOT_COUNT
}

/// A hash table over [`KNOWN`] with linear probing.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
static SLOTS: [u8; SLOT_COUNT] = {
    let mut table = [EMPTY; SLOT_COUNT];
    let mut row = 0;
    while row < KNOWN.len() {
        let name = KNOWN[row].0;
        let mut at = slot(
            name.len(),
            name[0],
            name[name.len() / 2],
            name[name.len() - 1],
        );
        while table[at] != EMPTY {
            at = (at + 1) % SLOT_COUNT;
        }
        table[at] = row as u8;
        row += 1;
    }
    table
};

/// The row of [`KNOWN`] with this name in any case.
fn known(name: &[u8]) -> Option<(u8, usize, Policy)> {
    let (first, last) = (name.first()?, name.last()?);
    let mut at = slot(name.len(), *first, *name.get(name.len() / 2)?, *last);
    loop {
        let row = *SLOTS.get(at)?;
        // The empty slot is past the last row, which ends the search.
        let (of, index, policy) = KNOWN.get(usize::from(row))?;
        if same(of, name) {
            return Some((row, usize::from(*index), *policy));
        }
        at = (at + 1) % SLOT_COUNT;
    }
}

/// Whether a known name equals a token in any case. Eight bytes at a time: two tokens' bytes that differ in bit 5 alone
/// are the two cases of a letter.
#[inline]
fn same(known: &[u8], name: &[u8]) -> bool {
    const ANY_CASE: u64 = !0x2020_2020_2020_2020;
    let differ = |one: &[u8; 8], two: &[u8; 8]| {
        (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*two)) & ANY_CASE != 0
    };
    if known.len() != name.len() {
        return false;
    }
    let (Some(known_end), Some(name_end)) = (known.last_chunk(), name.last_chunk()) else {
        return known
            .iter()
            .zip(name)
            .fold(true, |all, (one, two)| all & ((one ^ two) & !0x20 == 0));
    };
    let (known, _) = known.as_chunks();
    let (name, _) = name.as_chunks();
    !differ(known_end, name_end) && !known.iter().zip(name).any(|(one, two)| differ(one, two))
}

impl Encoder {
    pub(in super::super) fn new() -> Self {
        Self {
            table: Table::new(TABLE_SIZE),
            resized: None,
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE has changed.
    pub(in super::super) fn set_limit(&mut self, limit: usize) {
        let limit = limit.min(TABLE_SIZE);
        if limit != self.table.limit() {
            let smallest = self
                .resized
                .map_or(limit, |(smallest, _)| smallest.min(limit));
            self.resized = Some((smallest, limit));
            self.table.set_limit(limit);
        }
    }

    /// Begins a block.
    pub(in super::super) fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((smallest, last)) = self.resized.take() {
            if smallest < last {
                put_integer(out, 0x20, 5, smallest);
            }
            put_integer(out, 0x20, 5, last);
        }
    }

    /// Writes `:status`. `status` has three digits.
    pub(in super::super) fn status(&mut self, out: &mut Vec<u8>, status: u16) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digit = |unit: u16| b'0' + (status / unit % 10) as u8;
                out.extend_from_slice(&[INDEX_STATUS as u8, 3, digit(100), digit(10), digit(1)]);
                return;
            }
        };
        out.push(0x80 | index);
    }

    /// Writes a request's pseudo-fields.
    pub(in super::super) fn request(&mut self, out: &mut Vec<u8>, request: &Request<'_>) {
        match request.method {
            b"GET" => out.push(0x82),
            b"POST" => out.push(0x83),
            method => put_literal(out, 0, 4, 2, method),
        }
        match request.scheme {
            b"" => {}
            b"http" => out.push(0x86),
            b"https" => out.push(0x87),
            scheme => put_literal(out, 0, 4, 6, scheme),
        }
        if !request.authority.is_empty() {
            self.field(out, b":authority", request.authority);
        }
        match request.path {
            b"" => {}
            b"/" => out.push(0x84),
            path => put_literal(out, 0, 4, 4, path),
        }
        if let Some(protocol) = request.protocol {
            put_named(out, 0, 4, b":protocol", protocol);
        }
    }

    /// Writes one field; its name may have upper-case letters.
    pub(in super::super) fn field(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let Some((row, index, policy)) = known(name) else {
            put_named(out, 0, 4, name, value);
            return;
        };
        match policy {
            Policy::Plain => put_literal(out, 0, 4, index, value),
            Policy::Never => put_literal(out, 0x10, 4, index, value),
            Policy::Index => self.indexed(out, row, index, value),
            Policy::Trailers if value.eq_ignore_ascii_case(b"trailers") => {
                put_named(out, 0, 4, b"te", b"trailers");
            }
            Policy::Trailers | Policy::Drop => {}
        }
    }

    /// Gives back memory that is not needed between two blocks.
    pub(in super::super) fn shrink(&mut self) {
        self.table.shrink();
    }

    fn indexed(&mut self, out: &mut Vec<u8>, row: u8, index: usize, value: &[u8]) {
        if let Some(age) = self.table.find(row, value) {
            put_integer(out, 0x80, 7, STATIC.len() + 1 + age);
            return;
        }
        let name = KNOWN
            .get(usize::from(row))
            .map_or(&b""[..], |(name, ..)| name);
        // What does not fit would empty the table (RFC 7541 §4.4).
        let fits = name.len() + value.len() + super::table::ENTRY_COST <= self.table.limit();
        let (pattern, prefix) = if value.len() <= LONGEST_INDEXED && fits {
            self.table.insert(name, value, row);
            (0x40, 6)
        } else {
            (0, 4)
        };
        if index == 0 {
            put_named(out, pattern, prefix, name, value);
        } else {
            put_literal(out, pattern, prefix, index, value);
        }
    }
}

/// RFC 7541 §5.1.
#[inline(always)]
fn put_integer(out: &mut Vec<u8>, pattern: u8, prefix: u32, number: usize) {
    let mask = (1usize << prefix) - 1;
    if number < mask {
        out.push(pattern | number as u8);
    } else {
        put_long_integer(out, pattern | mask as u8, number - mask);
    }
}

#[inline(never)]
fn put_long_integer(out: &mut Vec<u8>, first: u8, mut rest: usize) {
    out.push(first);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A literal whose name is in the static table.
fn put_literal(out: &mut Vec<u8>, pattern: u8, prefix: u32, index: usize, value: &[u8]) {
    put_integer(out, pattern, prefix, index);
    put_string(out, value);
}

/// A literal whose name is spelt out, in lower case.
fn put_named(out: &mut Vec<u8>, pattern: u8, prefix: u32, name: &[u8], value: &[u8]) {
    put_integer(out, pattern, prefix, 0);
    put_integer(out, 0, 7, name.len());
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    put_string(out, value);
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    put_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, Decoder, Sink};
    use super::*;

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn field(&mut self, field: Decoded<'_>) {
            assert!(field.sound);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            self.0
                .push(format!("{}: {}", text(field.name), text(field.value)));
        }
    }

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Vec<String> {
        let mut lines = Lines::default();
        decoder.decode(block, &mut lines).unwrap();
        lines.0
    }

    #[test]
    fn rows_agree_with_the_static_table() {
        for (row, (name, index, policy)) in KNOWN.iter().enumerate() {
            assert!(known(name) == Some((row as u8, usize::from(*index), *policy)));
            assert!(
                known(&name.to_ascii_uppercase()) == Some((row as u8, (*index).into(), *policy))
            );
            if *index > 0 {
                assert_eq!(STATIC[usize::from(*index) - 1].0, *name);
            }
        }
        assert!(known(b"x-unknown").is_none() && known(b"").is_none());
    }

    #[test]
    fn what_repeats_costs_one_byte_and_both_tables_agree() {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new();
        let fields: [(&[u8], &[u8]); 6] = [
            (b"Content-Type", b"text/html"),
            (b"Server", b"seawall"),
            (b"Alt-Svc", b"h3=\":443\""),
            (b"X-Own", b"Value"),
            (b"Set-Cookie", b"a=b"),
            (b"Connection", b"close"),
        ];
        let mut lengths = Vec::new();
        for _ in 0..3 {
            let mut block = Vec::new();
            encoder.begin(&mut block);
            encoder.status(&mut block, 201);
            for (name, value) in fields {
                encoder.field(&mut block, name, value);
            }
            assert_eq!(
                decoded(&mut decoder, &block),
                [
                    ":status: 201",
                    "content-type: text/html",
                    "server: seawall",
                    "alt-svc: h3=\":443\"",
                    "x-own: Value",
                    "set-cookie: a=b",
                ]
            );
            lengths.push(block.len());
        }
        assert!(lengths[1] < lengths[0] && lengths[1] == lengths[2]);
        assert_eq!(lengths[1], 5 + 3 + 13 + 6);
    }

    #[test]
    fn never_indexed_fields_say_so() {
        let mut block = Vec::new();
        Encoder::new().field(&mut block, b"Authorization", b"x");
        assert_eq!(block, [0x1f, 8, 1, b'x']);
    }

    #[test]
    fn a_smaller_table_is_announced_and_kept() {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new();
        let mut round = |encoder: &mut Encoder| {
            let mut block = Vec::new();
            encoder.begin(&mut block);
            encoder.field(&mut block, b"server", b"one");
            assert_eq!(decoded(&mut decoder, &block), ["server: one"]);
            block
        };
        assert_eq!(round(&mut encoder).len(), 5);
        assert_eq!(round(&mut encoder).len(), 1);
        encoder.set_limit(0);
        encoder.set_limit(100_000);
        assert_eq!(
            round(&mut encoder),
            [0x20, 0x3f, 0xe1, 0x1f, 0x76, 3, b'o', b'n', b'e']
        );
        assert_eq!(round(&mut encoder).len(), 1);
        encoder.set_limit(0);
        assert_eq!(round(&mut encoder)[0], 0x20);
        assert_eq!(round(&mut encoder).len(), 6);
    }

    #[test]
    fn many_values_never_let_the_tables_part() {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new();
        for number in 0..2000 {
            let mut block = Vec::new();
            encoder.begin(&mut block);
            let value = format!("text/{}", number % 171);
            encoder.field(&mut block, b"content-type", value.as_bytes());
            encoder.field(&mut block, b"vary", value.as_bytes());
            let expected = [format!("content-type: {value}"), format!("vary: {value}")];
            assert_eq!(decoded(&mut decoder, &block), expected);
        }
    }

    #[test]
    fn pseudo_fields_of_a_request() {
        let mut block = Vec::new();
        let request = Request {
            method: b"CONNECT",
            scheme: b"https",
            authority: b"a.test",
            path: b"/chat",
            protocol: Some(b"websocket"),
        };
        Encoder::new().request(&mut block, &request);
        assert_eq!(
            decoded(&mut Decoder::new(), &block),
            [
                ":method: CONNECT",
                ":scheme: https",
                ":authority: a.test",
                ":path: /chat",
                ":protocol: websocket",
            ]
        );
    }
}
