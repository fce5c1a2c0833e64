//! What is there at a start: the index, from the segments.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::folder::Folder;
use super::format::{self, HEADER, Header, Kind, Listed, Place, TRAILER};
use super::index::{Index, Location};
use super::{Disk, Segment};

/// The most bytes of a footer that is read.
const MOST_FOOTER: u64 = 1 << 30;

/// Loads the index; tells the segments with their sizes, the oldest first. A segment that cannot be read is taken away.
pub(super) fn load(disk: &Disk, folder: &Folder) -> io::Result<Vec<(u32, u64)>> {
    let mut sizes = Vec::new();
    for (id, path) in folder.segments()? {
        match segment(disk, folder.store(), id, &path) {
            Ok(size) => sizes.push((id, size)),
            Err(error) => {
                disk.failed("a part of the cache cannot be read, and goes", error);
                std::fs::remove_file(&path)?;
            }
        }
    }
    Ok(sizes)
}

fn segment(disk: &Disk, store: u64, id: u32, path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let size = file.metadata()?.len();
    let (all, size) = match by_footer(disk, &file, store, id, size)? {
        Some(all) => (all, size),
        None => by_headers(disk, &file, store, id, size)?,
    };
    disk.index(|index| all.iter().for_each(|one| apply(index, id, one)));
    let mut segments = disk
        .segments
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    segments.insert(id, Arc::new(Segment { file }));
    Ok(size)
}

/// What one record means for those before it.
fn apply(index: &Index, segment: u32, one: &Listed) {
    match one.kind {
        Kind::Response => {
            let at = Location {
                segment,
                offset: one.offset,
                length: one.length,
            };
            index.insert(one.name, at);
        }
        Kind::UrlGone => index.remove_url(one.name.url),
        Kind::KeyGone => index.remove_key(one.name.url, one.name.key),
    }
}

/// What a segment lists at its end; none where it was not full.
pub(super) fn by_footer(
    disk: &Disk,
    file: &File,
    store: u64,
    id: u32,
    size: u64,
) -> io::Result<Option<Vec<Listed>>> {
    let Some(at) = size.checked_sub(TRAILER as u64) else {
        return Ok(None);
    };
    let mut trailer = [0; TRAILER];
    disk.io.read(file, &mut trailer, at)?;
    let length = format::footer_length(&trailer).map(|length| length as u64);
    let Some(length) = length.filter(|length| *length <= size.min(MOST_FOOTER)) else {
        return Ok(None);
    };
    let mut footer = vec![0; length as usize];
    disk.io.read(file, &mut footer, size - length)?;
    Ok(format::listed(store, id, &footer))
}

/// What its headers tell, up to the first that is none: there the process died. It gets the list that it lacks.
fn by_headers(
    disk: &Disk,
    file: &File,
    store: u64,
    id: u32,
    size: u64,
) -> io::Result<(Vec<Listed>, u64)> {
    let mut all = Vec::new();
    let mut at = 0u64;
    while at + HEADER as u64 <= size {
        let Ok(offset) = u32::try_from(at) else {
            break;
        };
        let mut bytes = [0; HEADER];
        disk.io.read(file, &mut bytes, at)?;
        let place = Place {
            store,
            segment: id,
            offset,
        };
        let Some(header) = Header::read(place, &bytes) else {
            break;
        };
        let length = header.length();
        let Some(short) = u32::try_from(length).ok().filter(|_| at + length <= size) else {
            break;
        };
        all.push(Listed {
            kind: header.kind,
            name: header.name,
            offset,
            length: short,
        });
        at += length;
    }
    file.set_len(at)?;
    let footer = format::footer(store, id, &all);
    disk.io.write(file, &footer, at)?;
    Ok((all, at + footer.len() as u64))
}
