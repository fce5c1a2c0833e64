//! An object: content that is named by its SHA-256 and stored compressed.

use std::cell::RefCell;
use std::io::{self, Read};

use zstd::bulk::Compressor;

use crate::hash::Hash;
use crate::refused::{Refused, at_most};

/// How hard zstd tries. Writers pack each object once; 330 locations and more fetch it.
const LEVEL: i32 = 9;

/// The largest window that a reader gives to zstd, as a power of two: 8 MiB. What level 9 writes needs 4 MiB.
const WINDOW_LOG: u32 = 23;

/// Bytes that are unpacked at a time.
const PIECE: usize = 16 << 10;

/// An object ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    name: Hash,
    packed: Vec<u8>,
}

impl Object {
    /// Packs content. The name is that of the content, not of what is stored: it stays the same whichever compressor made it.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] when no reader would take it; [`Refused::Malformed`] when zstd fails, which means that there is no
    /// memory.
    pub fn pack(content: &[u8], limit: usize) -> Result<Self, Refused> {
        at_most("an object", content.len(), limit)?;
        let packed =
            pack(content).map_err(|error| Refused::malformed("an object", error.to_string()))?;
        Ok(Self {
            name: Hash::of(content),
            packed,
        })
    }

    /// The name under which it is stored: the SHA-256 of its content.
    #[must_use]
    pub fn name(&self) -> Hash {
        self.name
    }

    /// What is stored: one zstd frame (RFC 8878).
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// As [`Object::packed`], given away.
    #[must_use]
    pub fn into_packed(self) -> Vec<u8> {
        self.packed
    }

    /// Unpacks what was fetched as `name`, up to `limit` bytes, and gives it if it is what the name says. Memory is bounded by the
    /// limit and 8 MiB, time by the limit, whatever the bytes claim.
    ///
    /// # Errors
    /// [`Refused::TooLarge`], [`Refused::Malformed`] (no zstd frame, cut short, something follows), [`Refused::WrongHash`].
    pub fn open(name: &Hash, packed: &[u8], limit: usize) -> Result<Vec<u8>, Refused> {
        let content = unpack(packed, limit)?;
        let found = Hash::of(&content);
        if found != *name {
            return Err(Refused::WrongHash {
                wanted: *name,
                found,
            });
        }
        Ok(content)
    }
}

thread_local! {
    /// What packs with the same memory: at this level it is megabytes, and most objects are kilobytes.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn pack(content: &[u8]) -> io::Result<Vec<u8>> {
    PACKER.with_borrow_mut(|kept| {
        let packer = match kept {
            Some(packer) => packer,
            None => kept.insert(Compressor::new(LEVEL)?),
        };
        packer.compress(content)
    })
}

fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Refused> {
    let wrong = |error: io::Error| Refused::malformed("an object", error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)
        .map_err(wrong)?
        .single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(wrong)?;
    let mut content = Vec::new();
    let mut piece = [0; PIECE];
    loop {
        let length = decoder.read(&mut piece).map_err(wrong)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else {
            break;
        };
        content.extend_from_slice(read);
        at_most("an object", content.len(), limit)?;
    }
    match decoder.finish() {
        [] => Ok(content),
        more => Err(Refused::malformed(
            "an object",
            format!("{} bytes follow its end", more.len()),
        )),
    }
}
