//! Looking for a text in a text, at a price that is known.
//!
//! Most texts do not have what is looked for, and a search for its rarest byte tells so at nearly no cost. Somebody who knows what is
//! looked for can send that byte over and over: each place is paid for, and past a number of them a search takes over that is linear
//! whatever is sent, and is paid for as such.

use std::hash::{Hash, Hasher};

use memchr::memmem::Finder;
use seawall_model::{Fuel, Spent};

/// Units for beginning.
const BEGIN: u64 = 8;
/// Bytes for one unit while the rarest byte is looked for.
const SKIMMED: u64 = 80;
/// Units for a place that has the rarest byte, and bytes compared there for one unit.
const PLACE: u64 = 6;
const COMPARED: u64 = 32;
/// One place in so many bytes is expected; more are suspicious.
const EXPECTED: usize = 16;
/// Units for ten bytes of the search that is linear whatever is sent.
const TEN_BYTES: u64 = 10;

/// A text that is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    finder: Finder<'static>,
    rarest: u8,
    /// Where in the text the rarest byte is.
    at: usize,
}

impl Needle {
    pub(crate) fn new(text: &[u8]) -> Self {
        let rarest = text
            .iter()
            .enumerate()
            .min_by_key(|(_, byte)| how_common(**byte));
        let (at, rarest) = rarest.map_or((0, 0), |(at, byte)| (at, *byte));
        Self {
            finder: Finder::new(text).into_owned(),
            rarest,
            at,
        }
    }

    /// What is looked for.
    pub(crate) fn text(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Where `text` has it first.
    pub(crate) fn find(&self, text: &[u8], fuel: &mut Fuel) -> Result<Option<usize>, Spent> {
        let needle = self.finder.needle();
        fuel.spend(BEGIN + text.len() as u64 / SKIMMED)?;
        if needle.is_empty() {
            return Ok(Some(0));
        }
        let Some(behind) = text.get(self.at..) else {
            return Ok(None);
        };
        let mut places = 16 + text.len() / EXPECTED;
        for start in memchr::memchr_iter(self.rarest, behind) {
            fuel.spend(PLACE + needle.len() as u64 / COMPARED)?;
            match text.get(start..start + needle.len()) {
                None => return Ok(None),
                Some(there) if there == needle => return Ok(Some(start)),
                Some(_) => {}
            }
            places -= 1;
            if places == 0 {
                let rest = text.get(start..).unwrap_or_default();
                fuel.spend(rest.len() as u64 * TEN_BYTES / 10)?;
                return Ok(self.finder.find(rest).map(|found| start + found));
            }
        }
        Ok(None)
    }
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Needle {}

impl Hash for Needle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

/// How common a byte is in what clients send, roughly: letters by their frequency in English, then what stands in every URL.
fn how_common(byte: u8) -> usize {
    const RISING: &[u8] = b"qzjxkvbywgpfmucdlhrsnioate";
    match byte {
        b'a'..=b'z' => 30 + 2 * RISING.iter().position(|other| *other == byte).unwrap_or(0),
        b'A'..=b'Z' => 15,
        b'0'..=b'9' => 70,
        b'/' | b' ' | b'.' | b'-' | b'=' | b'&' | b'%' | b';' | b',' => 90,
        0x80.. => 20,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(needle: &str, text: &str) -> bool {
        let mut fuel = Fuel::new(u64::MAX);
        Needle::new(needle.as_bytes())
            .find(text.as_bytes(), &mut fuel)
            .unwrap()
            .is_some()
    }

    #[test]
    fn texts_are_found_wherever_they_are() {
        for (needle, text) in [
            ("", ""),
            ("", "a"),
            ("a", "a"),
            ("abc", "abc"),
            ("union", "a reunion"),
            ("zx", "zzzx"),
        ] {
            assert!(is_in(needle, text), "{needle} in {text}");
        }
        for (needle, text) in [
            ("a", ""),
            ("abc", "ab"),
            ("abc", "abxabd"),
            ("qa", "q"),
            ("aq", "q"),
            ("aq", "qaxq"),
        ] {
            assert!(!is_in(needle, text), "{needle} in {text}");
        }
    }

    #[test]
    fn both_searches_find_the_same() {
        let mut number = 9u64;
        let mut byte = || {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if number >> 60 < 8 { 'q' } else { 'a' }
        };
        for length in [1, 2, 3, 9, 13] {
            for _ in 0..400 {
                let needle: String = (0..length).map(|_| byte()).collect();
                let text: String = (0..300).map(|_| byte()).collect();
                let found =
                    Needle::new(needle.as_bytes()).find(text.as_bytes(), &mut Fuel::new(1 << 30));
                assert_eq!(found, Ok(text.find(&needle)), "{needle} {text}");
            }
        }
    }

    #[test]
    fn who_sends_the_rarest_byte_pays_for_it() {
        let needle = Needle::new(b"qab");
        let cost = |text: &str| {
            let mut fuel = Fuel::new(u64::MAX);
            assert_eq!(needle.find(text.as_bytes(), &mut fuel), Ok(None));
            fuel.used()
        };
        let (harmless, hostile) = (cost(&"ab".repeat(5000)), cost(&"qa".repeat(5000)));
        assert!(harmless < 200, "{harmless}");
        assert!((10_000..20_000).contains(&hostile), "{hostile}");
    }
}
