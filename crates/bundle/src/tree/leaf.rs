//! A leaf: zones in order of the SHA-256 of their names.

use super::place::{Prefix, place};
use super::{Link, Size};
use crate::codec::{Reader, Writer};
use crate::hash::Hash;
use crate::limits::Limits;
use crate::object::Object;
use crate::refused::Refused;
use crate::version::{Version, Zone, object_limit};

const MAGIC: &[u8] = b"seawall leaf 1\n";

/// A zone, where it stands and how many bytes it takes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) place: Hash,
    pub(crate) bytes: u64,
    pub(crate) zone: Zone,
}

impl Placed {
    /// Of a zone whose version is in order.
    pub(crate) fn new(zone: Zone) -> Self {
        let mut writer = Writer::default();
        write(&zone, &mut writer);
        Self {
            place: place(&zone.name),
            bytes: writer.len() as u64,
            zone,
        }
    }
}

pub(crate) fn size(zones: &[Placed]) -> Size {
    Size {
        zones: zones.len() as u64,
        bytes: zones.iter().map(|placed| placed.bytes).sum(),
    }
}

/// The object of zones that fit in a leaf.
pub(crate) fn pack(zones: &[Placed], limits: &Limits) -> Result<Object, Refused> {
    let mut writer = Writer::new(MAGIC);
    for placed in zones {
        write(&placed.zone, &mut writer);
    }
    Object::pack(&writer.finish(), leaf_limit(limits))
}

/// The most that a leaf's content takes.
pub(crate) fn leaf_limit(limits: &Limits) -> usize {
    let many = super::MAX_BYTES as usize;
    let one = object_limit(limits).saturating_add(limits.name_bytes + 16);
    many.max(one).saturating_add(MAGIC.len())
}

/// Reads a leaf that `link` names and that stands at `at`.
pub(crate) fn read(
    content: &[u8],
    link: &Link,
    at: Prefix,
    limits: &Limits,
) -> Result<Vec<Placed>, Refused> {
    let mut reader = Reader::new("a leaf", MAGIC, content)?;
    let mut zones: Vec<Placed> = Vec::new();
    while reader.left() > 0 {
        let before = reader.left();
        let name = reader.text("a zone's name", limits.name_bytes)?.to_owned();
        let version = Version::read(&mut reader, limits)?;
        let zone = Zone { name, version };
        let place = place(&zone.name);
        if !at.holds(&place) {
            return Err(reader.wrong(format!("zone {:?} does not belong in it", zone.name)));
        }
        if zones.last().is_some_and(|last| last.place >= place) {
            return Err(reader.wrong(format!("zone {:?} is twice, or out of order", zone.name)));
        }
        zones.push(Placed {
            place,
            bytes: (before - reader.left()) as u64,
            zone,
        });
    }
    if size(&zones) != link.size {
        return Err(reader.wrong("it holds more or less than the node above says"));
    }
    Ok(zones)
}

fn write(zone: &Zone, writer: &mut Writer) {
    writer.bytes(zone.name.as_bytes());
    zone.version.write(writer);
}
