//! Versions: what a chain is, what a version of it is, and how a Document is cut into the documents of chains and put together
//! again.
//!
//! A chain is a zone, or the platform: what all zones share. A version is immutable. Its document is canonical text, so that
//! equal documents have equal hashes: [`split`] and [`seawall_model::Document::to_toml`] say what that text is.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use seawall_model::Document;
use seawall_model::document::Zone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What has versions of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// What all zones share: `[edge]` and `[lists]`.
    Platform,
    /// The zone of this name.
    Zone(String),
}

impl Chain {
    /// The zone's name; none for the platform.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Self::Platform => None,
            Self::Zone(name) => Some(name),
        }
    }
}

impl fmt::Display for Chain {
    /// `platform`, or `zone/` and the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Zone(name) => write!(f, "zone/{name}"),
        }
    }
}

/// A text is neither `platform` nor `zone/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no chain: write \"platform\", or \"zone/\" and the zone's name")]
pub struct NoChain(String);

impl FromStr for Chain {
    type Err = NoChain;

    fn from_str(text: &str) -> Result<Self, NoChain> {
        match text.strip_prefix("zone/") {
            Some(name) if !name.is_empty() => Ok(Self::Zone(name.to_owned())),
            None if text == "platform" => Ok(Self::Platform),
            _ => Err(NoChain(text.to_owned())),
        }
    }
}

impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A SHA-256 (FIPS 180-4). As text: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first entry of a log has as the hash of the one before it.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// The hash of these bytes, one behind the other.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hashing = Hashing::default();
        for part in parts {
            hashing.take(part);
        }
        hashing.end()
    }

    /// Its 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash that these bytes are; none unless there are 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// A hash of bytes that come one after the other.
#[derive(Clone)]
pub struct Hashing(digest::Context);

impl Default for Hashing {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Hashing {
    /// The next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all that were taken.
    pub fn end(self) -> Hash {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        Hash(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no hash: 64 lower-case hexadecimal digits are one")]
pub struct NoHash;

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NoHash),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(NoHash);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// One immutable version of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Whose it is.
    pub chain: Chain,
    /// Its number in the chain: 1, 2, 3, none left out.
    pub number: u64,
    /// The version that was the chain's head before it; none for the first.
    pub parent: Option<u64>,
    /// The SHA-256 of its document's text. Of a tombstone: that of the last document, which a restore brings back.
    pub hash: Hash,
    /// Who made it.
    pub author: String,
    /// In the author's words.
    pub why: String,
    /// When, in seconds of Unix time by the clock of who made it. It orders nothing: numbers do.
    pub at: u64,
    /// Whether the zone is deleted as of this version.
    pub tombstone: bool,
}

/// A zone's canonical document: a Document with that zone alone.
pub fn zone_text(zone: &Zone) -> String {
    let alone = Document {
        zones: vec![zone.clone()],
        ..Document::default()
    };
    alone.to_toml()
}

/// The platform's canonical document: a Document with `[edge]` and `[lists]` alone.
pub fn platform_text(document: &Document) -> String {
    let alone = Document {
        schema: document.schema,
        edge: document.edge.clone(),
        lists: document.lists.clone(),
        zones: Vec::new(),
    };
    alone.to_toml()
}

/// Cuts a Document into those of its chains: the platform's first, then each zone's in the order of the file.
pub fn split(document: &Document) -> impl Iterator<Item = (Chain, String)> + '_ {
    let platform = std::iter::once_with(|| (Chain::Platform, platform_text(document)));
    let zones = document
        .zones
        .iter()
        .map(|zone| (Chain::Zone(zone.name.clone()), zone_text(zone)));
    platform.chain(zones)
}

/// Puts documents of chains together to the text of one Document, which is what the edge compiles. The platform's comes first;
/// zones stand in the order that they are given in. The inverse of [`split`], for texts that it made.
pub fn assemble<'t>(platform: &str, zones: impl IntoIterator<Item = &'t str>) -> String {
    let mut out = platform.to_owned();
    for zone in zones {
        // Each text begins with the line of the schema, which stands in a document once.
        out.push_str(zone.split_once('\n').map_or(zone, |(_, rest)| rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use seawall_model::{Limits, document};

    use super::*;

    const TEXT: &str = r#"
schema = 1

[edge]
location = "lhr"

[lists.office]
ips = ["203.0.113.0/24"]

[[zone]]
hosts = ["b.test"]
name = "b"
origin = [{ url = "http://127.0.0.1:1" }]

[[zone]]
name = "a"
hosts = ["a.test"]
origin = [{ weight = 2, url = "http://127.0.0.1:2" }]
[zone.lists]
block = ["office"]
[[zone.rule]]
when = 'ip.src in $office'
action = "block"
"#;

    fn parse(text: &str) -> Document {
        document::parse(text, &Limits::default()).expect("a good document")
    }

    #[test]
    fn what_is_cut_apart_is_the_same_when_it_is_put_together() {
        let document = parse(TEXT);
        let parts: Vec<_> = split(&document).collect();
        let chains: Vec<String> = parts.iter().map(|(chain, _)| chain.to_string()).collect();
        assert_eq!(chains, ["platform", "zone/b", "zone/a"]);
        let texts: Vec<&str> = parts.iter().map(|(_, text)| text.as_str()).collect();
        let whole = assemble(texts[0], texts[1..].iter().copied());
        assert_eq!(whole, document.to_toml());
        assert_eq!(parse(&whole), document);
    }

    #[test]
    fn a_spelling_makes_no_version_and_a_change_makes_one() {
        let of = |text: &str| -> Vec<Hash> {
            split(&parse(text))
                .map(|(_, text)| Hash::of(text.as_bytes()))
                .collect()
        };
        let spelt = TEXT.replace(
            "weight = 2, url = \"http://127.0.0.1:2\"",
            "url = 'http://127.0.0.1:2', weight = 2",
        );
        assert_ne!(spelt, TEXT);
        assert_eq!(of(&spelt), of(TEXT));
        let changed = of(&TEXT.replace("127.0.0.1:2", "127.0.0.1:3"));
        assert_eq!(changed[..2], of(TEXT)[..2]);
        assert_ne!(changed[2], of(TEXT)[2]);
    }

    #[test]
    fn names_of_chains_and_hashes_are_read_back() {
        for chain in [Chain::Platform, Chain::Zone("example.com".into())] {
            assert_eq!(chain.to_string().parse(), Ok(chain));
        }
        for text in ["", "zone/", "Platform", "example.com"] {
            assert!(text.parse::<Chain>().is_err(), "{text:?}");
        }
        let hash = Hash::of(b"abc");
        // FIPS 180-4's own example.
        assert!(hash.to_string().starts_with("ba7816bf8f01cfea"));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for text in [
            String::new(),
            "0".repeat(63),
            "0".repeat(65),
            "G".repeat(64),
            "A".repeat(64),
        ] {
            assert_eq!(text.parse::<Hash>(), Err(NoHash), "{text:?}");
        }
    }
}
