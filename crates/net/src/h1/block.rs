//! Sixteen bytes at a time: where in a head the first byte of some kind is.
//!
//! Most bytes of a head are of no interest; a parser that looks at each of them alone spends most of its time on them. On
//! x86-64 these are SSE2 instructions, which every such processor has; elsewhere the compiler does what it can.

/// How many bytes a block has.
const BLOCK: usize = 16;

/// The index of the first byte of a kind at or behind `at`; the length of `bytes` if there is none. `kind` tells for each
/// byte of a block whether it is of that kind: bit 0 for the first byte.
#[inline(always)]
pub(super) fn find(bytes: &[u8], at: usize, kind: impl Fn(&[u8; BLOCK]) -> u32) -> usize {
    // Most names and many values end in the first block: no loop for them.
    if let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let mask = kind(block);
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        return find_further(bytes, at + BLOCK, kind);
    }
    find_further(bytes, at, kind)
}

#[inline(never)]
fn find_further(bytes: &[u8], mut at: usize, kind: impl Fn(&[u8; BLOCK]) -> u32) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let mask = kind(block);
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    let left = bytes.len().saturating_sub(at);
    let mask = match bytes.last_chunk() {
        // The last block, of which the first bytes were looked at already.
        Some(last) => kind(last) >> (BLOCK - left.min(BLOCK)),
        None => kind(&padded(bytes.get(at..).unwrap_or_default())),
    };
    (at + (mask | 1 << left).trailing_zeros() as usize).min(bytes.len())
}

/// The index of the first LF that is followed by CR or LF: in a head, the end of the last line before an empty one.
#[inline(always)]
pub(super) fn find_line_before_empty(bytes: &[u8]) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks();
    let (nexts, _) = bytes.get(1..).unwrap_or_default().as_chunks();
    for (number, (block, next)) in blocks.iter().zip(nexts).enumerate() {
        let mask = line_feeds(block) & line_ends(next);
        if mask != 0 {
            return Some(number * BLOCK + mask.trailing_zeros() as usize);
        }
    }
    let at = nexts.len() * BLOCK;
    let last = padded(bytes.get(at..).unwrap_or_default());
    let next = padded(bytes.get(at + 1..).unwrap_or_default());
    let mask = line_feeds(&last) & line_ends(&next);
    (mask != 0).then(|| at + mask.trailing_zeros() as usize)
}

/// At most sixteen bytes, and zeros behind them.
#[inline(always)]
fn padded(bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    if let Some(start) = block.get_mut(..bytes.len()) {
        start.copy_from_slice(bytes);
    }
    block
}

/// Bytes below 0x20, and DEL.
#[inline(always)]
pub(super) fn controls(block: &[u8; BLOCK]) -> u32 {
    lanes::controls(block)
}

/// Bytes that are no letter, digit or hyphen: what ends nearly every field name and method.
#[inline(always)]
pub(super) fn not_plain(block: &[u8; BLOCK]) -> u32 {
    lanes::not_plain(block)
}

/// Bytes that no request target may have: controls, space, DEL, `#`, and all from 0x80 on.
#[inline(always)]
pub(super) fn not_target(block: &[u8; BLOCK]) -> u32 {
    lanes::not_target(block)
}

/// LF.
#[inline(always)]
fn line_feeds(block: &[u8; BLOCK]) -> u32 {
    lanes::line_feeds(block)
}

/// CR or LF.
#[inline(always)]
fn line_ends(block: &[u8; BLOCK]) -> u32 {
    lanes::line_ends(block)
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use std::arch::x86_64::{
        __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_min_epu8, _mm_movemask_epi8,
        _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8, _mm_sub_epi8,
    };

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(block: &[u8; 16]) -> __m128i {
        let whole = u128::from_le_bytes(*block);
        _mm_set_epi64x((whole >> 64) as i64, whole as i64)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn all(byte: u8) -> __m128i {
        _mm_set1_epi8(byte.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn equal(bytes: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(bytes, all(byte))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn at_most(bytes: __m128i, most: u8) -> __m128i {
        _mm_cmpeq_epi8(_mm_min_epu8(bytes, all(most)), bytes)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(lanes: __m128i) -> u32 {
        _mm_movemask_epi8(lanes).cast_unsigned()
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn controls_sse2(block: &[u8; 16]) -> u32 {
        let bytes = load(block);
        bits(_mm_or_si128(at_most(bytes, 0x1f), equal(bytes, 0x7f)))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn not_plain_sse2(block: &[u8; 16]) -> u32 {
        let bytes = load(block);
        let letters = at_most(_mm_sub_epi8(_mm_or_si128(bytes, all(0x20)), all(b'a')), 25);
        let digits = at_most(_mm_sub_epi8(bytes, all(b'0')), 9);
        bits(_mm_or_si128(
            _mm_or_si128(letters, digits),
            equal(bytes, b'-'),
        )) ^ 0xffff
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn not_target_sse2(block: &[u8; 16]) -> u32 {
        let bytes = load(block);
        // Signed: bytes from 0x80 on are less than 0x20.
        let above_space = _mm_cmpgt_epi8(bytes, all(b' '));
        let others = _mm_or_si128(equal(bytes, 0x7f), equal(bytes, b'#'));
        bits(_mm_andnot_si128(others, above_space)) ^ 0xffff
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn line_feeds_sse2(block: &[u8; 16]) -> u32 {
        bits(equal(load(block), b'\n'))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn line_ends_sse2(block: &[u8; 16]) -> u32 {
        let bytes = load(block);
        bits(_mm_or_si128(equal(bytes, b'\n'), equal(bytes, b'\r')))
    }

    #[inline(always)]
    pub fn line_ends(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { line_ends_sse2(block) }
    }

    #[inline(always)]
    pub fn controls(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { controls_sse2(block) }
    }

    #[inline(always)]
    pub fn not_plain(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { not_plain_sse2(block) }
    }

    #[inline(always)]
    pub fn not_target(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { not_target_sse2(block) }
    }

    #[inline(always)]
    pub fn line_feeds(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { line_feeds_sse2(block) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod lanes {
    #[inline(always)]
    fn bits(block: &[u8; 16], kind: impl Fn(u8) -> bool) -> u32 {
        block
            .iter()
            .rev()
            .fold(0, |mask, byte| mask << 1 | u32::from(kind(*byte)))
    }

    pub fn controls(block: &[u8; 16]) -> u32 {
        bits(block, |byte| byte < 0x20 || byte == 0x7f)
    }

    pub fn not_plain(block: &[u8; 16]) -> u32 {
        bits(block, |byte| !byte.is_ascii_alphanumeric() && byte != b'-')
    }

    pub fn not_target(block: &[u8; 16]) -> u32 {
        bits(block, |byte| !matches!(byte, 0x21..=0x7e) || byte == b'#')
    }

    pub fn line_feeds(block: &[u8; 16]) -> u32 {
        bits(block, |byte| byte == b'\n')
    }

    pub fn line_ends(block: &[u8; 16]) -> u32 {
        bits(block, |byte| matches!(byte, b'\r' | b'\n'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (fn(&[u8; BLOCK]) -> u32, fn(u8) -> bool);

    const KINDS: [Row; 5] = [
        (controls, |byte| byte < 0x20 || byte == 0x7f),
        (not_plain, |byte| {
            !byte.is_ascii_alphanumeric() && byte != b'-'
        }),
        (not_target, |byte| {
            !matches!(byte, 0x21..=0x7e) || byte == b'#'
        }),
        (line_feeds, |byte| byte == b'\n'),
        (line_ends, |byte| byte == b'\r' || byte == b'\n'),
    ];

    #[test]
    fn every_byte_is_judged_as_its_kind_says() {
        for (number, (kind, is)) in KINDS.iter().enumerate() {
            for byte in 0..=255 {
                for place in 0..16 {
                    let mut block = [if is(b'a') { b'\n' } else { b'a' }; 16];
                    block[place] = byte;
                    let expected = block
                        .iter()
                        .enumerate()
                        .fold(0, |mask, (at, byte)| mask | u32::from(is(*byte)) << at);
                    assert_eq!(
                        kind(&block),
                        expected,
                        "kind {number}, byte {byte:#x} at {place}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_first_is_found_in_every_length() {
        for length in 0..50 {
            for hit in 0..=length {
                let mut bytes = vec![b'a'; length];
                if let Some(byte) = bytes.get_mut(hit) {
                    *byte = b'\n';
                }
                for at in 0..length + 3 {
                    let expected = if at <= hit { hit } else { length };
                    assert_eq!(find(&bytes, at, line_feeds), expected, "{length} from {at}");
                    assert_eq!(find(&bytes, at, controls), expected, "{length} from {at}");
                }
                assert_eq!(find_line_before_empty(&bytes), None);
                if let Some(byte) = bytes.get_mut(hit + 1) {
                    *byte = b'\r';
                    assert_eq!(find_line_before_empty(&bytes), Some(hit), "{length}");
                }
            }
        }
    }
}
