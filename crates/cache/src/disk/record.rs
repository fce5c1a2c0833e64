//! Reading a record of a response straight into the memory that is sent: what it says of itself first, then its body, piece by piece.
//!
//! Every byte is compared with its checksum where it lies then, so that what a disk does afterwards changes nothing of what was looked at.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::format::{self, HEADER, Header, Kind, Meta, Place, SLICE};
use crate::memory::{PIECE, Piece};

/// Bytes that are read first: the header, what is to be known of most responses, and all of a small one.
const FRONT: usize = 4096;

// A piece has one checksum.
const _: () = assert!(PIECE == SLICE);

/// Reads the record of `length` bytes at `place` by `read`, which fills a buffer from an offset of the segment and gives it back. None:
/// it is not what was written, or no response.
///
/// # Errors
/// Those of `read`.
pub(super) fn read<E>(
    place: Place,
    length: u32,
    mut read: impl for<'b> FnMut(&'b mut [MaybeUninit<u8>], u64) -> Result<&'b mut [u8], E>,
) -> Result<Option<(Meta, Vec<Piece>)>, E> {
    let length = length as usize;
    let offset = |at: usize| u64::from(place.offset) + at as u64;
    let mut front = [MaybeUninit::uninit(); FRONT];
    let front = front.get_mut(..length.min(FRONT)).unwrap_or_default();
    let front = read(front, offset(0))?;
    let Some(header) = Header::read(place, front) else {
        return Ok(None);
    };
    let start = HEADER + header.meta as usize;
    if header.kind != Kind::Response || header.length() != length as u64 {
        return Ok(None);
    }
    let mut long = Vec::new();
    let known = match front.get(HEADER..start) {
        Some(known) => known,
        None => {
            long.resize(header.meta as usize, MaybeUninit::uninit());
            read(&mut long, offset(HEADER))?
        }
    };
    if format::crc(known) != header.meta_crc {
        return Ok(None);
    }
    let Some(meta) = format::meta(known) else {
        return Ok(None);
    };
    let mut pieces = Vec::with_capacity(meta.slices.len());
    for at in (start..length).step_by(PIECE) {
        let here = front.get(at..).unwrap_or_default();
        let piece = piece(PIECE.min(length - at), here, |rest, before| {
            read(rest, offset(at + before))
        })?;
        if meta.slices.get(pieces.len()) != Some(&format::crc(&piece)) {
            return Ok(None);
        }
        pieces.push(piece);
    }
    let is_whole = pieces.len() == meta.slices.len();
    Ok(is_whole.then_some((meta, pieces)))
}

/// A piece of `size` bytes, of which the first ones are here; `read` fills the rest, which begins so many bytes behind the start.
fn piece<E>(
    size: usize,
    here: &[u8],
    read: impl for<'b> FnOnce(&'b mut [MaybeUninit<u8>], usize) -> Result<&'b mut [u8], E>,
) -> Result<Piece, E> {
    let here = here.get(..size).unwrap_or(here);
    if here.len() == size {
        return Ok(here.into());
    }
    let mut piece = Arc::<[u8]>::new_uninit_slice(size);
    let parts = Arc::get_mut(&mut piece).and_then(|all| all.split_at_mut_checked(here.len()));
    let Some((front, rest)) = parts else {
        // It is nobody else's, and larger than what is here.
        return Ok(here.into());
    };
    front.write_copy_of_slice(here);
    let (at, bytes) = (rest.as_ptr().cast(), rest.len());
    let read = read(rest, here.len())?;
    if !std::ptr::eq(read.as_ptr(), at) || read.len() != bytes {
        // Another buffer than was given: its checksum will tell.
        return Ok(here.into());
    }
    // SAFETY: what was here is written, and so is the rest: it was given back as bytes.
    Ok(unsafe { piece.assume_init() })
}
