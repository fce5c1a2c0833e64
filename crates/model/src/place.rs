//! Where an address is, as far as somebody knows: country, continent, autonomous system.
//!
//! Not here: the files that say so, and reading them.

use std::fmt;
use std::net::IpAddr;

/// Where an address is. Nothing of it is known without data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The country (ISO 3166-1 alpha-2), in upper case.
    pub country: Code,
    /// The continent: `AF AN AS EU NA OC SA`.
    pub continent: Code,
    /// The autonomous system's number (RFC 6793); 0, which is none (RFC 7607), where it is not known.
    pub asn: u32,
}

/// Two letters, or nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Code(Option<[u8; 2]>);

impl Code {
    /// From two ASCII letters in any case; anything else is nothing.
    pub fn new(text: &[u8]) -> Self {
        let letters: Option<[u8; 2]> = text.try_into().ok();
        let letters = letters.filter(|letters| letters.iter().all(u8::is_ascii_alphabetic));
        Self(letters.map(|letters| letters.map(|letter| letter.to_ascii_uppercase())))
    }

    /// Its letters; empty where it is not known.
    pub const fn bytes(&self) -> &[u8] {
        match &self.0 {
            Some(letters) => letters,
            None => b"",
        }
    }

    /// The same as text.
    pub fn text(&self) -> &str {
        // Letters of ASCII.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The members of the European Union, and the territories for which Cloudflare says so too.
const EUROPEAN_UNION: &[u8] =
    b"AT AX BE BG CY CZ DE DK EE ES FI FR GF GP GR HR HU IE IT LT LU LV MF MQ MT NL PL PT RE RO SE SI SK YT";

impl Place {
    /// Whether the country belongs to the European Union.
    pub fn is_in_european_union(&self) -> bool {
        let mut all = EUROPEAN_UNION.split(|byte| *byte == b' ');
        all.any(|code| code == self.country.bytes())
    }
}

/// Who knows where addresses are.
pub trait Places: Send + Sync + fmt::Debug {
    /// Fuel for one look.
    fn price(&self) -> u64;

    /// Where this one is.
    fn place(&self, ip: IpAddr) -> Place;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_two_letters() {
        assert_eq!(Code::new(b"de").text(), "DE");
        for none in ["", "D", "DEU", "D1", "--"] {
            assert_eq!(Code::new(none.as_bytes()).bytes(), b"", "{none}");
        }
    }

    #[test]
    fn the_union_has_its_members() {
        let place = |code: &str| Place {
            country: Code::new(code.as_bytes()),
            ..Place::default()
        };
        assert!(place("FR").is_in_european_union() && place("yt").is_in_european_union());
        assert!(!place("GB").is_in_european_union() && !place("").is_in_european_union());
    }
}
