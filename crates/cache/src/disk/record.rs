//! Reading a record of a response straight into the memory that is sent: what it says of itself first, then its body, piece by piece.
//!
//! Every byte is compared with its checksum where it lies then, so that what a disk does afterwards changes nothing of what was looked at.

use std::sync::Arc;

use super::format::{self, HEADER, Header, Kind, Meta, Place, SLICE};
use crate::memory::{PIECE, Piece};

/// Bytes that are read first: the header, what is to be known of most responses, and all of a small one.
const FRONT: usize = 4096;

// A piece has one checksum.
const _: () = assert!(PIECE == SLICE);

/// Reads the record of `length` bytes at `place` by `read`, which fills a buffer from an offset of the segment. None: it is not what was
/// written, or no response.
///
/// # Errors
/// Those of `read`.
pub(super) fn read<E>(
    place: Place,
    length: u32,
    mut read: impl FnMut(&mut [u8], u64) -> Result<(), E>,
) -> Result<Option<(Meta, Vec<Piece>)>, E> {
    let length = length as usize;
    let offset = |at: usize| u64::from(place.offset) + at as u64;
    let mut front = [0; FRONT];
    let front = front.get_mut(..length.min(FRONT)).unwrap_or_default();
    read(front, offset(0))?;
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
            long.resize(header.meta as usize, 0);
            read(&mut long, offset(HEADER))?;
            &long
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
    read: impl FnOnce(&mut [u8], usize) -> Result<(), E>,
) -> Result<Piece, E> {
    let here = here.get(..size).unwrap_or(here);
    if here.len() == size {
        return Ok(here.into());
    }
    // SAFETY: bytes that are zero are bytes.
    let mut piece: Piece = unsafe { Arc::<[u8]>::new_zeroed_slice(size).assume_init() };
    if let Some((front, rest)) =
        Arc::get_mut(&mut piece).and_then(|all| all.split_at_mut_checked(here.len()))
    {
        front.copy_from_slice(here);
        read(rest, here.len())?;
    }
    Ok(piece)
}
