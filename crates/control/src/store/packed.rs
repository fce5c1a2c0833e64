//! Documents and contents of files as stores keep them: packed, by the hash of what was packed.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::MOST_CONTENT;
use crate::version::Hash;

/// What all is packed with: half the time of the default for a few hundredths more bytes.
const LEVEL: i32 = 1;

/// A document or a content, packed.
#[derive(Debug)]
pub(super) struct Packed {
    pub hash: Hash,
    /// Bytes before packing.
    pub size: u64,
    pub zstd: Vec<u8>,
}

/// What packs many of them with the same memory.
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        Compressor::new(LEVEL).map(Self)
    }

    pub(super) fn pack(&mut self, bytes: &[u8]) -> std::io::Result<Packed> {
        Ok(Packed {
            hash: Hash::of(bytes),
            size: bytes.len() as u64,
            zstd: self.0.compress(bytes)?,
        })
    }
}

thread_local! {
    /// What unpacks with the same memory: making that takes longer than unpacking a document.
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn unpack(packed: &[u8], size: usize) -> std::io::Result<Vec<u8>> {
    UNPACKER.with_borrow_mut(|kept| {
        let unpacker = match kept {
            Some(unpacker) => unpacker,
            None => kept.insert(Decompressor::new()?),
        };
        unpacker.decompress(packed, size)
    })
}

/// Unpacks it; what is wrong with it otherwise, in words.
pub(super) fn unpacked(wanted: &Hash, size: i64, packed: &[u8]) -> Result<Vec<u8>, String> {
    let bad = |what: &str| format!("{wanted} {what}");
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > MOST_CONTENT {
        return Err(bad("is larger than anything can be"));
    }
    let bytes = unpack(packed, size).map_err(|_| bad("cannot be unpacked"))?;
    if Hash::of(&bytes) != *wanted {
        return Err(bad("is not what was stored"));
    }
    Ok(bytes)
}

/// A document's text.
pub(super) fn text(wanted: &Hash, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| format!("document {wanted} is no text"))
}
