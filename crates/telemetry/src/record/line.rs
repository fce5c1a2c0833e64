//! A line in the making: a window of memory that is written from the front, and knows no allocation and no growth.
//!
//! Writing a line is a hundred small appends. Into a `Vec` each of them would look whether the memory must grow, and keep
//! pointer and length in memory meanwhile; here both live in registers, and room for the longest line is made once.

use std::mem::{self, MaybeUninit};

use super::sixteen::Sixteen;

/// What is left of the window. Functions that are not inlined take and give it by value: what has no address stays in
/// registers. When something did not fit, nothing is left, and nothing fits from then on.
#[derive(Default)]
pub(super) struct Line<'a> {
    rest: &'a mut [MaybeUninit<u8>],
}

/// A class of bytes that may stand in a line as they are.
pub(super) trait Class {
    /// Marks the bytes that are *not* of the class.
    fn odd(text: Sixteen) -> Sixteen;
}

/// Appends one line of at most `limit` bytes. A line that does not fit is left out; the bound is meant to make that
/// impossible.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, limit: usize, write: impl FnOnce(&mut Line<'_>)) {
    out.reserve(limit);
    let room = out.spare_capacity_mut();
    let before = room.len();
    let mut line = Line { rest: room };
    write(&mut line);
    let left = line.rest.len();
    debug_assert!(left > 0, "the longest line fits");
    if left > 0 {
        let length = out.len() + (before - left);
        // SAFETY: the window began at the old length and lies within the capacity. Each method of `Line` moves the beginning
        // of `rest` only over bytes that it has written, or makes `rest` empty, which was ruled out.
        unsafe { out.set_len(length) };
    }
}

impl Line<'_> {
    /// Appends bytes whose number the compiler knows.
    #[inline(always)]
    pub(super) fn constant<const N: usize>(&mut self, bytes: &[u8; N]) {
        let Some((head, tail)) = mem::take(&mut self.rest).split_first_chunk_mut::<N>() else {
            return;
        };
        head.write_copy_of_slice(bytes);
        self.rest = tail;
    }

    /// Appends any bytes.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let Some((head, tail)) = mem::take(&mut self.rest).split_at_mut_checked(bytes.len()) else {
            return;
        };
        head.write_copy_of_slice(bytes);
        self.rest = tail;
    }

    /// Appends the bytes when all are of a class, and tells; appends nothing otherwise. Less than 16 bytes.
    #[inline(always)]
    pub(super) fn short_of<C: Class>(&mut self, bytes: &[u8]) -> bool {
        let rest = mem::take(&mut self.rest);
        let Some((head, _)) = rest.split_at_mut_checked(bytes.len()) else {
            return true;
        };
        let all = !copy_short::<C>(head, bytes).any();
        self.rest = if all {
            rest.split_at_mut_checked(bytes.len()).unwrap_or_default().1
        } else {
            rest
        };
        all
    }

    /// Appends the bytes when all are of a class, and tells; appends nothing otherwise. At least 16 bytes.
    #[inline(always)]
    pub(super) fn long_of<C: Class>(&mut self, bytes: &[u8]) -> bool {
        // The last sixteen may be looked at twice.
        let mut odd = bytes
            .last_chunk()
            .map_or(Sixteen::of(0, 0), |last| C::odd(sixteen(last)));
        for chunk in bytes.as_chunks().0 {
            odd = odd.or(C::odd(sixteen(chunk)));
        }
        let all = !odd.any();
        if all {
            self.bytes(bytes);
        }
        all
    }
}

/// Of less than 16 bytes, in two pieces that overlap. Marks what is not of the class.
#[inline(always)]
fn copy_short<C: Class>(to: &mut [MaybeUninit<u8>], from: &[u8]) -> Sixteen {
    if let (Some(first), Some(last)) = (from.first_chunk::<8>(), from.last_chunk::<8>()) {
        copy(to.first_chunk_mut(), first);
        copy(to.last_chunk_mut(), last);
        C::odd(Sixteen::of(
            u64::from_le_bytes(*first),
            u64::from_le_bytes(*last),
        ))
    } else if let (Some(first), Some(last)) = (from.first_chunk::<4>(), from.last_chunk::<4>()) {
        copy(to.first_chunk_mut(), first);
        copy(to.last_chunk_mut(), last);
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        let both = u64::from(first) << 32 | u64::from(last);
        C::odd(Sixteen::of(both, both))
    } else {
        copy_three::<C>(to, from)
    }
}

/// Of at most 3 bytes.
#[inline(always)]
fn copy_three<C: Class>(to: &mut [MaybeUninit<u8>], from: &[u8]) -> Sixteen {
    let half = from.len() / 2;
    let (Some(&first), Some(&middle), Some(&last)) = (from.first(), from.get(half), from.last())
    else {
        return C::odd(Sixteen::of(HARMLESS, HARMLESS));
    };
    copy(to.first_chunk_mut(), &[first]);
    copy(
        to.get_mut(half..).and_then(<[_]>::first_chunk_mut),
        &[middle],
    );
    copy(to.last_chunk_mut(), &[last]);
    let all = u64::from(u32::from_le_bytes([first, middle, last, last]));
    let twice = all << 32 | all;
    C::odd(Sixteen::of(twice, twice))
}

/// Text of which no class holds anything against it.
const HARMLESS: u64 = u64::from_ne_bytes([b'a'; 8]);

#[inline(always)]
fn sixteen(bytes: &[u8; 16]) -> Sixteen {
    let both = u128::from_le_bytes(*bytes);
    Sixteen::of(both as u64, (both >> 64) as u64)
}

#[inline(always)]
fn copy<const N: usize>(to: Option<&mut [MaybeUninit<u8>; N]>, from: &[u8; N]) {
    if let Some(to) = to {
        to.write_copy_of_slice(from);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What was written, as text.
    pub(in super::super) fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
        let mut out = b"before".to_vec();
        append(&mut out, 100_000, write);
        String::from_utf8(out)
            .unwrap()
            .strip_prefix("before")
            .unwrap()
            .to_owned()
    }

    /// Every byte in every place of texts of every length: copied as it is, or told.
    pub(in super::super) fn check_class<C: Class>(holds: impl Fn(u8) -> bool) {
        let mut out = Vec::new();
        for length in 0..70 {
            for fill in [b'~', b' ', b'a'] {
                for at in 0..length {
                    for byte in 0..=255 {
                        let mut bytes = vec![fill; length];
                        bytes[at] = byte;
                        let mut whole = false;
                        out.clear();
                        append(&mut out, 100, |line| whole = any_length::<C>(line, &bytes));
                        assert_eq!(whole, holds(byte), "{byte} at {at} of {length}");
                        assert_eq!(out, if whole { bytes } else { Vec::new() });
                    }
                }
            }
        }
        append(&mut out, 100, |line| assert!(line.short_of::<C>(b"")));
    }

    fn any_length<C: Class>(line: &mut Line<'_>, bytes: &[u8]) -> bool {
        if bytes.len() < 16 {
            line.short_of::<C>(bytes)
        } else {
            line.long_of::<C>(bytes)
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let fits = |room: usize| {
            let mut buffer = vec![MaybeUninit::uninit(); room];
            let mut line = Line { rest: &mut buffer };
            line.constant(b"ab");
            line.bytes(b"cde");
            line.short_of::<crate::record::text::Plain>(b"fghi");
            line.long_of::<crate::record::text::Plain>(b"fghifghifghifghifghi");
            !line.rest.is_empty()
        };
        assert!(fits(30));
        for room in 0..=29 {
            assert!(!fits(room), "{room}");
        }
    }
}
