//! What a text must have in it for a pattern to occur: bytes, and pieces of text. A text that lacks them need not be asked.
//!
//! It is read off the pattern's syntax, and is never more than what is necessary: what cannot be told is left out. Not here: the
//! search for the pieces, which is one for all patterns ([`Matchers`](crate::program)).

use regex_automata::util::syntax;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::{how, translate};

/// Sets of bytes that are kept for a pattern, and pieces of which one must occur.
const SETS: usize = 6;
const PIECES: usize = 96;
/// Bytes of a piece: shorter ones occur everywhere, longer ones say nothing more.
const SHORTEST: usize = 2;
const LONGEST: usize = 12;

/// Which bytes occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes([u64; 4]);

/// What a text must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Required {
    /// Of each of these one byte.
    sets: Vec<Bytes>,
    /// One of these, in any case; without any nothing is said.
    pieces: Vec<Vec<u8>>,
}

impl Bytes {
    /// The bytes of a text.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut seen = [false; 256];
        for byte in text {
            if let Some(seen) = seen.get_mut(usize::from(*byte)) {
                *seen = true;
            }
        }
        let mut bytes = Self::default();
        for (byte, _) in (0..=255u8).zip(seen).filter(|(_, seen)| *seen) {
            bytes.add(byte);
        }
        bytes
    }

    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte) / 64) {
            *word |= 1 << (byte % 64);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(one, two)| one & two != 0)
    }

    fn has(&self, byte: u8) -> bool {
        let word = self.0.get(usize::from(byte) / 64).copied().unwrap_or(0);
        word & (1 << (byte % 64)) != 0
    }

    /// How likely a text has one of them: letters and digits are in most.
    fn weight(&self) -> u32 {
        let of = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => 16,
            b' ' | b'-' | b'_' | b'.' | b'/' => 8,
            0x21..0x7f => 4,
            _ => 1,
        };
        let all = (0..=255u8).filter(|byte| self.has(*byte));
        all.map(of).sum()
    }
}

impl Required {
    /// What a pattern requires, as SecLang writes it.
    pub(crate) fn of(pattern: &str) -> Self {
        match syntax::parse_with(&translate(pattern), &how(false)) {
            Ok(hir) => Self {
                sets: sets(&hir),
                pieces: pieces(&hir).unwrap_or_default(),
            },
            Err(_) => Self::default(),
        }
    }

    /// Whether a text with these bytes may have the pattern in it.
    pub(crate) fn may_be_in(&self, bytes: &Bytes) -> bool {
        self.sets.iter().all(|set| set.meets(bytes))
    }

    /// The pieces of which one must occur, in lower case; none when nothing can be said.
    pub(crate) fn pieces(&self) -> &[Vec<u8>] {
        &self.pieces
    }
}

/// The bytes of a class; None where it has more than bytes.
fn class(class: &Class) -> Option<Bytes> {
    let mut bytes = Bytes::default();
    match class {
        Class::Bytes(class) => {
            for range in class.ranges() {
                (range.start()..=range.end()).for_each(|byte| bytes.add(byte));
            }
        }
        Class::Unicode(class) => {
            for range in class.ranges() {
                if !range.end().is_ascii() {
                    return None;
                }
                (range.start() as u8..=range.end() as u8).for_each(|byte| bytes.add(byte));
            }
        }
    }
    Some(bytes)
}

/// The sets that say most, the most telling first.
fn sets(hir: &Hir) -> Vec<Bytes> {
    let mut found = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => {
            let single = |byte: &u8| {
                let mut bytes = Bytes::default();
                bytes.add(*byte);
                bytes
            };
            literal.0.iter().map(single).collect()
        }
        HirKind::Class(is) => class(is).into_iter().collect(),
        HirKind::Repetition(repeated) if repeated.min == 0 => Vec::new(),
        HirKind::Repetition(repeated) => sets(&repeated.sub),
        HirKind::Capture(capture) => sets(&capture.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(sets).collect(),
        HirKind::Alternation(ways) => {
            let mut all = Bytes::default();
            for way in ways {
                match sets(way).first() {
                    Some(best) => all.merge(best),
                    None => return Vec::new(),
                }
            }
            vec![all]
        }
    };
    found.sort_by_key(Bytes::weight);
    found.dedup();
    found.truncate(SETS);
    found
}

/// A byte in any case, in lower case, where the class is one.
fn letter(is: &Class) -> Option<u8> {
    let bytes = class(is)?;
    let mut members = (0..=255u8).filter(|byte| bytes.has(*byte));
    match (members.next(), members.next(), members.next()) {
        (Some(one), None, _) => Some(one.to_ascii_lowercase()),
        (Some(one), Some(two), None) if one.eq_ignore_ascii_case(&two) => Some(two),
        _ => None,
    }
}

/// Pieces of which one must occur, in lower case; None when nothing can be said.
fn pieces(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => in_row(std::slice::from_ref(hir)),
        HirKind::Repetition(repeated) if repeated.min == 0 => None,
        HirKind::Repetition(repeated) => pieces(&repeated.sub),
        HirKind::Capture(capture) => pieces(&capture.sub),
        HirKind::Concat(parts) => in_row(parts),
        HirKind::Alternation(ways) => {
            let mut all = Vec::new();
            for way in ways {
                all.extend(pieces(way)?);
                if all.len() > PIECES {
                    return None;
                }
            }
            Some(all)
        }
    }
}

/// The most telling of what the parts of a row require: a run of letters, or what one part requires.
fn in_row(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut best: Option<Vec<Vec<u8>>> = None;
    let mut offer = |pieces: Vec<Vec<u8>>| {
        let value = |pieces: &[Vec<u8>]| {
            let shortest = pieces.iter().map(Vec::len).min().unwrap_or(0);
            (shortest.min(6), std::cmp::Reverse(pieces.len()))
        };
        let is_better = match &best {
            Some(best) => value(&pieces) > value(best),
            None => true,
        };
        if is_better && pieces.iter().all(|piece| piece.len() >= SHORTEST) {
            best = Some(pieces);
        }
    };
    let mut run: Vec<u8> = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => {
                run.extend(literal.0.iter().map(u8::to_ascii_lowercase));
                continue;
            }
            HirKind::Class(is) => {
                if let Some(letter) = letter(is) {
                    run.push(letter);
                    continue;
                }
            }
            // An assertion takes no bytes: what stands around it is one run.
            HirKind::Look(_) => continue,
            _ => {
                if let Some(pieces) = pieces(part) {
                    offer(pieces);
                }
            }
        }
        offer(vec![cut(std::mem::take(&mut run))]);
    }
    offer(vec![cut(run)]);
    best
}

fn cut(mut run: Vec<u8>) -> Vec<u8> {
    run.truncate(LONGEST);
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces_of(pattern: &str) -> Vec<String> {
        let pieces = Required::of(pattern).pieces;
        let texts = pieces.into_iter().map(String::from_utf8);
        texts.map(Result::unwrap).collect()
    }

    #[test]
    fn pieces_are_what_no_match_is_without() {
        assert_eq!(pieces_of(r"(?i)\bunion\s+select"), ["select"]);
        assert_eq!(
            pieces_of(r"(?i)(?:sleep|benchmark)\s*\("),
            ["sleep", "benchmark"]
        );
        assert_eq!(pieces_of(r"x*(?:ab|c)"), [""; 0]);
        assert_eq!(pieces_of(r"[a-z]+=[0-9]"), [""; 0]);
        assert_eq!(pieces_of(r"a\bbc(?:de)?"), ["abc"]);
        assert_eq!(pieces_of(r"(?:wget){2,}"), ["wget"]);
    }

    #[test]
    fn bytes_are_what_no_match_is_without() {
        let may = |pattern: &str, text: &str| {
            Required::of(pattern).may_be_in(&Bytes::of(text.as_bytes()))
        };
        assert!(!may(r"[a-z]+\s*[(<]", "mhOs6JFXLHyE21dFS41Px17-BxIj_"));
        assert!(may(r"[a-z]+\s*[(<]", "f(x)"));
        assert!(!may(r#""|'|(?:;\s*x)"#, "abcx"));
        assert!(
            may(r#""|'|(?:;\s*x)"#, ";"),
            "one set for each way is enough"
        );
        assert!(may(r"(?:[(<])?", "a") && may("", "") && may(r"\x{bc}?", ""));
    }
}
