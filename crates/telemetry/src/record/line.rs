//! A line in the making: a window of memory that is written from the front, and knows no allocation and no growth.
//!
//! Writing a line is a hundred small appends. Into a `Vec` each of them would look whether the memory must grow, and keep
//! pointer and length in memory meanwhile; here both live in registers, and room for the longest line is made once.

use std::mem::{self, MaybeUninit};

/// What is left of the window. Functions that are not inlined take and give it by value: what has no address stays in
/// registers. When something did not fit, nothing is left, and nothing fits from then on.
#[derive(Default)]
pub(super) struct Line<'a> {
    rest: &'a mut [MaybeUninit<u8>],
}

/// A class of bytes that may stand in a line as they are.
pub(super) trait Class {
    /// Whether this byte is of the class. Without branches, so that many can be asked at once.
    fn holds(byte: u8) -> bool;

    /// Eight bytes at once: the highest bit of each byte of the result is set when that byte is *not* of the class. Where
    /// one is not, the result may be wrong for its neighbours.
    fn odd(word: u64) -> u64;
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

    /// Appends the bytes and returns true when all are of a class; appends nothing and returns false otherwise.
    ///
    /// Looks and copies in one go, in pieces as large as the text allows, the last of which may overlap the one before.
    #[inline(always)]
    pub(super) fn bytes_of<C: Class>(&mut self, bytes: &[u8]) -> bool {
        let rest = mem::take(&mut self.rest);
        let Some((head, _)) = rest.split_at_mut_checked(bytes.len()) else {
            return true;
        };
        let all = if bytes.len() > 16 {
            copy_long::<C>(head, bytes)
        } else {
            copy_short::<C>(head, bytes)
        };
        self.rest = if all {
            rest.split_at_mut_checked(bytes.len()).unwrap_or_default().1
        } else {
            rest
        };
        all
    }
}

/// Of at most 16 bytes. Returns whether all are of the class.
#[inline(always)]
fn copy_short<C: Class>(to: &mut [MaybeUninit<u8>], from: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (from.first_chunk::<8>(), from.last_chunk::<8>()) {
        copy(to.first_chunk_mut(), first);
        copy(to.last_chunk_mut(), last);
        (C::odd(u64::from_le_bytes(*first)) | C::odd(u64::from_le_bytes(*last))) & HIGH_BITS == 0
    } else if let (Some(first), Some(last)) = (from.first_chunk::<4>(), from.last_chunk::<4>()) {
        copy(to.first_chunk_mut(), first);
        copy(to.last_chunk_mut(), last);
        let high = u64::from(u32::from_le_bytes(*first)) << 32;
        C::odd(high | u64::from(u32::from_le_bytes(*last))) & HIGH_BITS == 0
    } else {
        let mut all = true;
        for (to, &byte) in to.iter_mut().zip(from) {
            to.write(byte);
            all &= C::holds(byte);
        }
        all
    }
}

/// Of at least 8 bytes. Returns whether all are of the class.
#[inline(always)]
fn copy_long<C: Class>(to: &mut [MaybeUninit<u8>], from: &[u8]) -> bool {
    to.write_copy_of_slice(from);
    // The compiler makes vector instructions of this.
    let words = from
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| C::odd(u64::from_le_bytes(*word)));
    let odd = words.fold(0, |all, odd| all | odd);
    let last = from
        .last_chunk::<8>()
        .map_or(0, |word| C::odd(u64::from_le_bytes(*word)));
    (odd | last) & HIGH_BITS == 0
}

/// The highest bit of each byte of a word.
pub(super) const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The same byte eight times.
pub(super) const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
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
    pub(in super::super) fn check_class<C: Class>() {
        for length in 0..70 {
            for fill in [b'~', b' ', b'a'] {
                let plain = vec![fill; length];
                for at in 0..length.max(1) {
                    for byte in 0..=255 {
                        let mut bytes = plain.clone();
                        if let Some(place) = bytes.get_mut(at) {
                            *place = byte;
                        }
                        let mut out = Vec::new();
                        let mut whole = false;
                        append(&mut out, 100, |line| whole = line.bytes_of::<C>(&bytes));
                        assert_eq!(
                            whole,
                            bytes.iter().all(|&byte| C::holds(byte)),
                            "{byte} at {at} of {length}"
                        );
                        assert_eq!(out, if whole { bytes } else { Vec::new() });
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let fits = |room: usize| {
            let mut buffer = vec![MaybeUninit::uninit(); room];
            let mut line = Line { rest: &mut buffer };
            line.constant(b"ab");
            line.bytes(b"cde");
            line.bytes_of::<crate::record::text::Plain>(b"fghi");
            line.bytes_of::<crate::record::text::Plain>(b"fghifghifghifghifghi");
            !line.rest.is_empty()
        };
        assert!(fits(30));
        for room in 0..=29 {
            assert!(!fits(room), "{room}");
        }
    }
}
