//! Sixteen bytes at a time: where in a head the first byte of some kind is.
//!
//! Most bytes of a head are of no interest; a parser that looks at each of them alone spends most of its time on them. On
//! x86-64 these are SSE2 instructions, which every such processor has; elsewhere the compiler does what it can.

/// How many bytes a block has.
const BLOCK: usize = 16;

/// How many bytes of a field line are looked at together: room for every name that we know, and for most lines whole.
pub(super) const WINDOW: usize = 2 * BLOCK;

/// A window and some bytes behind it, so that what surrounds any place in the window can be had without asking.
pub(super) const SIGHT: usize = WINDOW + 8;

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

/// Room for what is left when less than a [`SIGHT`] is, and for a sight at any of its bytes.
pub(super) const LAST: usize = 2 * SIGHT;

/// Puts fewer bytes than [`SIGHT`] before zeros.
#[inline(always)]
pub(super) fn pad(zeros: &mut [u8; LAST], bytes: &[u8]) {
    // In two pieces, which overlap: cheaper than a loop.
    match bytes.len() {
        WINDOW.. => put_ends::<WINDOW>(zeros, bytes),
        BLOCK.. => put_ends::<BLOCK>(zeros, bytes),
        8.. => put_ends::<8>(zeros, bytes),
        _ => {
            for (to, from) in zeros.iter_mut().zip(bytes) {
                *to = *from;
            }
        }
    }
}

/// The first and the last bytes, each to their place.
#[inline(always)]
fn put_ends<const N: usize>(to: &mut [u8], bytes: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), bytes.first_chunk()) {
        *to = *from;
    }
    let end = to.get_mut(..bytes.len());
    if let (Some(to), Some(from)) = (
        end.and_then(<[u8]>::last_chunk_mut::<N>),
        bytes.last_chunk(),
    ) {
        *to = *from;
    }
}

/// The place of the first byte that a window's mask tells of; [`WINDOW`] if it tells of none.
#[inline(always)]
pub(super) fn first_of(mask: u32) -> usize {
    mask.trailing_zeros() as usize
}

/// What a reader of field lines asks about a window; each answer is a mask, bit 0 for the first byte.
pub(super) trait Masks {
    /// Colons.
    fn colons(window: &[u8; WINDOW]) -> u32;
    /// As [`controls`].
    fn controls(window: &[u8; WINDOW]) -> u32;
    /// As [`not_plain`].
    fn not_plain(window: &[u8; WINDOW]) -> u32;
    /// Where the window, with bit 5 of every byte set, is not `other`. Of letters that bit is the case, digits, hyphens and
    /// colons have it anyway, and of other bytes only controls become one of those.
    fn differences(window: &[u8; WINDOW], other: &[u8; WINDOW]) -> u32;
}

/// A window as two blocks.
pub(super) struct Halves;

impl Halves {
    #[inline(always)]
    fn both(window: &[u8; WINDOW], kind: impl Fn(&[u8; BLOCK]) -> u32) -> u32 {
        match window.as_chunks().0 {
            [low, high] => kind(low) | kind(high) << BLOCK,
            _ => 0,
        }
    }
}

impl Masks for Halves {
    #[inline(always)]
    fn colons(window: &[u8; WINDOW]) -> u32 {
        Self::both(window, lanes::colons)
    }

    #[inline(always)]
    fn controls(window: &[u8; WINDOW]) -> u32 {
        Self::both(window, lanes::controls)
    }

    #[inline(always)]
    fn not_plain(window: &[u8; WINDOW]) -> u32 {
        Self::both(window, lanes::not_plain)
    }

    #[inline(always)]
    fn differences(window: &[u8; WINDOW], other: &[u8; WINDOW]) -> u32 {
        match (window.as_chunks().0, other.as_chunks().0) {
            ([low, high], [other_low, other_high]) => {
                lanes::differences(low, other_low) | lanes::differences(high, other_high) << BLOCK
            }
            _ => u32::MAX,
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use wide::Avx2;

/// Whether the processor has what [`Avx2`] takes: AVX2, and what every processor with it has to count bits with.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
}

/// A window at once, on processors that have AVX2.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Masks, WINDOW};
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi8, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8,
        _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
    };

    /// To be named only where [`has_avx2`](super::has_avx2) was asked.
    pub struct Avx2;

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn load(window: &[u8; WINDOW]) -> __m256i {
        // SAFETY: the pointer is to as many bytes as are read, and need not be aligned.
        unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn all(byte: u8) -> __m256i {
        _mm256_set1_epi8(byte.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn equal(bytes: __m256i, byte: u8) -> __m256i {
        _mm256_cmpeq_epi8(bytes, all(byte))
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn at_most(bytes: __m256i, most: u8) -> __m256i {
        _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, all(most)), bytes)
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn bits(lanes: __m256i) -> u32 {
        _mm256_movemask_epi8(lanes).cast_unsigned()
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn colons(window: &[u8; WINDOW]) -> u32 {
        bits(equal(load(window), b':'))
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn controls(window: &[u8; WINDOW]) -> u32 {
        let bytes = load(window);
        bits(_mm256_or_si256(at_most(bytes, 0x1f), equal(bytes, 0x7f)))
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn not_plain(window: &[u8; WINDOW]) -> u32 {
        let bytes = load(window);
        let letters = _mm256_add_epi8(_mm256_or_si256(bytes, all(0x20)), all(b'a'.wrapping_neg()));
        let digits = _mm256_add_epi8(bytes, all(b'0'.wrapping_neg()));
        !bits(_mm256_or_si256(
            _mm256_or_si256(at_most(letters, 25), at_most(digits, 9)),
            equal(bytes, b'-'),
        ))
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn differences(window: &[u8; WINDOW], other: &[u8; WINDOW]) -> u32 {
        let bytes = _mm256_or_si256(load(window), all(0x20));
        !bits(_mm256_cmpeq_epi8(bytes, load(other)))
    }

    impl Masks for Avx2 {
        #[inline(always)]
        fn colons(window: &[u8; WINDOW]) -> u32 {
            // SAFETY: whoever names this type has asked `has_avx2`.
            unsafe { colons(window) }
        }

        #[inline(always)]
        fn controls(window: &[u8; WINDOW]) -> u32 {
            // SAFETY: whoever names this type has asked `has_avx2`.
            unsafe { controls(window) }
        }

        #[inline(always)]
        fn not_plain(window: &[u8; WINDOW]) -> u32 {
            // SAFETY: whoever names this type has asked `has_avx2`.
            unsafe { not_plain(window) }
        }

        #[inline(always)]
        fn differences(window: &[u8; WINDOW], other: &[u8; WINDOW]) -> u32 {
            // SAFETY: whoever names this type has asked `has_avx2`.
            unsafe { differences(window, other) }
        }
    }
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

/// Bytes that are not `unreserved` (RFC 3986 §2.3): what ends the name of a host.
#[inline(always)]
pub(super) fn not_host(block: &[u8; BLOCK]) -> u32 {
    lanes::not_host(block)
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
        bits(plain(load(block))) ^ 0xffff
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn not_host_sse2(block: &[u8; 16]) -> u32 {
        let bytes = load(block);
        let dots = _mm_or_si128(equal(bytes, b'.'), equal(bytes, b'_'));
        let others = _mm_or_si128(dots, equal(bytes, b'~'));
        bits(_mm_or_si128(plain(bytes), others)) ^ 0xffff
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn plain(bytes: __m128i) -> __m128i {
        let letters = at_most(_mm_sub_epi8(_mm_or_si128(bytes, all(0x20)), all(b'a')), 25);
        let digits = at_most(_mm_sub_epi8(bytes, all(b'0')), 9);
        _mm_or_si128(_mm_or_si128(letters, digits), equal(bytes, b'-'))
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
    fn colons_sse2(block: &[u8; 16]) -> u32 {
        bits(equal(load(block), b':'))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn differences_sse2(block: &[u8; 16], other: &[u8; 16]) -> u32 {
        let bytes = _mm_or_si128(load(block), all(0x20));
        bits(_mm_cmpeq_epi8(bytes, load(other))) ^ 0xffff
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn line_ends_sse2(block: &[u8; 16]) -> u32 {
        let bytes = load(block);
        bits(_mm_or_si128(equal(bytes, b'\n'), equal(bytes, b'\r')))
    }

    #[inline(always)]
    pub fn colons(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { colons_sse2(block) }
    }

    #[inline(always)]
    pub fn differences(block: &[u8; 16], other: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { differences_sse2(block, other) }
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
    pub fn not_host(block: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; the function asks for nothing else.
        unsafe { not_host_sse2(block) }
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

    pub fn not_host(block: &[u8; 16]) -> u32 {
        bits(block, |byte| {
            !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.' | b'_' | b'~')
        })
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

    pub fn colons(block: &[u8; 16]) -> u32 {
        bits(block, |byte| byte == b':')
    }

    pub fn differences(block: &[u8; 16], other: &[u8; 16]) -> u32 {
        let mut folded = *block;
        for (byte, other) in folded.iter_mut().zip(other) {
            *byte = (*byte | 0x20) ^ other;
        }
        bits(&folded, |byte| byte != 0)
    }
}

#[cfg(test)]
mod tests;
