//! The stages that a rule, or a list of allowed clients, may leave out. Only these: a rule must not open what an Access
//! policy closes, nor switch off what holds the edge itself up.

use std::fmt;
use std::ops::BitOr;

/// A set of stages, by their names: some of `rate`, `bots`, `waf`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SkipSet(u8);

impl SkipSet {
    /// No stage.
    pub const NONE: Self = Self(0);
    /// Limits on rates of requests.
    pub const RATE: Self = Self(1);
    /// What judges whether a client is a bot.
    pub const BOTS: Self = Self(1 << 1);
    /// The web application firewall.
    pub const WAF: Self = Self(1 << 2);

    /// The names of the stages, in the order of their bits.
    pub const WORDS: &'static [&'static str] = &["rate", "bots", "waf"];

    /// The set of the one stage with this name.
    pub fn of(word: &str) -> Option<Self> {
        let nth = Self::WORDS.iter().position(|known| *known == word)?;
        Some(Self(1 << nth))
    }

    /// Whether no stage is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all stages of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the stage with this name is in it.
    pub fn has(self, stage: &str) -> bool {
        Self::of(stage).is_some_and(|stage| self.contains(stage))
    }

    /// The names of its stages.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS
            .iter()
            .copied()
            .filter(move |word| self.has(word))
    }
}

impl BitOr for SkipSet {
    type Output = Self;

    /// The stages of both.
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl<'w> FromIterator<&'w str> for SkipSet {
    /// The stages with these names; what is no name adds nothing.
    fn from_iter<I: IntoIterator<Item = &'w str>>(words: I) -> Self {
        words
            .into_iter()
            .filter_map(Self::of)
            .fold(Self::NONE, BitOr::bitor)
    }
}

impl fmt::Debug for SkipSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_the_stages_that_were_named() {
        let set: SkipSet = ["waf", "rate", "access", "waf"].into_iter().collect();
        assert_eq!(set, SkipSet::RATE | SkipSet::WAF);
        assert_eq!(set.words().collect::<Vec<_>>(), ["rate", "waf"]);
        assert_eq!(format!("{set:?}"), r#"{"rate", "waf"}"#);
        assert!(set.has("waf") && !set.has("bots") && !set.has("access"));
        assert!(set.contains(SkipSet::WAF) && !set.contains(SkipSet::WAF | SkipSet::BOTS));
        assert!(SkipSet::NONE.is_empty() && set.contains(SkipSet::NONE));
    }
}
