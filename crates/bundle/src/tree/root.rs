//! The root: the platform's version, and the first eight levels of the tree.

use super::node::{self, NODE_BYTES};
use super::{Part, Size};
use crate::codec::{Reader, Writer};
use crate::hash::Hash;
use crate::object::Object;
use crate::refused::Refused;

const MAGIC: &[u8] = b"seawall root 1\n";

/// The most that a root's content takes.
const ROOT_BYTES: usize = NODE_BYTES + 128;

/// The platform's version that is live: what all zones share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Its number in its chain, from 1.
    pub number: u64,
    /// The object that holds it: see [`crate::Version::open`].
    pub object: Hash,
}

/// All that is live for everyone, as one value of some 10 KiB that names the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    platform: Option<Platform>,
    top: Part,
}

impl Root {
    /// Nothing: no platform version, no zones. Where a first publication and a resync begin.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(None, Part::EMPTY)
    }

    /// `top` has no zones that are not objects.
    pub(crate) fn new(platform: Option<Platform>, top: Part) -> Self {
        Self { platform, top }
    }

    /// Opens what was fetched as `name`.
    ///
    /// # Errors
    /// As [`Object::open`]; [`Refused::Malformed`] if it is no root, or one that no writer makes.
    pub fn open(name: &Hash, packed: &[u8]) -> Result<Self, Refused> {
        let content = Object::open(name, packed, ROOT_BYTES)?;
        let mut reader = Reader::new("a root", MAGIC, &content)?;
        let platform = match reader.number()? {
            0 => None,
            number => Some(Platform {
                number,
                object: Hash(reader.array()?),
            }),
        };
        let top = node::read_part(&mut reader)?;
        reader.finish()?;
        Ok(Self { platform, top })
    }

    /// As an object.
    ///
    /// # Errors
    /// [`Refused::Malformed`] when there is no memory.
    pub fn pack(&self) -> Result<Object, Refused> {
        let mut writer = Writer::new(MAGIC);
        match self.platform {
            None => writer.number(0),
            Some(platform) => {
                writer.number(platform.number);
                writer.raw(&platform.object.0);
            }
        }
        node::write(&self.top, 0, &mut writer);
        Object::pack(&writer.finish(), ROOT_BYTES)
    }

    /// The platform's version, if one was published.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        self.platform
    }

    /// How many zones are live: known before any of them is fetched, so that a change of too many can be stopped early.
    #[must_use]
    pub fn zones(&self) -> u64 {
        self.top.size().zones
    }

    /// Bytes of all zones' names, documents and lists of files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Size { bytes, .. } = self.top.size();
        bytes
    }

    pub(crate) fn top(&self) -> &Part {
        &self.top
    }
}
