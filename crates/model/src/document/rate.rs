//! Limits on rates: how many requests somebody may make in a time. Conditions and keys stay text here; they are compiled where
//! limits run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::mode::StageMode;
use super::reader::{Reader, put};
use super::rule::{LONGEST_WHEN, no_challenge_yet, read_name};
use super::value::one_of;
use super::write::Entries;
use crate::problem::Wrong;

/// Values that one key is made of.
const MOST_BY: usize = 8;

/// One `[[zone.rate_limit]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name, unlike any other limit's of the zone: 1 to 100 printable characters. Default: it goes by its number.
    pub name: Option<String>,
    /// The requests that count, as an expression. Default: all of them.
    pub when: Option<String>,
    /// By what requests are told apart: values of the language of rules. Those with the same values count together. Default: `ip.src`.
    pub by: Vec<String>,
    /// At most so many in the time of `per`, at least 1.
    pub requests: u32,
    /// In any span of this time, 1 s to 1 day.
    pub per: Duration,
    /// What becomes of one that is too many.
    pub action: RateAction,
    /// Default: enforce.
    pub mode: StageMode,
}

/// What becomes of a request that is one too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateAction {
    /// It is answered 429.
    #[default]
    Block,
    /// It is told.
    Log,
}

impl RateAction {
    /// The words for the actions.
    pub const WORDS: &'static [&'static str] = &["block", "log"];
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            name: None,
            when: None,
            by: vec!["ip.src".into()],
            requests: 0,
            per: Duration::ZERO,
            action: RateAction::Block,
            mode: StageMode::default(),
        }
    }
}

impl RateLimit {
    /// Reads a limit; `names` are those of the zone's limits before it, each with where it stands.
    pub(super) fn read(mut reader: Reader<'_, '_>, names: &mut BTreeMap<String, String>) -> Self {
        let mut limit = Self {
            name: read_name(&mut reader, names),
            ..Self::default()
        };
        if reader.peek("when").is_some() {
            limit.when = reader.lines("when", LONGEST_WHEN);
        }
        reader.refuse_empty("by", "write [\"ip.src\"], or another value of the language");
        let by = reader.list("by", MOST_BY, |text| match text.trim() {
            "" => Err(Wrong::new("is empty", "write \"ip.src\"")),
            text => Ok(text.to_owned()),
        });
        put(&mut limit.by, by);
        put(&mut limit.requests, reader.number("requests"));
        put(&mut limit.per, reader.duration("per"));
        limit.mode = StageMode::read(&mut reader);
        let action = reader.parsed("action", |text| {
            no_challenge_yet(text)?;
            one_of(text, RateAction::WORDS)
        });
        if action == Some("log") {
            limit.action = RateAction::Log;
        }
        reader.close();
        limit
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.text_if("name", self.name.as_deref());
        entries.text_if("when", self.when.as_deref());
        if self.by != default.by {
            entries.list("by", &self.by);
        }
        entries.number("requests", self.requests, 0);
        entries.duration("per", self.per, Duration::ZERO);
        if self.action == RateAction::Log {
            entries.text("action", "log");
        }
        self.mode.write(&mut entries);
        entries
    }
}

/// The stage `rate` as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRate {
    /// Default: enforce.
    pub mode: StageMode,
    /// Whether responses to requests that count say how much is left. Default true.
    pub headers: bool,
}

impl Default for ZoneRate {
    fn default() -> Self {
        Self {
            mode: StageMode::default(),
            headers: true,
        }
    }
}

impl ZoneRate {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut rate = Self {
            mode: StageMode::read(&mut reader),
            ..Self::default()
        };
        put(&mut rate.headers, reader.flag("headers"));
        reader.close();
        rate
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.flag("headers", self.headers, true);
        entries
    }
}
