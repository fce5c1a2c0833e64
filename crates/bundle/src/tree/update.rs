//! The writer's side: some zones change, and the objects that are new come out.

use std::collections::{BTreeMap, HashSet};

use super::leaf::{self, Placed};
use super::node::{self, NODE_BYTES};
use super::place::Prefix;
use super::root::{Platform, Root};
use super::{Kind, Link, Part};
use crate::hash::Hash;
use crate::limits::Limits;
use crate::object::Object;
use crate::refused::{Refused, at_most};
use crate::version::{Version, Zone};

/// What changes. Each zone stands in it once; the last word on it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The platform's new version, if it changes.
    pub platform: Option<Platform>,
    /// By name: the zone's new version, or none for one that is live no more (also a tombstone's). To remove what is not there
    /// changes nothing.
    pub zones: BTreeMap<String, Option<Version>>,
}

/// What a change comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What is live now.
    pub root: Root,
    /// The objects to store before the root is announced: the new ones, and last the root's own.
    pub objects: Vec<Object>,
}

/// Why a tree was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError<E> {
    /// An object of the old tree could not be had: nobody's fault here, and safe to try again.
    #[error("object {0} could not be had")]
    Fetch(Hash, E),
    /// What was fetched is not what it should be, or an edit is more than edges take.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A zone that no edge would take.
    #[error("zone {zone}")]
    Zone {
        /// Its name.
        zone: String,
        /// Why not.
        source: Refused,
    },
}

/// Changes a tree. `fetch` gives stored objects as they were packed; only those on the way to zones that change are asked for, each
/// once at most per place. Memory: the edits and what comes out.
///
/// # Errors
/// [`UpdateError::Zone`] names the first zone that no edge would take; nothing is half done.
pub fn update<E>(
    old: &Root,
    edits: Edits,
    limits: &Limits,
    fetch: impl FnMut(&Hash) -> Result<Vec<u8>, E>,
) -> Result<Update, UpdateError<E>> {
    let mut zones = Vec::with_capacity(edits.zones.len());
    for (name, version) in edits.zones {
        zones.push(Edit::new(name, version, limits)?);
    }
    zones.sort_by_key(|edit| edit.place);
    let mut writer = Writer {
        fetch,
        limits,
        seen: HashSet::new(),
        objects: Vec::new(),
    };
    let top = writer.change(Prefix::ROOT, old.top().clone(), zones)?;
    let top = writer.settle(top)?;
    let root = Root::new(edits.platform.or(old.platform()), top);
    let object = root.pack()?;
    writer.emit(object);
    Ok(Update {
        root,
        objects: writer.objects,
    })
}

/// One zone's change, where it stands.
struct Edit {
    place: Hash,
    zone: Option<Placed>,
}

impl Edit {
    fn new<E>(
        name: String,
        version: Option<Version>,
        limits: &Limits,
    ) -> Result<Self, UpdateError<E>> {
        let Some(mut version) = version else {
            return Ok(Self {
                place: super::place::place(&name),
                zone: None,
            });
        };
        let checked = at_most("a zone's name", name.len(), limits.name_bytes)
            .and_then(|()| version.put_in_order(limits));
        if let Err(source) = checked {
            return Err(UpdateError::Zone { zone: name, source });
        }
        let placed = Placed::new(Zone { name, version });
        Ok(Self {
            place: placed.place,
            zone: Some(placed),
        })
    }
}

struct Writer<'a, F> {
    fetch: F,
    limits: &'a Limits,
    /// Objects that are stored already, or come out already.
    seen: HashSet<Hash>,
    objects: Vec<Object>,
}

impl<E, F: FnMut(&Hash) -> Result<Vec<u8>, E>> Writer<'_, F> {
    /// The subtree at a place, with edits that all lie in it, in order.
    fn change(
        &mut self,
        at: Prefix,
        part: Part,
        mut edits: Vec<Edit>,
    ) -> Result<Part, UpdateError<E>> {
        if edits.is_empty() {
            return Ok(part);
        }
        match part {
            Part::Zones(zones) => self.grow(at, merge(zones, edits)),
            Part::Link(link) => {
                let part = self.load(at, &link)?;
                self.change(at, part, edits)
            }
            Part::Split(pair) => {
                let (left_at, right_at) = halves(at)?;
                let right =
                    edits.split_off(edits.partition_point(|edit| !at.is_right(&edit.place)));
                let left = self.change(left_at, pair.0, edits)?;
                let right = self.change(right_at, pair.1, right)?;
                self.join(at, left, right)
            }
        }
    }

    /// The subtree of zones that may be more than a leaf holds.
    fn grow(&mut self, at: Prefix, mut zones: Vec<Placed>) -> Result<Part, UpdateError<E>> {
        if leaf::size(&zones).fits() {
            return Ok(Part::Zones(zones));
        }
        let (left_at, right_at) = halves(at)?;
        let right = zones.split_off(zones.partition_point(|zone| !at.is_right(&zone.place)));
        let left = self.grow(left_at, zones)?;
        let right = self.grow(right_at, right)?;
        self.join(at, left, right)
    }

    /// Two halves as one subtree: a leaf if they fit.
    fn join(&mut self, at: Prefix, left: Part, right: Part) -> Result<Part, UpdateError<E>> {
        if left.size().and(right.size()).fits() {
            let (left_at, right_at) = halves(at)?;
            let mut zones = self.zones(left_at, left)?;
            zones.append(&mut self.zones(right_at, right)?);
            return Ok(Part::Zones(zones));
        }
        let pair = (self.settle(left)?, self.settle(right)?);
        let part = Part::Split(Box::new(pair));
        if at.within_node() > 0 || at == Prefix::ROOT {
            return Ok(part);
        }
        let object = node::pack(&part)?;
        Ok(Part::Link(Link {
            object: self.emit(object),
            kind: Kind::Node,
            size: part.size(),
        }))
    }

    /// Zones become an object, since nothing will be merged with them any more.
    fn settle(&mut self, part: Part) -> Result<Part, UpdateError<E>> {
        match part {
            Part::Zones(zones) if !zones.is_empty() => {
                let object = leaf::pack(&zones, self.limits)?;
                Ok(Part::Link(Link {
                    object: self.emit(object),
                    kind: Kind::Leaf,
                    size: leaf::size(&zones),
                }))
            }
            part => Ok(part),
        }
    }

    fn zones(&mut self, at: Prefix, part: Part) -> Result<Vec<Placed>, UpdateError<E>> {
        let part = match part {
            Part::Link(link) => self.load(at, &link)?,
            part => part,
        };
        match part {
            Part::Zones(zones) => Ok(zones),
            Part::Split(_) | Part::Link(_) => {
                Err(Refused::malformed("a node", "it holds less than it says").into())
            }
        }
    }

    fn load(&mut self, at: Prefix, link: &Link) -> Result<Part, UpdateError<E>> {
        let name = link.object;
        // Never one that has come out in this very change: only what does not fit in one leaf with its sibling becomes an object,
        // and then nothing above it does.
        let packed = (self.fetch)(&name).map_err(|error| UpdateError::Fetch(name, error))?;
        let content = open(link, &packed, self.limits)?;
        self.seen.insert(name);
        Ok(read(at, link, &content, self.limits)?)
    }

    fn emit(&mut self, object: Object) -> Hash {
        let name = object.name();
        if self.seen.insert(name) {
            self.objects.push(object);
        }
        name
    }
}

/// Unpacks an object of the tree.
pub(crate) fn open(link: &Link, packed: &[u8], limits: &Limits) -> Result<Vec<u8>, Refused> {
    let limit = match link.kind {
        Kind::Leaf => leaf::leaf_limit(limits),
        Kind::Node => NODE_BYTES,
    };
    Object::open(&link.object, packed, limit)
}

/// Reads an unpacked object of the tree: zones, or a split.
pub(crate) fn read(
    at: Prefix,
    link: &Link,
    content: &[u8],
    limits: &Limits,
) -> Result<Part, Refused> {
    match link.kind {
        Kind::Leaf => leaf::read(content, link, at, limits).map(Part::Zones),
        Kind::Node => node::read(content, link),
    }
}

pub(crate) fn halves(at: Prefix) -> Result<(Prefix, Prefix), Refused> {
    at.halves()
        .ok_or_else(|| Refused::malformed("the tree", "it is deeper than a hash is long"))
}

/// Both lists are in order; an edit takes the place of the zone that it names.
fn merge(zones: Vec<Placed>, edits: Vec<Edit>) -> Vec<Placed> {
    let mut merged = Vec::with_capacity(zones.len() + edits.len());
    let mut zones = zones.into_iter().peekable();
    for edit in edits {
        while let Some(zone) = zones.next_if(|zone| zone.place < edit.place) {
            merged.push(zone);
        }
        zones.next_if(|zone| zone.place == edit.place);
        merged.extend(edit.zone);
    }
    merged.extend(zones);
    merged
}
