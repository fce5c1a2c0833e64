//! Compression of what the origin sent as it is.

use super::guard::media_type;
use super::reader::{Reader, put};
use super::write::Entries;

/// What is compressed on its way to the client; a zone without it compresses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// Content codings, the one that we like best first. Default zstd, br, gzip.
    pub codings: Vec<Coding>,
    /// Media types, `type/subtype` or `type/*`, in lower case, without parameters. Default: those that are mostly text.
    pub types: Vec<String>,
    /// Bytes below which a response stays as it is. Default 256.
    pub least: u64,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Zstandard (RFC 8878), with a window that every client has (RFC 9659).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// Its name in `Content-Encoding` (RFC 9110 §8.4.1, RFC 7932 §13, RFC 8878 §7.2).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The media types that are compressed if nothing is said.
const TYPES: &[&str] = &[
    "text/*",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/problem+json",
    "application/xml",
    "application/atom+xml",
    "application/rss+xml",
    "application/xhtml+xml",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/x-icon",
];

impl Default for Compress {
    fn default() -> Self {
        Self {
            codings: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip],
            types: TYPES.iter().map(|&name| name.into()).collect(),
            least: 256,
        }
    }
}

impl Compress {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut compress = Self::default();
        let help = "leave `compress` out, and nothing is compressed";
        reader.refuse_empty("codings", help);
        reader.refuse_empty("types", help);
        let codings = reader.words("codings").map(|words| {
            let known = words.iter().map(|word| match *word {
                "zstd" => Coding::Zstd,
                "br" => Coding::Brotli,
                _ => Coding::Gzip,
            });
            known.collect()
        });
        put(&mut compress.codings, codings);
        let most = reader.limits.content_types;
        put(&mut compress.types, reader.list("types", most, media_type));
        put(&mut compress.least, reader.size("least"));
        reader.close();
        compress
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        if self.codings != default.codings {
            let names: Vec<&str> = self.codings.iter().map(|coding| coding.name()).collect();
            entries.list("codings", &names);
        }
        if self.types != default.types {
            entries.list("types", &self.types);
        }
        entries.size("least", self.least, default.least);
        entries
    }
}
