//! Wildcards: `*` stands for any bytes, the whole text must fit, and time is linear in the text.
//!
//! Between two `*` each piece is found where it stands first: if a text fits at all, it fits so too. What each `*` stood for is
//! therefore the shortest that it can be, from left to right, but for the last one.

use seawall_model::{Fuel, Spent};

use crate::search::Needle;
use crate::value::Case;

/// A text with wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wildcard {
    first: Box<[u8]>,
    /// Between two `*`.
    middle: Box<[Needle]>,
    /// None without any `*`.
    last: Option<Box<[u8]>>,
    any_case: bool,
}

/// What is wrong with one, at an offset into its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: usize,
    pub(crate) len: usize,
    pub(crate) what: &'static str,
    pub(crate) help: &'static str,
}

/// More of them than anybody writes.
const MOST_STARS: usize = 64;
/// Bytes compared for one unit.
const COMPARED: u64 = 12;

impl Wildcard {
    /// Reads `*`, `\*` and `\\`.
    pub(crate) fn new(text: &[u8], any_case: bool) -> Result<Self, Refused> {
        let mut pieces = vec![Vec::new()];
        let mut bytes = text.iter().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            let refused = |len, what, help| {
                Err(Refused {
                    at,
                    len,
                    what,
                    help,
                })
            };
            match byte {
                b'\\' => match bytes.next() {
                    Some((_, escaped @ (b'*' | b'\\'))) => push(&mut pieces, *escaped),
                    _ => {
                        let help = r"write \\ for a backslash and \* for a star, best in r…";
                        return refused(1, "this is no escape of a wildcard", help);
                    }
                },
                b'*' if bytes.peek().is_some_and(|(_, next)| **next == b'*') => {
                    return refused(2, "two stars say no more than one", "write one `*`");
                }
                b'*' if pieces.len() > MOST_STARS => {
                    return refused(1, "too many stars", "64 at most");
                }
                b'*' => pieces.push(Vec::new()),
                byte => push(&mut pieces, *byte),
            }
        }
        if any_case {
            pieces
                .iter_mut()
                .for_each(|piece| piece.make_ascii_lowercase());
        }
        let last = if pieces.len() > 1 { pieces.pop() } else { None };
        let mut pieces = pieces.into_iter();
        Ok(Self {
            first: pieces.next().unwrap_or_default().into(),
            middle: pieces.map(|piece| Needle::new(&piece)).collect(),
            last: last.map(Into::into),
            any_case,
        })
    }

    /// Whether a letter in this case can never fit, because the text is read in the other one.
    pub(crate) fn has_letters_against(&self, case: Case) -> bool {
        let against = |bytes: &[u8]| bytes.iter().any(|byte| case.of(*byte) != *byte);
        !self.any_case
            && (against(&self.first)
                || self.last.as_deref().is_some_and(against)
                || self.middle.iter().any(|piece| against(piece.text())))
    }

    /// In which case it wants the text.
    pub(crate) const fn case(&self) -> Case {
        if self.any_case {
            Case::Lower
        } else {
            Case::AsSent
        }
    }

    /// Whether it begins with a fixed text, for those who look many up.
    pub(crate) const fn stars(&self) -> usize {
        match self.last {
            Some(_) => self.middle.len() + 1,
            None => 0,
        }
    }

    /// Whether the whole text, in [`Wildcard::case`], fits. What each `*` stands for goes to `stars`.
    pub(crate) fn fits(
        &self,
        text: &[u8],
        fuel: &mut Fuel,
        stars: &mut Vec<(usize, usize)>,
    ) -> Result<bool, Spent> {
        let fixed = self.first.len() + self.last.as_deref().map_or(0, <[u8]>::len);
        fuel.spend(20 + fixed as u64 / COMPARED)?;
        let Some(last) = &self.last else {
            return Ok(*text == *self.first);
        };
        if text.len() < fixed || !text.starts_with(&self.first) || !text.ends_with(last) {
            return Ok(false);
        }
        let end = text.len() - last.len();
        let mut at = self.first.len();
        for piece in &self.middle {
            let rest = text.get(at..end).unwrap_or_default();
            let Some(found) = piece.find(rest, fuel)? else {
                return Ok(false);
            };
            stars.push((at, at + found));
            at += found + piece.text().len();
        }
        stars.push((at, end));
        Ok(true)
    }
}

fn push(pieces: &mut [Vec<u8>], byte: u8) {
    if let Some(last) = pieces.last_mut() {
        last.push(byte);
    }
}

/// What `wildcard_replace` does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replace {
    pub(crate) wildcard: Wildcard,
    pub(crate) template: Box<[Piece]>,
}

/// A piece of a replacement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    Text(Box<[u8]>),
    /// What the n-th `*` stood for, or the n-th group matched, counted from 0.
    Star(usize),
}

/// Replacements that one template may have.
const MOST_REFERENCES: usize = 8;

/// Reads a replacement with `${1}` and `$$`, where so many can be referred to.
pub(crate) fn template(
    template: &[u8],
    most: usize,
    [what, help, meant]: [&'static str; 3],
) -> Result<Box<[Piece]>, Refused> {
    let mut pieces = Vec::new();
    let mut plain = Vec::new();
    let mut references = 0;
    let mut at = 0;
    while let Some(byte) = template.get(at) {
        let refused = |len, what, help| {
            Err(Refused {
                at,
                len,
                what,
                help,
            })
        };
        let rest = template.get(at..).unwrap_or_default();
        match rest {
            [b'$', b'$', ..] => {
                plain.push(b'$');
                at += 2;
            }
            [b'$', b'{', digit @ b'1'..=b'9', b'}', ..] => {
                let nth = usize::from(digit - b'1');
                if nth >= most {
                    return refused(4, what, help);
                }
                references += 1;
                if references > MOST_REFERENCES {
                    return refused(4, "too many references", "8 at most");
                }
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
                pieces.push(Piece::Star(nth));
                at += 4;
            }
            [b'$', ..] => {
                return refused(1, "this refers to nothing", meant);
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    pieces.push(Piece::Text(plain.into()));
    Ok(pieces.into())
}

impl Replace {
    /// Reads a replacement with `${1}` and `$$`.
    pub(crate) fn new(wildcard: Wildcard, replacement: &[u8]) -> Result<Self, Refused> {
        let template = template(
            replacement,
            wildcard.stars(),
            [
                "there is no such star",
                "${1} is the first `*`",
                "write ${1} for the first `*`, and $$ for a dollar",
            ],
        )?;
        Ok(Self { wildcard, template })
    }

    /// What becomes of a text: it stays where it does not fit.
    pub(crate) fn apply(
        &self,
        text: &[u8],
        fuel: &mut Fuel,
        out: &mut Vec<u8>,
    ) -> Result<(), Spent> {
        fuel.spend(20 + text.len() as u64 / 8)?;
        let mut stars = Vec::new();
        let mut folded = crate::scratch::Scratch::new();
        let asked = if self.wildcard.any_case {
            folded.out().extend_from_slice(text);
            folded.out().make_ascii_lowercase();
            folded.text()
        } else {
            text
        };
        if !self.wildcard.fits(asked, fuel, &mut stars)? {
            out.extend_from_slice(text);
            return Ok(());
        }
        for piece in &self.template {
            let piece = match piece {
                Piece::Text(text) => &**text,
                Piece::Star(nth) => {
                    let range = stars.get(*nth).map(|(from, to)| *from..*to);
                    range.and_then(|range| text.get(range)).unwrap_or_default()
                }
            };
            fuel.spend(5 + piece.len() as u64 / crate::value::COPIED)?;
            out.extend_from_slice(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(wildcard: &str, text: &str) -> bool {
        let wildcard = Wildcard::new(wildcard.as_bytes(), false).unwrap();
        let fuel = &mut Fuel::new(1 << 30);
        wildcard
            .fits(text.as_bytes(), fuel, &mut Vec::new())
            .unwrap()
    }

    /// What a wildcard means, tried at every place.
    fn naive(wildcard: &[u8], text: &[u8]) -> bool {
        match wildcard {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            [byte, rest @ ..] => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    #[test]
    fn finding_the_first_place_finds_what_trying_all_finds() {
        let mut number = 5_u64;
        let mut letter = |letters: &str| {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            letters.as_bytes()[(number >> 33) as usize % letters.len()] as char
        };
        let mut yes = 0;
        for _ in 0..20_000 {
            let mut wildcard: String = (0..6).map(|_| letter("ab*")).collect();
            while wildcard.contains("**") {
                wildcard = wildcard.replace("**", "*");
            }
            let text: String = (0..7).map(|_| letter("ab")).collect();
            let expected = naive(wildcard.as_bytes(), text.as_bytes());
            assert_eq!(fits(&wildcard, &text), expected, "{wildcard} {text}");
            yes += u32::from(expected);
        }
        assert!(yes > 1_000, "{yes}");
    }

    #[test]
    fn stars_are_escaped_and_not_doubled() {
        assert!(fits(r"a\*b\\*", r"a*b\x") && !fits(r"a\*b", "axb"));
        let wrong = |text: &str| Wildcard::new(text.as_bytes(), false).unwrap_err();
        assert_eq!((wrong("a**").at, wrong("a**").len), (1, 2));
        assert_eq!(wrong(r"ab\c").at, 2);
        assert_eq!(wrong(r"ab\").at, 2);
        assert_eq!(wrong(&"*a".repeat(80)).at, 128);
    }

    #[test]
    fn what_the_stars_stood_for_is_put_elsewhere() {
        let replaced = |text: &str, wildcard: &str, template: &str, any_case| {
            let wildcard = Wildcard::new(wildcard.as_bytes(), any_case).unwrap();
            let replace = Replace::new(wildcard, template.as_bytes()).unwrap();
            let mut out = Vec::new();
            let fuel = &mut Fuel::new(10_000);
            replace.apply(text.as_bytes(), fuel, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (text, wildcard, template, expected) in [
            (
                "https://apps.example.com/calendar/admin?expand=true",
                "https://*.example.com/*/*",
                "https://example.com/${1}/${2}/${3}",
                "https://example.com/apps/calendar/admin?expand=true",
            ),
            ("/calendar", "/*", "/apps/${1}", "/apps/calendar"),
            ("/Apps/Calendar", "/apps/*", "/${1}", "/Calendar"),
            (
                "/apps/calendar/login",
                "/apps/*/login",
                "/${1}/login",
                "/calendar/login",
            ),
            ("/x", "/y*", "/z", "/x"),
            ("/x", "/x", "$$${", "/x"),
        ] {
            if template.ends_with("${") {
                let wildcard = Wildcard::new(b"/x", true).unwrap();
                assert!(Replace::new(wildcard, template.as_bytes()).is_err());
                continue;
            }
            assert_eq!(replaced(text, wildcard, template, true), expected);
        }
        assert_eq!(replaced("/Apps/x", "/apps/*", "/${1}", false), "/Apps/x");
        assert_eq!(replaced("/a", "/*", "$$${1}", true), "$a");
        let wildcard = || Wildcard::new(b"/*", true).unwrap();
        assert!(Replace::new(wildcard(), b"${2}").is_err());
        assert!(Replace::new(wildcard(), b"${0}").is_err());
        assert!(Replace::new(wildcard(), b"${1}".repeat(9).as_slice()).is_err());
    }
}
