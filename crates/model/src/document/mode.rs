//! How far a stage may go in a zone: not at all, only telling, or acting.

use super::reader::{Reader, put};
use super::write::Entries;

/// The mode of a stage, or of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageMode {
    /// It does not run.
    Off,
    /// It runs, and what it would have done is only told.
    Watch,
    /// It runs, and what it says is done.
    #[default]
    Enforce,
}

impl StageMode {
    /// The words for the modes, in the order of the modes.
    pub const WORDS: &'static [&'static str] = &["off", "watch", "enforce"];

    /// The word for this mode, as documents and logs have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Watch => "watch",
            Self::Enforce => "enforce",
        }
    }

    /// The mode that a word means.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Off, Self::Watch, Self::Enforce]
            .into_iter()
            .find(|mode| mode.word() == word)
    }

    /// The key `mode` of a table.
    pub(super) fn read(reader: &mut Reader<'_, '_>) -> Self {
        let mut mode = Self::default();
        put(&mut mode, reader.choice("mode").and_then(Self::of));
        mode
    }

    /// Writes the key `mode`, unless it is the default.
    pub(super) fn write(self, entries: &mut Entries) {
        if self != Self::default() {
            entries.text("mode", self.word());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_a_mode_and_the_order_is_how_far_it_goes() {
        let modes: Vec<StageMode> = StageMode::WORDS
            .iter()
            .filter_map(|word| StageMode::of(word))
            .collect();
        assert_eq!(
            modes,
            [StageMode::Off, StageMode::Watch, StageMode::Enforce]
        );
        assert!(modes.is_sorted());
        assert_eq!(StageMode::of("on"), None);
    }
}
