//! The decoder: a header block in, fields out.
//!
//! A field's bytes are checked once, where they come as a literal; the dynamic table remembers the outcome, so that a
//! field which is repeated by index costs no second look.

use super::super::huffman;
use super::TABLE_SIZE;
use super::table::{STATIC, Table};

/// A field as it was decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Name and value may stand in an HTTP/2 message (RFC 9113 §8.2.1).
    pub(crate) sound: bool,
}

/// Takes the fields of a block, in order.
pub(crate) trait Sink {
    fn field(&mut self, field: Decoded<'_>);
}

/// Takes fields and forgets them: a block must be decoded even when nobody wants it, for the table's sake.
pub(in super::super) struct Discard;

impl Sink for Discard {
    fn field(&mut self, _: Decoded<'_>) {}
}

/// The block cannot be decoded (RFC 7541 §2.3.3, 3.2, 5, 6): the connection's state is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Undecodable;

/// Decodes the blocks of one direction of a connection.
#[derive(Debug)]
pub(in super::super) struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

const NAME_SOUND: u8 = 1;
const VALUE_SOUND: u8 = 2;
const SOUND: u8 = NAME_SOUND | VALUE_SOUND;

impl Decoder {
    pub(in super::super) fn new() -> Self {
        Self {
            table: Table::new(TABLE_SIZE),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Decodes a whole block. After an error nothing more can be decoded.
    pub(in super::super) fn decode<S: Sink>(
        &mut self,
        mut block: &[u8],
        sink: &mut S,
    ) -> Result<(), Undecodable> {
        let mut started = false;
        while let Some((first, rest)) = block.split_first() {
            block = rest;
            if first & 0x80 != 0 {
                let index = integer(*first, 7, &mut block)?;
                let (name, value, mark) = entry(&self.table, index)?;
                sink.field(Decoded {
                    name,
                    value,
                    sound: mark == SOUND,
                });
            } else if first & 0xc0 == 0x40 {
                self.literal(*first, 6, &mut block, sink)?;
            } else if first & 0xe0 == 0x20 {
                // RFC 7541 §4.2: only at the beginning of a block, and never above what we allow.
                let limit = integer(*first, 5, &mut block)?;
                if started || limit > TABLE_SIZE {
                    return Err(Undecodable);
                }
                self.table.set_limit(limit);
                continue;
            } else {
                self.literal(*first, 4, &mut block, sink)?;
            }
            started = true;
        }
        Ok(())
    }

    /// Gives back memory that is not needed between two blocks.
    pub(in super::super) fn shrink(&mut self) {
        self.table.shrink();
        self.name = Vec::new();
        self.value = Vec::new();
    }

    fn literal<S: Sink>(
        &mut self,
        first: u8,
        prefix: u32,
        block: &mut &[u8],
        sink: &mut S,
    ) -> Result<(), Undecodable> {
        let Self {
            table,
            name: name_room,
            value: value_room,
        } = self;
        let index = integer(first, prefix, block)?;
        let (name, name_mark) = if index == 0 {
            let name = string(block, name_room)?;
            (name, if is_sound_name(name) { NAME_SOUND } else { 0 })
        } else if let Some((name, _)) = STATIC.get(index - 1) {
            (*name, NAME_SOUND)
        } else {
            // Copied, because the entry that lends its name may be evicted by the insertion below.
            let (name, _, mark) = entry(table, index)?;
            name_room.clear();
            name_room.extend_from_slice(name);
            (name_room.as_slice(), mark & NAME_SOUND)
        };
        let value = string(block, value_room)?;
        let mark = name_mark
            | if is_sound_value(value) {
                VALUE_SOUND
            } else {
                0
            };
        sink.field(Decoded {
            name,
            value,
            sound: mark == SOUND,
        });
        if prefix == 6 {
            table.insert(name, value, mark);
        }
        Ok(())
    }

    #[cfg(test)]
    fn table(&self) -> &Table {
        &self.table
    }
}

/// The entry at an index of the joint address space (RFC 7541 §2.3.3).
fn entry(table: &Table, index: usize) -> Result<(&[u8], &[u8], u8), Undecodable> {
    let Some(at) = index.checked_sub(1) else {
        return Err(Undecodable);
    };
    match STATIC.get(at) {
        Some((name, value)) => Ok((name, value, SOUND)),
        None => table.get(at - STATIC.len()).ok_or(Undecodable),
    }
}

/// RFC 7541 §5.1. At most four bytes follow the prefix: no number in a block of ours needs more.
#[inline]
fn integer(first: u8, prefix: u32, block: &mut &[u8]) -> Result<usize, Undecodable> {
    let mask = (1usize << prefix) - 1;
    let mut number = usize::from(first) & mask;
    if number < mask {
        return Ok(number);
    }
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = block.split_first().ok_or(Undecodable)?;
        *block = rest;
        number += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Undecodable)
}

/// RFC 7541 §5.2. What is Huffman-coded is decoded into `room`, the rest is lent from the block.
fn string<'room, 'block: 'room>(
    block: &mut &'block [u8],
    room: &'room mut Vec<u8>,
) -> Result<&'room [u8], Undecodable> {
    let (first, rest) = block.split_first().ok_or(Undecodable)?;
    *block = rest;
    let length = integer(*first, 7, block)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Undecodable)?;
    *block = rest;
    if first & 0x80 == 0 {
        return Ok(text);
    }
    room.clear();
    huffman::decode(text, room).map_err(|_| Undecodable)?;
    Ok(room)
}

/// Token characters (RFC 9110 §5.6.2) without upper case.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
};

/// A lower-case token, or one with a colon before it (RFC 9113 §8.2, 8.3).
pub(crate) fn is_sound_name(name: &[u8]) -> bool {
    let token = name.strip_prefix(b":").unwrap_or(name);
    let known = |byte: &u8| NAME_BYTES.get(usize::from(*byte)).copied().unwrap_or(false);
    !token.is_empty() && token.iter().fold(true, |sound, byte| sound & known(byte))
}

/// No control character but the tab, no white space at either end (RFC 9113 §8.2.1, RFC 9110 §5.5).
pub(crate) fn is_sound_value(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let control = |byte: &u8| (*byte < b' ') & (*byte != b'\t') | (*byte == 0x7f);
    !value
        .iter()
        .fold(false, |found, byte| found | control(byte))
        && !blank(value.first())
        && !blank(value.last())
}

#[cfg(test)]
mod tests {
    use super::super::super::huffman::tests::encode as huffman_encode;
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

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|c| c.to_digit(16))
            .map(|d| d as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    fn lines(decoder: &mut Decoder, block: &str) -> Vec<String> {
        let mut lines = Lines::default();
        decoder.decode(&hex(block), &mut lines).unwrap();
        lines.0
    }

    const REQUESTS: [&[&str]; 3] = [
        &[
            ":method: GET",
            ":scheme: http",
            ":path: /",
            ":authority: www.example.com",
        ],
        &[
            ":method: GET",
            ":scheme: http",
            ":path: /",
            ":authority: www.example.com",
            "cache-control: no-cache",
        ],
        &[
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ],
    ];

    #[test]
    fn appendix_c2_single_fields() {
        let mut decoder = Decoder::new();
        let literal = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        assert_eq!(lines(&mut decoder, literal), ["custom-key: custom-header"]);
        assert_eq!(decoder.table().size(), 55);
        let mut decoder = Decoder::new();
        let path = "040c 2f73 616d 706c 652f 7061 7468";
        assert_eq!(lines(&mut decoder, path), [":path: /sample/path"]);
        let secret = "1008 7061 7373 776f 7264 0673 6563 7265 74";
        assert_eq!(lines(&mut decoder, secret), ["password: secret"]);
        assert_eq!(lines(&mut decoder, "82"), [":method: GET"]);
        assert_eq!(decoder.table().size(), 0);
    }

    #[test]
    fn appendix_c3_and_c4_requests_without_and_with_huffman() {
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let huffman = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        for blocks in [plain, huffman] {
            let mut decoder = Decoder::new();
            for ((block, expected), size) in blocks.iter().zip(REQUESTS).zip([57, 110, 164]) {
                assert_eq!(lines(&mut decoder, block), expected);
                assert_eq!(decoder.table().size(), size);
            }
        }
    }

    #[test]
    fn appendix_c5_and_c6_responses_that_evict() {
        let plain = [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
             2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
             6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
             54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
             5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
             3d31",
        ];
        let huffman = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
             2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
             77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
             9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ];
        let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        for blocks in [plain, huffman] {
            let mut decoder = Decoder::new();
            decoder.table.set_limit(256);
            let first = lines(&mut decoder, blocks[0]);
            assert_eq!(
                first,
                [
                    ":status: 302",
                    "cache-control: private",
                    "date: Mon, 21 Oct 2013 20:13:21 GMT",
                    "location: https://www.example.com",
                ]
            );
            assert_eq!(decoder.table().size(), 222);
            assert_eq!(lines(&mut decoder, blocks[1])[0], ":status: 307");
            assert_eq!(decoder.table().size(), 222);
            let third = lines(&mut decoder, blocks[2]);
            assert_eq!(third[4..], ["content-encoding: gzip", cookie]);
            assert_eq!(third[2], "date: Mon, 21 Oct 2013 20:13:22 GMT");
            assert_eq!(decoder.table().size(), 215);
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        let long = "82 3f ff ff ff ff 7f";
        for block in [
            "80",                            // index 0 (RFC 7541 §6.1)
            "be",                // one past the static table, the dynamic one being empty
            "ff 00",             // index 127
            "7f 00 01 61",       // a literal whose name's index is past the tables
            "82 20",             // a table size update after a field (§4.2)
            "3f e2 1f",          // a table size of 4097
            "04 84 1f ff ff ff", // Huffman padding of more than seven bits
            "04 81 18",          // Huffman padding that is not all ones
            "04 84 ff ff ff ff", // EOS inside a Huffman string
            "04 05 61",          // a string that ends too early
            "04",                // no value at all
            "ff ff ff ff ff ff ff ff ff 01", // a number without end
            long,
        ] {
            let outcome = Decoder::new().decode(&hex(block), &mut Discard);
            assert_eq!(outcome, Err(Undecodable), "{block}");
        }
        assert_eq!(
            lines(&mut Decoder::new(), "20 3f e1 1f 82"),
            [":method: GET"]
        );
    }

    #[test]
    fn soundness_is_remembered_by_the_table() {
        struct Sound(Vec<bool>);
        impl Sink for Sound {
            fn field(&mut self, field: Decoded<'_>) {
                self.0.push(field.sound);
            }
        }
        let mut decoder = Decoder::new();
        let mut sound = Sound(Vec::new());
        // A bad value under a good name, again by index, then a good value under that name, then an upper-case name.
        let block = hex("40 01 61 01 00  be  7e 01 62  be  40 01 41 01 61  be");
        decoder.decode(&block, &mut sound).unwrap();
        assert_eq!(sound.0, [false, false, true, true, false, false]);
    }

    #[test]
    fn names_and_values() {
        for name in [
            &b""[..],
            b":",
            b"A",
            b"a b",
            b"a:b",
            b"a\0",
            b"\xc3\xa4",
            b"::a",
        ] {
            assert!(!is_sound_name(name), "{name:?}");
        }
        assert!(is_sound_name(b":path") && is_sound_name(b"x-y_z.1"));
        for value in [
            &b" a"[..],
            b"a ",
            b"\ta",
            b"a\r",
            b"a\nb",
            b"\0",
            b"\x7f",
            b"a\x1b",
        ] {
            assert!(!is_sound_value(value), "{value:?}");
        }
        assert!(is_sound_value(b"") && is_sound_value(b"a\tb c") && is_sound_value(b"\xff"));
    }

    #[test]
    fn a_long_huffman_literal_comes_through() {
        let text: Vec<u8> = (0..9000).map(|at| b' ' + 1 + (at % 90) as u8).collect();
        let coded = huffman_encode(&text);
        let mut block = vec![0x04, 0xff];
        let mut rest = coded.len() - 127;
        while rest >= 128 {
            block.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        block.push(rest as u8);
        block.extend_from_slice(&coded);
        let mut lines = Lines::default();
        Decoder::new().decode(&block, &mut lines).unwrap();
        assert_eq!(lines.0[0].as_bytes()[7..], text);
    }
}
