//! What of a zone's responses is kept at the edge.

use super::reader::{Reader, put};
use super::write::Entries;

/// How far the cache goes in a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// It has nothing to do with the zone.
    Off,
    /// RFC 9111, with what the origin says alone: nothing is stored whose lifetime it does not tell.
    #[default]
    Standard,
    /// Also what the origin says nothing of, for a short while.
    Everything,
}

impl CacheMode {
    /// The words for the modes.
    pub const WORDS: &'static [&'static str] = &["off", "standard", "everything"];

    /// The word for this mode.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Standard => "standard",
            Self::Everything => "everything",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Off, Self::Standard, Self::Everything]
            .into_iter()
            .find(|mode| mode.word() == word)
    }
}

/// The cache of a zone: `[zone.cache]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneCache {
    /// How far it goes. Default standard.
    pub mode: CacheMode,
}

impl ZoneCache {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut cache = Self::default();
        put(
            &mut cache.mode,
            reader.choice("mode").and_then(CacheMode::of),
        );
        reader.close();
        cache
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        if self.mode != CacheMode::default() {
            entries.text("mode", self.mode.word());
        }
        entries
    }
}
