//! Which stages judge a request.

use crate::stage::StageDef;

/// Some of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(u32);

impl Scope {
    /// All of them.
    pub const ALL: Self = Self(u32::MAX);

    /// None of them: they have judged already, elsewhere.
    pub const NONE: Self = Self(0);

    /// Those of `stages` that have one of these names.
    pub fn of(stages: &[&'static StageDef], names: &[&str]) -> Self {
        let places = stages.iter().enumerate().take(32);
        let named = places.filter(|(_, stage)| names.contains(&stage.name));
        Self(named.fold(0, |all, (place, _)| all | 1 << place))
    }

    pub(crate) fn of_places(places: impl Iterator<Item = u8>) -> Self {
        Self(places.fold(0, |all, place| all | 1 << place))
    }

    pub(super) const fn has(self, place: u8) -> bool {
        self.0 & (1 << place) != 0
    }
}
