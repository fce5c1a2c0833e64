//! The tree of what is live for everyone: a radix trie over the SHA-256 of zones' names.
//!
//! The shape follows from the content alone, so that equal content has one root whatever came first. In a binary trie over the
//! hashes, the largest subtrees that fit ([`MAX_ZONES`] zones and [`MAX_BYTES`] bytes, or one zone of any size) are *leaves*. Eight
//! levels of the trie share an object, a *node*; the first of them stands in the *root*, beside the platform's version.
//!
//! ```text
//! root    platform, entries for 8 bits of hash     up to 256 entries
//! node    entries for the next 8 bits               absent up to some 8,000 zones
//! leaf    the zones themselves: name, version, document, files
//! ```
//!
//! A leaf that overflows splits in two, and two that fit in one merge; nothing else moves. Zone by zone a growing tree ships what
//! changed, and whoever picks names that collide makes a narrow deep place for himself.
//!
//! Readers hold each object to all of it: names under their own hash, in order, counted, and neither split nor merged otherwise than
//! the rule says. A zone can stand in one place only, so no leaf can smuggle in a second one.

mod diff;
mod leaf;
mod node;
mod place;
mod root;
#[cfg(test)]
mod tests;
mod update;

pub use diff::{Change, Diff, Step};
pub use place::place;
pub use root::{Platform, Root};
pub use update::{Edits, Update, UpdateError, update};

use crate::hash::Hash;
use leaf::Placed;

/// Zones of a leaf, at most.
pub(crate) const MAX_ZONES: u64 = 64;

/// Bytes of a leaf's zones, at most, unless it has one zone alone.
pub(crate) const MAX_BYTES: u64 = 64 << 10;

/// How much a subtree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Zones.
    pub(crate) zones: u64,
    /// Bytes of their encoding.
    pub(crate) bytes: u64,
}

impl Size {
    /// Whether this much is one leaf.
    pub(crate) fn fits(self) -> bool {
        self.zones <= 1 || (self.zones <= MAX_ZONES && self.bytes <= MAX_BYTES)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            zones: self.zones.saturating_add(other.zones),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What an object of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Leaf,
    Node,
}

/// An object of the tree, as the one above it names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) object: Hash,
    pub(crate) kind: Kind,
    pub(crate) size: Size,
}

/// A subtree, as far as it is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Zones that fit in a leaf, in order of their hashes; none at all where nothing is.
    Zones(Vec<Placed>),
    /// An object that is not at hand, and is not empty.
    Link(Link),
    /// More than fits in a leaf: those whose next bit is 0, and those whose next bit is 1.
    Split(Box<(Part, Part)>),
}

impl Part {
    pub(crate) const EMPTY: Self = Self::Zones(Vec::new());

    pub(crate) fn size(&self) -> Size {
        match self {
            Self::Zones(zones) => leaf::size(zones),
            Self::Link(link) => link.size,
            Self::Split(pair) => pair.0.size().and(pair.1.size()),
        }
    }
}
