//! Operators that look at one text and need nothing else. Not here: patterns (`regex`), phrases, libinjection.

use crate::regex::names::NamePattern;
use crate::transform::hex_digit;

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Begins,
    Contains,
    Word,
    Ends,
    Equals,
    /// The text occurs in the argument.
    Within,
}

impl Compare {
    /// Compares a text with the operator's argument.
    pub(crate) fn holds(self, text: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::Begins => text.starts_with(argument),
            Self::Contains => memchr::memmem::find(text, argument).is_some(),
            Self::Word => contains_word(text, argument),
            Self::Ends => text.ends_with(argument),
            Self::Equals => text == argument,
            Self::Within => memchr::memmem::find(argument, text).is_some(),
        }
    }
}

fn contains_word(text: &[u8], word: &[u8]) -> bool {
    let outside = |at: Option<usize>| {
        let byte = at.and_then(|at| text.get(at));
        byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
    };
    word.is_empty()
        || memchr::memmem::find_iter(text, word).any(|at| {
            let before = at.checked_sub(1);
            (before.is_none() || outside(before)) && outside(Some(at + word.len()))
        })
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Order {
    pub(crate) const fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Eq => left == right,
            Self::Ge => left >= right,
            Self::Gt => left > right,
            Self::Le => left <= right,
            Self::Lt => left < right,
        }
    }
}

/// The number at the begin of a text, as C's `atoi` reads it; 0 when there is none.
pub(crate) fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let value =
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0i64, |value, digit| {
                value
                    .saturating_mul(10)
                    .saturating_add(i64::from(digit - b'0'))
            });
    if negative { -value } else { value }
}

/// Which bytes a range such as `1-255` or `32,34,38-59` allows; None when it is none.
pub(crate) fn byte_range(text: &str) -> Option<[bool; 256]> {
    let mut allowed = [false; 256];
    for piece in text.split(',') {
        let (from, to) = piece.split_once('-').unwrap_or((piece, piece));
        let (from, to): (u8, u8) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        if from > to {
            return None;
        }
        for place in allowed.get_mut(usize::from(from)..=usize::from(to))? {
            *place = true;
        }
    }
    Some(allowed)
}

/// Whether a byte is not allowed.
pub(crate) fn outside(text: &[u8], allowed: &[bool; 256]) -> bool {
    text.iter()
        .any(|byte| !allowed.get(usize::from(*byte)).copied().unwrap_or(true))
}

/// Whether a `%` is not followed by two hexadecimal digits.
pub(crate) fn invalid_url_encoding(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).any(|at| {
        let digit = |nth: usize| text.get(at + nth).copied().and_then(hex_digit);
        digit(1).is_none() || digit(2).is_none()
    })
}

/// Whether some digits that the pattern finds are a card's number, by its check digit (ISO/IEC 7812, Luhn).
pub(crate) fn card_number(text: &[u8], pattern: &NamePattern) -> bool {
    runs_of_digits(text).any(|digits| pattern.is_in(digits) && luhn(digits))
}

/// Whether some digits that the pattern finds are a US social security number.
pub(crate) fn social_security(text: &[u8], pattern: &NamePattern) -> bool {
    pattern.is_in(text)
        && runs_of_digits(text).any(|run| {
            let digits: Vec<u8> = run.iter().copied().filter(u8::is_ascii_digit).collect();
            let number = |from: usize, to: usize| number(digits.get(from..to).unwrap_or_default());
            digits.len() == 9
                && (1..740).contains(&number(0, 3))
                && number(0, 3) != 666
                && number(3, 5) != 0
                && number(5, 9) != 0
        })
}

/// Runs of digits, spaces and dashes.
fn runs_of_digits(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_digit() && !matches!(byte, b' ' | b'-'))
        .filter(|run| run.len() >= 9)
}

fn luhn(run: &[u8]) -> bool {
    let mut count = 0;
    let sum: u32 = run
        .iter()
        .rev()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| {
            let digit = u32::from(byte - b'0') * (1 + count % 2);
            count += 1;
            digit / 10 + digit % 10
        })
        .sum();
    count >= 12 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared() {
        assert!(Compare::Within.holds(b"GET", b"GET POST"));
        assert!(!Compare::Within.holds(b"PUT", b"GET POST"));
        assert!(Compare::Word.holds(b"a union b", b"union"));
        assert!(!Compare::Word.holds(b"reunion", b"union"));
        assert!(Compare::Ends.holds(b"a.php", b".php"));
        assert!(Compare::Equals.holds(b"", b""));
        assert!(Compare::Contains.holds(b"abc", b"b") && Compare::Begins.holds(b"abc", b"ab"));
    }

    #[test]
    fn numbers_are_as_c_reads_them() {
        for (text, value) in [
            (&b"12"[..], 12),
            (b" -3x", -3),
            (b"", 0),
            (b"x", 0),
            (b"99999999999999999999", i64::MAX),
        ] {
            assert_eq!(number(text), value);
        }
    }

    #[test]
    fn what_is_validated() {
        let allowed = byte_range("32-36,38").unwrap();
        assert!(!outside(b" $&", &allowed) && outside(b"%", &allowed));
        assert!(byte_range("9-1").is_none() && byte_range("256").is_none());
        assert!(invalid_url_encoding(b"a%4") && !invalid_url_encoding(b"%41"));
        let any = NamePattern::new(r"\d{13,16}").unwrap();
        assert!(card_number(b"x 4111111111111111 y", &any));
        assert!(!card_number(b"4111111111111112", &any));
        let any = NamePattern::new(r"\d{3}-?\d{2}-?\d{4}").unwrap();
        assert!(social_security(b"123-45-6789", &any) && !social_security(b"000-45-6789", &any));
    }
}
