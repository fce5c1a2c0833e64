//! How a response lies in a segment: a header of 64 bytes, what is to be known of the response, its body.
//!
//! Everything has a checksum, the body one for each slice, so that whatever a disk, a crash or a foreign hand made of it is found out
//! before a byte of it is served. The header's also covers which store, segment and place it was written for: what lies elsewhere, or
//! is left from an earlier use, is no record. Pure: bytes in, bytes out.

use crc_fast::{CrcAlgorithm, Digest, checksum};
use seawall_model::{FieldId, Fields};

use crate::head::Head;
use crate::memory::Entry;
use crate::policy::{Life, Time, Vary};
use crate::slices::Sliced;

/// The version of the format; a store of another one is empty.
pub(super) const VERSION: u32 = 2;
/// Bytes of a header.
pub(super) const HEADER: usize = 64;
/// Bytes of a body under one checksum.
pub(super) const SLICE: usize = 256 * 1024;
/// The most bytes of what is to be known of a response: heads are bounded far below.
pub(super) const MOST_META: usize = 1 << 20;

const MAGIC: [u8; 4] = *b"SWCR";
const CRC: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;

/// Where a record lies; part of its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Which store.
    pub(super) store: u64,
    /// Which of its segments.
    pub(super) segment: u32,
    /// Where in that.
    pub(super) offset: u32,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A response.
    Response = 1,
    /// All of a URL that lies before it is gone.
    UrlGone = 2,
    /// All of a key of a URL that lies before it is gone.
    KeyGone = 3,
}

impl Kind {
    pub(super) const fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Response,
            2 => Self::UrlGone,
            3 => Self::KeyGone,
            _ => return None,
        })
    }
}

/// What the index knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Of zone, host and target.
    pub(super) url: u64,
    /// Of the key.
    pub(super) key: u32,
    /// Of what the response varies by, and of what its request had of that.
    pub(super) variant: u32,
    /// The zone.
    pub(super) zone: u64,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) name: Name,
    /// Bytes of what is to be known.
    pub(super) meta: u32,
    /// Bytes of the body.
    pub(super) body: u32,
    /// The checksum of what is to be known.
    pub(super) meta_crc: u64,
}

impl Header {
    /// Bytes of the whole record.
    pub(super) const fn length(&self) -> u64 {
        (HEADER as u64) + self.meta as u64 + self.body as u64
    }

    pub(super) fn write(&self, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.kind as u8, 0, 0, 0]);
        out.extend_from_slice(&self.meta.to_le_bytes());
        out.extend_from_slice(&self.body.to_le_bytes());
        out.extend_from_slice(&self.name.url.to_le_bytes());
        out.extend_from_slice(&self.name.key.to_le_bytes());
        out.extend_from_slice(&self.name.variant.to_le_bytes());
        out.extend_from_slice(&self.name.zone.to_le_bytes());
        out.extend_from_slice(&self.meta_crc.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let crc = placed(place, out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// None where there is no header that was written for this place.
    pub(super) fn read(place: Place, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let (front, crc) = bytes.split_last_chunk::<8>()?;
        (placed(place, front) == u64::from_le_bytes(*crc)).then_some(())?;
        let mut from = Bytes(front);
        (*from.array::<4>()? == MAGIC).then_some(())?;
        let kind = Kind::of(from.array::<4>()?.first().copied()?)?;
        let (meta, body) = (from.u32()?, from.u32()?);
        let name = Name {
            url: from.u64()?,
            key: from.u32()?,
            variant: from.u32()?,
            zone: from.u64()?,
        };
        Some(Self {
            kind,
            name,
            meta,
            body,
            meta_crc: from.u64()?,
        })
    }
}

fn placed(place: Place, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(CRC);
    digest.update(&place.store.to_le_bytes());
    digest.update(&place.segment.to_le_bytes());
    digest.update(&place.offset.to_le_bytes());
    digest.update(bytes);
    digest.finalize()
}

/// The checksum of some bytes.
pub(super) fn crc(bytes: &[u8]) -> u64 {
    checksum(CRC, bytes)
}

/// What is to be known of a response beside its body.
#[derive(Debug)]
pub(super) struct Meta {
    pub(super) key: Box<[u8]>,
    pub(super) head: Head,
    pub(super) life: Life,
    pub(super) vary: Vary,
    pub(super) selecting: Box<[u8]>,
    pub(super) rules: u64,
    pub(super) zone: u64,
    pub(super) begun: u64,
    pub(super) host: Box<[u8]>,
    pub(super) target: Box<[u8]>,
    pub(super) outdated: Option<Time>,
    /// By what the slices of its body are found, and its length, where it is stored so.
    pub(super) sliced: Option<(Sliced, u64)>,
    /// The checksum of each slice.
    pub(super) slices: Box<[u64]>,
}

/// The whole record of a response; none where it is too large for one.
pub(super) fn response(place: Place, name: Name, key: &[u8], entry: &Entry) -> Option<Vec<u8>> {
    let mut meta = Vec::with_capacity(512 + key.len() + entry.head.raw().len());
    write_meta(key, entry, &mut meta);
    let header = Header {
        kind: Kind::Response,
        name,
        meta: u32::try_from(meta.len())
            .ok()
            .filter(|l| *l as usize <= MOST_META)?,
        body: u32::try_from(entry.body.here()).ok()?,
        meta_crc: crc(&meta),
    };
    let mut out = Vec::with_capacity(HEADER + meta.len() + entry.body.here() as usize);
    header.write(place, &mut out);
    out.extend_from_slice(&meta);
    for piece in entry.body.pieces() {
        out.extend_from_slice(piece);
    }
    Some(out)
}

/// A record that says that something is gone.
pub(super) fn gone(place: Place, kind: Kind, name: Name) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    Header {
        kind,
        name,
        meta: 0,
        body: 0,
        meta_crc: 0,
    }
    .write(place, &mut out);
    out
}

fn write_meta(key: &[u8], entry: &Entry, out: &mut Vec<u8>) {
    let text = |out: &mut Vec<u8>, text: &[u8]| {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
    };
    text(out, key);
    out.extend_from_slice(&entry.head.status().to_le_bytes());
    let lines: Vec<_> = entry.head.iter().collect();
    out.extend_from_slice(&(lines.len() as u32).to_le_bytes());
    for (_, name, value) in lines {
        text(out, name);
        text(out, value);
    }
    let life = &entry.life;
    for number in [
        life.received.0,
        life.initial_age,
        u64::from(life.lifetime),
        u64::from(life.stale_while_revalidate),
        u64::from(life.stale_if_error),
        u64::from(life.validates_always)
            | u64::from(life.never_stale) << 1
            | u64::from(life.only_as_told) << 2
            | u64::from(life.immutable) << 3,
        entry.rules,
        entry.stamp.zone,
        entry.stamp.begun(),
        entry.stamp.outdated().map_or(0, |at| at.0),
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let names: Vec<&[u8]> = entry.vary.names().collect();
    text(out, &names.join(&b','));
    text(out, &entry.selecting);
    text(out, entry.stamp.host());
    text(out, entry.stamp.target());
    // By what the slices of a body are found that is not in this record.
    let sliced = entry.body.sliced();
    let sliced = sliced.map(|sliced| sliced.bytes(entry.body.length()));
    text(out, sliced.as_ref().map_or(&[][..], |bytes| bytes));
    let slices = Slices::of(entry);
    out.extend_from_slice(&(slices.len() as u32).to_le_bytes());
    for slice in slices {
        out.extend_from_slice(&slice.to_le_bytes());
    }
}

/// What is to be known, of bytes whose checksum was right already.
pub(super) fn meta(bytes: &[u8]) -> Option<Meta> {
    let mut from = Bytes(bytes);
    let key = from.text()?.into();
    let status = u16::from_le_bytes(*from.array()?);
    let mut lines = Vec::new();
    for _ in 0..from.u32()? {
        let (name, value) = (from.text()?, from.text()?);
        lines.push((FieldId::of(name), name, value));
    }
    let head = Head::new(status, lines);
    let (received, initial_age) = (Time(from.u64()?), from.u64()?);
    let mut small = || u32::try_from(from.u64()?).ok();
    let (lifetime, stale_while_revalidate, stale_if_error) = (small()?, small()?, small()?);
    let flags = from.u64()?;
    let is = |bit: u32| flags >> bit & 1 == 1;
    let life = Life {
        received,
        initial_age,
        lifetime,
        stale_while_revalidate,
        stale_if_error,
        validates_always: is(0),
        never_stale: is(1),
        only_as_told: is(2),
        immutable: is(3),
    };
    let (rules, zone, begun, outdated) = (from.u64()?, from.u64()?, from.u64()?, from.u64()?);
    let mut names = Fields::default();
    names.push(b"vary", from.text()?);
    let vary = Vary::of(&names).ok()?;
    let selecting = from.text()?.into();
    let (host, target) = (from.text()?.into(), from.text()?.into());
    let sliced = match from.text()? {
        [] => None,
        bytes => Some(Sliced::of_bytes(bytes)?),
    };
    let mut slices = Vec::new();
    for _ in 0..from.u32()? {
        slices.push(from.u64()?);
    }
    from.0.is_empty().then(|| Meta {
        key,
        head,
        life,
        vary,
        selecting,
        rules,
        zone,
        begun,
        host,
        target,
        outdated: (outdated != 0).then_some(Time(outdated)),
        sliced,
        slices: slices.into(),
    })
}

/// The checksums of a body's slices.
struct Slices;

impl Slices {
    fn of(entry: &Entry) -> Vec<u64> {
        let mut all = Vec::new();
        let (mut digest, mut bytes) = (Digest::new(CRC), 0);
        for piece in entry.body.pieces() {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let room = (SLICE - bytes).min(rest.len());
                let Some((now, later)) = rest.split_at_checked(room) else {
                    break;
                };
                digest.update(now);
                bytes += room;
                rest = later;
                if bytes == SLICE {
                    all.push(digest.finalize());
                    (digest, bytes) = (Digest::new(CRC), 0);
                }
            }
        }
        if bytes > 0 {
            all.push(digest.finalize());
        }
        all
    }
}

/// Reads numbers and texts.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn array<const N: usize>(&mut self) -> Option<&'b [u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(array)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.array()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.array()?))
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

/// Bytes of an entry of a footer.
const FOOTER_ENTRY: usize = 40;
/// Bytes at the end of a footer: magic, number of entries, checksum.
pub(super) const TRAILER: usize = 16;
const FOOTER_MAGIC: [u8; 4] = *b"SWCF";

/// A record, as a segment's footer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) kind: Kind,
    pub(super) name: Name,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// What a segment that is full ends with: all that is in it, so that it need not be read to be known.
pub(super) fn footer(store: u64, segment: u32, all: &[Listed]) -> Vec<u8> {
    let mut out = Vec::with_capacity(footer_of(all.len()));
    for one in all {
        out.extend_from_slice(&one.name.url.to_le_bytes());
        out.extend_from_slice(&one.name.key.to_le_bytes());
        out.extend_from_slice(&one.name.variant.to_le_bytes());
        out.extend_from_slice(&one.name.zone.to_le_bytes());
        out.extend_from_slice(&one.offset.to_le_bytes());
        out.extend_from_slice(&one.length.to_le_bytes());
        out.extend_from_slice(&[one.kind as u8, 0, 0, 0, 0, 0, 0, 0]);
    }
    out.extend_from_slice(&FOOTER_MAGIC);
    out.extend_from_slice(&(all.len() as u32).to_le_bytes());
    let place = Place {
        store,
        segment,
        offset: u32::MAX,
    };
    let crc = placed(place, &out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Bytes of a footer that lists so many.
pub(super) fn footer_of(entries: usize) -> usize {
    entries * FOOTER_ENTRY + TRAILER
}

/// Bytes of the footer that ends with this trailer, itself included.
pub(super) fn footer_length(trailer: &[u8]) -> Option<usize> {
    let mut from = Bytes(trailer);
    (*from.array::<4>()? == FOOTER_MAGIC).then_some(())?;
    Some(footer_of(from.u32()? as usize))
}

/// What a footer lists; none where it is none of this segment.
pub(super) fn listed(store: u64, segment: u32, footer: &[u8]) -> Option<Vec<Listed>> {
    let (front, crc) = footer.split_last_chunk::<8>()?;
    let place = Place {
        store,
        segment,
        offset: u32::MAX,
    };
    (placed(place, front) == u64::from_le_bytes(*crc)).then_some(())?;
    let entries = front.split_at_checked(front.len().checked_sub(8)?)?.0;
    let mut all = Vec::with_capacity(entries.len() / FOOTER_ENTRY);
    for entry in entries.chunks_exact(FOOTER_ENTRY) {
        let mut from = Bytes(entry);
        let name = Name {
            url: from.u64()?,
            key: from.u32()?,
            variant: from.u32()?,
            zone: from.u64()?,
        };
        all.push(Listed {
            name,
            offset: from.u32()?,
            length: from.u32()?,
            kind: Kind::of(from.array::<8>()?.first().copied()?)?,
        });
    }
    Some(all)
}
