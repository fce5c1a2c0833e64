//! Huffman decoding of HPACK strings (RFC 7541 §5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, so the lengths alone
//! give the whole code, and both tables below are computed from them by the compiler. Ten bits at a time are looked up
//! at once, which covers all of printable ASCII that is common; longer codes are found by comparing with the first code
//! of each length.
//!
//! Not here: encoding. Our strings are sent as they are: what repeats is indexed, what does not is cheaper to copy.

/// Length in bits of each symbol's code; the last is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30,
];

const EOS: u16 = 256;
const LONGEST: usize = 30;
/// How many bits the first look-up takes.
const PEEK: usize = 10;

/// The codes of one length: `first`, `first + 1`, … stand for `SORTED[from]`, `SORTED[from + 1]`, …
#[derive(Clone, Copy)]
struct Length {
    first: u32,
    count: u32,
    from: u32,
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
const BY_LENGTH: ([Length; LONGEST + 1], [u16; 257]) = {
    let mut lengths = [Length {
        first: 0,
        count: 0,
        from: 0,
    }; LONGEST + 1];
    let mut sorted = [0u16; 257];
    let mut length = 1;
    let mut code = 0u32;
    let mut filled = 0;
    while length <= LONGEST {
        lengths[length] = Length {
            first: code,
            count: 0,
            from: filled as u32,
        };
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                sorted[filled] = symbol as u16;
                filled += 1;
                lengths[length].count += 1;
            }
            symbol += 1;
        }
        code = (code + lengths[length].count) << 1;
        length += 1;
    }
    (lengths, sorted)
};
static LONG: [Length; LONGEST + 1] = BY_LENGTH.0;
static SORTED: [u16; 257] = BY_LENGTH.1;

/// By the next [`PEEK`] bits: symbol and, in the low four bits, its code's length; 0 where the code is longer.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
static SHORT: [u16; 1 << PEEK] = {
    let mut table = [0u16; 1 << PEEK];
    let mut length = 1;
    while length <= PEEK {
        let of = BY_LENGTH.0[length];
        let mut nth = 0;
        while nth < of.count {
            let symbol = BY_LENGTH.1[(of.from + nth) as usize];
            let spare = PEEK - length;
            let start = ((of.first + nth) as usize) << spare;
            let mut low = 0;
            while low < 1 << spare {
                table[start + low] = symbol << 4 | length as u16;
                low += 1;
            }
            nth += 1;
        }
        length += 1;
    }
    table
};

/// The string is not a whole number of codes followed by at most seven bits of ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotHuffman;

/// Appends the decoded bytes of `from` to `into`, at most 8/5 of its length.
pub(crate) fn decode(mut from: &[u8], into: &mut Vec<u8>) -> Result<(), NotHuffman> {
    into.reserve(from.len() * 8 / 5 + 1);
    // The bits to decode, at the upper end; all below them are zero.
    let mut bits = 0u64;
    let mut held = 0u32;
    loop {
        if held <= 32 {
            if let Some((chunk, rest)) = from.split_first_chunk::<4>() {
                bits |= u64::from(u32::from_be_bytes(*chunk)) << (32 - held);
                held += 32;
                from = rest;
            } else {
                for byte in from {
                    bits |= u64::from(*byte) << (56 - held);
                    held += 8;
                }
                from = &[];
            }
        }
        if held < 8 && bits == !(u64::MAX.checked_shr(held).unwrap_or(0)) {
            return Ok(());
        }
        let (symbol, length) = symbol(bits).ok_or(NotHuffman)?;
        if length > held {
            return Err(NotHuffman);
        }
        into.push(symbol);
        bits <<= length;
        held -= length;
    }
}

#[inline(always)]
fn symbol(bits: u64) -> Option<(u8, u32)> {
    let short = SHORT
        .get((bits >> (64 - PEEK)) as usize)
        .copied()
        .unwrap_or(0);
    if short != 0 {
        Some(((short >> 4) as u8, u32::from(short & 15)))
    } else {
        long_symbol(bits)
    }
}

#[cold]
fn long_symbol(bits: u64) -> Option<(u8, u32)> {
    let (length, of, nth) = LONG
        .iter()
        .enumerate()
        .skip(PEEK + 1)
        .find_map(|(length, of)| {
            let nth = ((bits >> (64 - length)) as u32).wrapping_sub(of.first);
            (nth < of.count).then_some((length, of, nth))
        })?;
    let symbol = *SORTED.get((of.from + nth) as usize)?;
    (symbol != EOS).then_some((symbol as u8, length as u32))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn code(symbol: usize) -> (u32, u32) {
        let length = usize::from(LENGTHS[symbol]);
        let of = LONG[length];
        let nth = (0..of.count).find(|nth| usize::from(SORTED[(of.from + nth) as usize]) == symbol);
        (of.first + nth.unwrap(), length as u32)
    }

    /// Bit by bit, for tests only.
    pub(in super::super) fn encode(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bits = 0u64;
        let mut held = 0;
        for byte in text {
            let (value, length) = code(usize::from(*byte));
            bits = bits << length | u64::from(value);
            held += length;
            while held >= 8 {
                held -= 8;
                out.push((bits >> held) as u8);
            }
        }
        if held > 0 {
            out.push((bits << (8 - held)) as u8 | (0xff >> held));
        }
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, NotHuffman> {
        let mut into = Vec::new();
        decode(bytes, &mut into).map(|()| into)
    }

    #[test]
    fn codes_are_those_of_appendix_b() {
        assert_eq!(code(b'0'.into()), (0x0, 5));
        assert_eq!(code(b'a'.into()), (0x3, 5));
        assert_eq!(code(b'?'.into()), (0x3fc, 10));
        assert_eq!(code(b'\\'.into()), (0x7fff0, 19));
        assert_eq!(code(0xff), (0x3ffffee, 26));
        assert_eq!(code(22), (0x3ffffffe, 30));
        assert_eq!(code(256), (0x3fffffff, 30));
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encode(&all)), Ok(all.clone()));
        for length in 0..40 {
            for byte in [b'0', b'Z', b'!', 0, 22, 255] {
                let text = vec![byte; length];
                assert_eq!(decoded(&encode(&text)), Ok(text));
            }
        }
    }

    #[test]
    fn bad_padding_and_eos_are_refused() {
        // RFC 7541 §5.2: more than seven bits, not all ones, EOS inside.
        assert_eq!(decoded(&[0x1f, 0xff]), Err(NotHuffman));
        assert_eq!(decoded(&[0xff]), Err(NotHuffman));
        assert_eq!(decoded(&[0x18]), Err(NotHuffman));
        assert_eq!(decoded(&[0x1f]), Ok(b"a".to_vec()));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(NotHuffman));
        assert_eq!(
            decoded(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Err(NotHuffman)
        );
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }
}
