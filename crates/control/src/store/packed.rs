//! Documents as stores keep them: packed, by the hash of what was packed.

use super::MOST_DOCUMENT;
use crate::version::Hash;

/// What a document is packed with: half the time of the default for a few hundredths more bytes.
const LEVEL: i32 = 1;

/// A document, packed.
#[derive(Debug)]
pub(super) struct Packed {
    pub hash: Hash,
    /// Bytes before packing.
    pub size: u64,
    pub zstd: Vec<u8>,
}

/// What packs many documents with the same memory.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        zstd::bulk::Compressor::new(LEVEL).map(Self)
    }

    pub(super) fn pack(&mut self, text: &str) -> std::io::Result<Packed> {
        Ok(Packed {
            hash: Hash::of(text.as_bytes()),
            size: text.len() as u64,
            zstd: self.0.compress(text.as_bytes())?,
        })
    }
}

/// Unpacks a document; what is wrong with it otherwise, in words.
pub(super) fn unpacked(wanted: &Hash, size: i64, packed: &[u8]) -> Result<String, String> {
    let bad = |what: &str| format!("document {wanted} {what}");
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > MOST_DOCUMENT {
        return Err(bad("is larger than a document can be"));
    }
    let bytes = zstd::bulk::decompress(packed, size).map_err(|_| bad("cannot be unpacked"))?;
    if Hash::of(&bytes) != *wanted {
        return Err(bad("is not what was stored"));
    }
    String::from_utf8(bytes).map_err(|_| bad("is no text"))
}
