//! Sixteen bytes of text that are asked about at once: by SSE2 where there is SSE2, by plain arithmetic elsewhere.
//!
//! An answer marks bytes. For text beyond printable ASCII, which [`Sixteen::unprintable`] marks surely, other answers may be
//! wrong; so they are of use only together with that one.

pub(super) use form::Sixteen;

#[cfg(target_arch = "x86_64")]
mod form {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set_epi64x, _mm_set1_epi8,
    };

    #[derive(Clone, Copy)]
    pub(in super::super) struct Sixteen(__m128i);

    // SAFETY of all of these: they are about registers only, and every x86-64 processor has SSE2.
    impl Sixteen {
        #[inline(always)]
        pub fn of(low: u64, high: u64) -> Self {
            Self(unsafe { _mm_set_epi64x(high.cast_signed(), low.cast_signed()) })
        }

        #[inline(always)]
        fn all(byte: u8) -> __m128i {
            unsafe { _mm_set1_epi8(byte.cast_signed()) }
        }

        /// Marks what is not from the space to `~`: one comparison of the next byte as a signed number.
        #[inline(always)]
        pub fn unprintable(self) -> Self {
            Self(unsafe { _mm_cmplt_epi8(_mm_add_epi8(self.0, Self::all(1)), Self::all(b' ' + 1)) })
        }

        /// Marks one byte.
        #[inline(always)]
        pub fn is(self, byte: u8) -> Self {
            Self(unsafe { _mm_cmpeq_epi8(self.0, Self::all(byte)) })
        }

        /// Sets bits in all bytes.
        #[inline(always)]
        pub fn with(self, bits: u8) -> Self {
            self.or(Self(Self::all(bits)))
        }

        /// Marks what either marks.
        #[inline(always)]
        pub fn or(self, other: Self) -> Self {
            Self(unsafe { _mm_or_si128(self.0, other.0) })
        }

        /// Whether any byte is marked.
        #[inline(always)]
        pub fn any(self) -> bool {
            unsafe { _mm_movemask_epi8(self.0) != 0 }
        }
    }
}

#[cfg(any(not(target_arch = "x86_64"), test))]
#[cfg_attr(
    target_arch = "x86_64",
    allow(dead_code, reason = "compared with the other form in tests")
)]
mod plain_form {
    /// A mark is the highest bit of a byte.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Sixteen(u64, u64);

    const fn eight(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    impl Sixteen {
        #[inline(always)]
        fn both(self, with: impl Fn(u64) -> u64) -> Self {
            Self(with(self.0), with(self.1))
        }

        #[inline(always)]
        pub fn of(low: u64, high: u64) -> Self {
            Self(low, high)
        }

        #[inline(always)]
        pub fn unprintable(self) -> Self {
            // Additions that carry into the highest bit of each byte, as long as that bit is clear.
            self.both(|word| {
                word | word.wrapping_add(eight(1)) | !word.wrapping_add(eight(0x80 - b' '))
            })
        }

        #[inline(always)]
        pub fn is(self, byte: u8) -> Self {
            self.both(|word| !(word ^ eight(byte)).wrapping_add(eight(0x7f)))
        }

        #[inline(always)]
        pub fn with(self, bits: u8) -> Self {
            self.both(|word| word | eight(bits))
        }

        #[inline(always)]
        pub fn or(self, other: Self) -> Self {
            Self(self.0 | other.0, self.1 | other.1)
        }

        #[inline(always)]
        pub fn any(self) -> bool {
            (self.0 | self.1) & eight(0x80) != 0
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use plain_form as form;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a byte at each place, among harmless ones, is marked by a question.
    macro_rules! check {
        ($form:ty) => {
            for byte in 0..=255u8 {
                for place in 0..16 {
                    let text = u128::from_le_bytes([b'a'; 16]);
                    let text = text ^ u128::from(b'a' ^ byte) << (8 * place);
                    let text = <$form>::of(text as u64, (text >> 64) as u64);
                    let printable = (b' '..=b'~').contains(&byte);
                    assert_eq!(text.unprintable().any(), !printable, "{byte} at {place}");
                    if printable {
                        assert_eq!(text.is(b'"').any(), byte == b'"');
                        assert_eq!(text.with(1).is(b'#').any(), byte == b'"' || byte == b'#');
                        assert_eq!(
                            text.is(b'"').or(text.is(b'\\')).any(),
                            byte == b'"' || byte == b'\\'
                        );
                    }
                }
            }
        };
    }

    #[test]
    fn both_forms_mark_what_they_are_asked_for() {
        check!(Sixteen);
        check!(plain_form::Sixteen);
    }
}
