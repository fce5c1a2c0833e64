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
    runs_of_digits(text, b" -").any(|digits| pattern.is_in(digits) && luhn(digits))
}

/// A number of persons that an operator of the reference finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PersonNumber {
    /// A US social security number.
    Ssn,
    /// A Brazilian taxpayer's, `CPF`: its last two digits check the others.
    Cpf,
    /// An Austrian social security number, `SVNR`: its fourth digit checks the others.
    Svnr,
}

impl PersonNumber {
    /// Whether a text in which the pattern finds something has such a number.
    pub(crate) fn is_in(self, text: &[u8], pattern: &NamePattern) -> bool {
        let between: &[u8] = if self == Self::Cpf { b" -." } else { b" -" };
        pattern.is_in(text)
            && runs_of_digits(text, between).any(|run| {
                let digits = run.iter().filter(|byte| byte.is_ascii_digit());
                let digits: Vec<u8> = digits.take(12).map(|byte| byte - b'0').collect();
                match self {
                    Self::Ssn => is_ssn(&digits),
                    Self::Cpf => is_cpf(&digits),
                    Self::Svnr => is_svnr(&digits),
                }
            })
    }
}

fn is_ssn(digits: &[u8]) -> bool {
    let [a, b, c, d, e, rest @ ..] = digits else {
        return false;
    };
    let area = 100 * u32::from(*a) + 10 * u32::from(*b) + u32::from(*c);
    rest.len() == 4
        && (1..740).contains(&area)
        && area != 666
        && (*d, *e) != (0, 0)
        && rest.iter().any(|digit| *digit != 0)
}

fn is_cpf(digits: &[u8]) -> bool {
    // They fall to 2 at the last digit that is checked.
    const WEIGHTS: [u32; 10] = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
    let check = |digits: &[u8]| {
        let weights = WEIGHTS
            .iter()
            .skip(WEIGHTS.len().saturating_sub(digits.len()));
        weighed(digits, weights) * 10 % 11 % 10
    };
    let [number @ .., first, second] = digits else {
        return false;
    };
    let checked = digits.split_last().map_or(&[][..], |(_, checked)| checked);
    number.len() == 9
        && digits.iter().any(|digit| digit != first)
        && check(number) == u32::from(*first)
        && check(checked) == u32::from(*second)
}

fn is_svnr(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    digits.len() == WEIGHTS.len()
        && digits.first() != Some(&0)
        && digits.get(3).copied().map(u32::from) == Some(weighed(digits, WEIGHTS.iter()) % 11)
}

fn weighed<'w>(digits: &[u8], weights: impl Iterator<Item = &'w u32>) -> u32 {
    let digits = digits.iter().copied().map(u32::from);
    digits
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

/// Runs of digits, and of what people write between them.
fn runs_of_digits<'t>(text: &'t [u8], between: &[u8]) -> impl Iterator<Item = &'t [u8]> {
    text.split(move |byte| !byte.is_ascii_digit() && !between.contains(byte))
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
        let finds = |number: PersonNumber, text: &str| {
            let any = NamePattern::new(r"\d{3}[ .-]?\d{2}").unwrap();
            number.is_in(text.as_bytes(), &any)
        };
        for (number, right, wrong) in [
            (PersonNumber::Ssn, "123-45-6789", "000-45-6789"),
            (PersonNumber::Ssn, "123 45 6789", "123-00-6789"),
            (PersonNumber::Cpf, "id=529.982.247-25;", "529.982.247-26"),
            (PersonNumber::Cpf, "11144477735", "11111111111"),
            (PersonNumber::Svnr, "1237 010180", "1238 010180"),
            (PersonNumber::Svnr, "nr: 1237010180", "12370101801"),
        ] {
            assert!(finds(number, right), "{right}");
            assert!(!finds(number, wrong), "{wrong}");
        }
    }
}
