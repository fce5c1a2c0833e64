//! A node: up to eight levels of the trie, as a list of what stands below them.
//!
//! Each entry is one byte, depth and kind, then for what is not empty the object's name, its zones and its bytes. Depths of a list in
//! order tell the whole shape.

use super::{Kind, Link, Part, Size};
use crate::codec::{Reader, Writer};
use crate::hash::Hash;
use crate::object::Object;
use crate::refused::Refused;

const MAGIC: &[u8] = b"seawall node 1\n";

/// Levels of the trie in one node.
const LEVELS: u8 = 8;

/// The most that a node's content takes: 256 entries of a byte, a hash and two numbers.
pub(crate) const NODE_BYTES: usize = 256 * (1 + 32 + 2 * 10) + MAGIC.len();

const EMPTY: u8 = 0;
const LEAF: u8 = 1;
const NODE: u8 = 2;

/// The object of a subtree whose zones are objects already.
pub(crate) fn pack(part: &Part) -> Result<Object, Refused> {
    let mut writer = Writer::new(MAGIC);
    write(part, 0, &mut writer);
    Object::pack(&writer.finish(), NODE_BYTES)
}

/// Reads a node that `link` names.
pub(crate) fn read(content: &[u8], link: &Link) -> Result<Part, Refused> {
    let mut reader = Reader::new("a node", MAGIC, content)?;
    let part = read_part(&mut reader)?;
    if !matches!(part, Part::Split(_)) {
        return Err(reader.wrong("what it holds fits in a leaf"));
    }
    if part.size() != link.size {
        return Err(reader.wrong("it holds more or less than the node above says"));
    }
    reader.finish()?;
    Ok(part)
}

/// Writes the entries of a subtree; `depth` is 0 for the whole of a node.
pub(crate) fn write(part: &Part, depth: u8, writer: &mut Writer) {
    match part {
        Part::Split(pair) => {
            write(&pair.0, depth + 1, writer);
            write(&pair.1, depth + 1, writer);
        }
        Part::Link(link) => {
            let kind = match link.kind {
                Kind::Leaf => LEAF,
                Kind::Node => NODE,
            };
            writer.byte(kind << 4 | depth);
            writer.raw(&link.object.0);
            writer.number(link.size.zones);
            writer.number(link.size.bytes);
        }
        // Zones are objects before a node is written.
        Part::Zones(_) => writer.byte(EMPTY << 4 | depth),
    }
}

/// Reads entries up to a whole subtree.
pub(crate) fn read_part(reader: &mut Reader<'_>) -> Result<Part, Refused> {
    let mut next = None;
    subtree(reader, &mut next, 0)
}

/// The subtree at `depth`. `next` is an entry that was read and belongs further down.
fn subtree(
    reader: &mut Reader<'_>,
    next: &mut Option<(u8, Part)>,
    depth: u8,
) -> Result<Part, Refused> {
    let (at, part) = match next.take() {
        Some(entry) => entry,
        None => entry(reader)?,
    };
    if at == depth {
        return Ok(part);
    }
    if at < depth || depth >= LEVELS {
        return Err(reader.wrong("its entries do not cover it"));
    }
    *next = Some((at, part));
    let left = subtree(reader, next, depth + 1)?;
    let right = subtree(reader, next, depth + 1)?;
    if left.size().and(right.size()).fits() {
        return Err(reader.wrong("two parts are apart that fit in one leaf"));
    }
    Ok(Part::Split(Box::new((left, right))))
}

fn entry(reader: &mut Reader<'_>) -> Result<(u8, Part), Refused> {
    let tag = reader.byte()?;
    let depth = tag & 0xf;
    let kind = match tag >> 4 {
        EMPTY => return Ok((depth, Part::EMPTY)),
        LEAF => Kind::Leaf,
        NODE => Kind::Node,
        _ => return Err(reader.wrong("an entry is of no known kind")),
    };
    let object = Hash(reader.array()?);
    let size = Size {
        zones: reader.number()?,
        bytes: reader.number()?,
    };
    let good = match kind {
        Kind::Leaf => size.fits() && size.zones > 0,
        Kind::Node => !size.fits() && depth == LEVELS,
    };
    if !good {
        return Err(reader.wrong("an entry is a leaf that is too large, or a node out of place"));
    }
    Ok((depth, Part::Link(Link { object, kind, size })))
}
