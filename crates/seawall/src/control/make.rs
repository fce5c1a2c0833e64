//! From a document to versions: what is new in it is compiled, then each zone and what all zones share get a version and a rollout.
//!
//! A document never deletes what it leaves out. The file that `up` is given is another matter: what an earlier import of that
//! very file brought, and nobody changed since, goes when the file leaves it out, as a tombstone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use seawall_control::store::{Body, Change as StoreChange, Expect, StoreError};
use seawall_control::version::{Hash, assemble, platform_text, zone_text};
use seawall_guard::StageDef;
use seawall_model::document::{self, Parsed};
use seawall_model::tempo::Kind;
use seawall_model::{Document, Limits};

use super::engine::Engine;
use super::words::Applied;
use crate::cli::Up;
use crate::configure;
use crate::file;
use crate::order::Chain;
use crate::say::{complain, say};

/// Chains that are asked for at once.
const CHAINS: usize = 1_000;

/// Versions that are looked through for one that the planner did not make.
const LOOKED_AT: usize = 20;

/// Why nothing was made.
pub enum NotMade {
    /// In words, with what can be done.
    Refused(String),
    /// Somebody else was first.
    Conflict {
        /// In words.
        why: String,
        /// The newest version.
        head: Option<u64>,
    },
}

impl From<StoreError> for NotMade {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(conflict) => Self::Conflict {
                why: conflict.to_string(),
                head: conflict.head.map(|head| head.number),
            },
            other => Self::Refused(other.to_string()),
        }
    }
}

/// What makes versions.
pub struct Maker<'e> {
    /// Rollouts and the truth.
    pub engine: &'e mut Engine,
    /// All stages, for compiling.
    pub stages: &'static [&'static StageDef],
}

/// Who made a version, and of what.
pub struct By<'b> {
    /// Who.
    pub who: &'b str,
    /// Why.
    pub why: &'b str,
    /// The number of the newest version that was looked at before, where that matters.
    pub parent: Option<u64>,
}

impl Maker<'_> {
    /// Versions of what is new in a document that was parsed from `text`.
    ///
    /// # Errors
    /// All problems, or that somebody else was first.
    pub fn apply(&mut self, text: &str, base: &Path, by: &By<'_>) -> Result<Applied, NotMade> {
        let mut parsed = document::parse_alone(text, &Limits::default());
        if let Some(problems) = parsed.problems {
            return Err(NotMade::Refused(problems.to_string()));
        }
        parsed.document.make_absolute(base);
        let document = parsed.document;
        let leaves_platform_out = platform_text(&document) == platform_text(&Document::default());
        let mut changes = Vec::new();
        let mut expect = Vec::new();
        let mut unchanged = 0;
        let mut new = Vec::new();
        if !leaves_platform_out {
            new.push((Chain::Platform, platform_text(&document), Kind::Platform));
        }
        for zone in &document.zones {
            new.push((Chain::Zone(zone.name.clone()), zone_text(zone), Kind::Zone));
        }
        if by.parent.is_some() && new.len() != 1 {
            return Err(NotMade::Refused(
                "a parent is the number of one zone's version: apply one zone at a time with it"
                    .into(),
            ));
        }
        for (chain, text, kind) in new {
            let head = self.engine.store().head(&chain)?;
            if let Some(parent) = by.parent {
                expect.push(Expect::Head(chain.clone(), Some(parent)));
            } else {
                expect.push(Expect::Head(
                    chain.clone(),
                    head.as_ref().map(|head| head.number),
                ));
            }
            let same = |hash: &Hash| *hash == Hash::of(text.as_bytes());
            if head
                .as_ref()
                .is_some_and(|head| !head.tombstone && same(&head.hash))
                && by.parent.is_none()
            {
                unchanged += 1;
                continue;
            }
            changes.push((chain.clone(), StoreChange::Document(chain, text), kind));
        }
        if !changes.is_empty() {
            self.check(&changes)?;
        }
        if changes.is_empty() {
            return Ok(Applied {
                unchanged,
                ..Applied::default()
            });
        }
        let made = self
            .engine
            .make(by.who, by.why, expect, changes, Vec::new())?;
        Ok(Applied {
            unchanged,
            ..super::answer::applied(&made)
        })
    }

    /// Compiles what would serve with these changes, as an edge does.
    fn check(&mut self, changes: &[(Chain, StoreChange, Kind)]) -> Result<(), NotMade> {
        let mut texts = self.newest_texts()?;
        let mut changed = BTreeSet::new();
        for (chain, change, _) in changes {
            match change {
                StoreChange::Document(_, text) => {
                    texts.insert(chain.clone(), text.clone());
                    changed.insert(chain.clone());
                }
                StoreChange::Delete(_) => drop(texts.remove(chain)),
                _ => {}
            }
        }
        let platform = texts.remove(&Chain::Platform);
        let platform = platform.unwrap_or_else(|| platform_text(&Document::default()));
        let names: Vec<Chain> = texts.keys().cloned().collect();
        let whole = assemble(&platform, texts.values().map(String::as_str));
        let mut limits = Limits::default();
        limits.document_bytes *= 4;
        let parsed = document::parse_zones(&whole, &limits);
        let problems = file::problems(&parsed, Path::new("/"), self.stages);
        let platform_changes = changed.contains(&Chain::Platform);
        let concerns = |path: &str| match zone_of(path).and_then(|index| names.get(index)) {
            // A zone that was bad before is its own affair, unless what all zones share is what made it so.
            Some(zone) => changed.contains(zone) || platform_changes,
            None => true,
        };
        let told: Vec<String> = problems
            .list
            .iter()
            .filter(|problem| concerns(&problem.path))
            .map(
                |problem| match zone_of(&problem.path).and_then(|index| names.get(index)) {
                    Some(zone) => format!("{zone}: {problem}"),
                    None => problem.to_string(),
                },
            )
            .collect();
        if told.is_empty() {
            return Ok(());
        }
        Err(NotMade::Refused(told.join("\n")))
    }

    /// The newest texts of all chains, without those of deleted zones.
    fn newest_texts(&mut self) -> Result<BTreeMap<Chain, String>, NotMade> {
        let mut texts = BTreeMap::new();
        let mut after = None;
        loop {
            let heads = self.engine.store().heads(after.as_ref(), CHAINS)?;
            let Some(last) = heads.last() else {
                return Ok(texts);
            };
            after = Some(last.chain.clone());
            for head in heads.into_iter().filter(|head| !head.tombstone) {
                if let Some(text) = self.engine.store().document(&head.hash)? {
                    texts.insert(head.chain, text);
                }
            }
        }
    }

    /// Brings in what the flags and their file say, when it is not what they said the last time. Before the first import of all
    /// comes what the edge was started with, which is `live`.
    ///
    /// # Errors
    /// As the store says.
    pub fn import(&mut self, up: &Up, live: Option<Parsed>) -> Result<(), NotMade> {
        let path = match &up.config {
            Some(file) => std::path::absolute(file).unwrap_or_else(|_| file.clone()),
            None => "flags".into(),
        };
        let path = path.display().to_string();
        if let Some(live) = live
            && self.engine.store().last()? == 0
        {
            self.take_in(&path, live)?;
        }
        self.take_in(&path, configure::parsed(up))
    }

    fn take_in(&mut self, path: &str, parsed: Parsed) -> Result<(), NotMade> {
        if !parsed.platform_ok {
            let problems = parsed.problems.unwrap_or_default();
            complain(format_args!(
                "{path} is not taken in, what is live stays live:\n{problems}"
            ));
            return Ok(());
        }
        let hash = Hash::of(parsed.document.to_toml().as_bytes());
        let last = self.engine.store().stands("import", path)?;
        let same =
            |body: &Body| matches!(body, Body::FileImported { hash: last, .. } if *last == hash);
        if last.as_ref().is_some_and(|last| same(&last.body)) {
            return Ok(());
        }
        let is_first = self.engine.store().last()? == 0;
        let who = format!("file:{path}");
        let changes = self.new_in(&parsed, &who, is_first)?;
        let imported = Body::FileImported {
            path: path.to_owned(),
            hash,
        };
        if !is_first
            && !changes.is_empty()
            && let Err(NotMade::Refused(problems)) = self.check(&changes)
        {
            complain(format_args!(
                "{path} is not taken in, what is live stays live:\n{problems}"
            ));
            return Ok(());
        }
        let many = changes.len();
        let why = if is_first {
            "the first import"
        } else {
            "the file has changed"
        };
        let made = self
            .engine
            .make(&who, why, Vec::new(), changes, vec![imported])?;
        if is_first {
            self.engine.serves_already(&made)?;
        } else if many > 0 {
            say(format_args!(
                "Seawall takes in {path}: {many} change(s), by and by"
            ));
        }
        Ok(())
    }

    fn new_in(
        &mut self,
        parsed: &Parsed,
        who: &str,
        is_first: bool,
    ) -> Result<Vec<(Chain, StoreChange, Kind)>, NotMade> {
        let document = &parsed.document;
        let mut new = vec![(Chain::Platform, platform_text(document), Kind::Platform)];
        for (index, zone) in document.zones.iter().enumerate() {
            if !parsed.bad_zones.contains(&index) {
                new.push((Chain::Zone(zone.name.clone()), zone_text(zone), Kind::Zone));
            }
        }
        let mut named: BTreeSet<Chain> = document
            .zones
            .iter()
            .map(|zone| Chain::Zone(zone.name.clone()))
            .collect();
        named.insert(Chain::Platform);
        let mut changes = Vec::new();
        for (chain, text, kind) in new {
            let head = self.engine.store().head(&chain)?;
            let Some(head) = head else {
                changes.push((chain.clone(), StoreChange::Document(chain, text), kind));
                continue;
            };
            if !head.tombstone && head.hash == Hash::of(text.as_bytes()) {
                continue;
            }
            let by = last_by_hand(self.engine, &chain)?;
            if by.is_some_and(|by| !by.starts_with("file:")) {
                complain(format_args!(
                    "{chain} was changed by {} since the file was taken in (version {}: {}): that stays live. `seawall diff` shows it; \
                     `seawall apply` with the file takes the file's, and writing it into the file keeps it",
                    head.author, head.number, head.why
                ));
                continue;
            }
            changes.push((chain.clone(), StoreChange::Document(chain, text), kind));
        }
        if is_first {
            return Ok(changes);
        }
        let mut after = None;
        loop {
            let heads = self.engine.store().heads(after.as_ref(), CHAINS)?;
            let Some(last) = heads.last() else {
                return Ok(changes);
            };
            after = Some(last.chain.clone());
            for head in heads {
                if !head.tombstone
                    && !named.contains(&head.chain)
                    && last_by_hand(self.engine, &head.chain)?.as_deref() == Some(who)
                {
                    let chain = head.chain;
                    changes.push((chain.clone(), StoreChange::Delete(chain), Kind::Zone));
                }
            }
        }
    }
}

/// Who made a chain's newest version, the planner aside.
fn last_by_hand(engine: &mut Engine, chain: &Chain) -> Result<Option<String>, StoreError> {
    let history = engine.store().history(chain, None, LOOKED_AT)?;
    let mut by_hand = history.into_iter().map(|version| version.author);
    Ok(by_hand.find(|author| author != super::engine::PLANNER))
}

/// The index of the zone that a problem's path begins with.
fn zone_of(path: &str) -> Option<usize> {
    let (index, _) = path.strip_prefix("zone[")?.split_once(']')?;
    index.parse().ok()
}
