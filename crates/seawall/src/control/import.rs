//! The file that `up` was given, taken in: what is new in it gets versions, as if somebody had applied it.
//!
//! Zone by zone: a bad zone stays as it was, the others go on, and what was left out is told for as long as it is so. What an
//! earlier import of that very file brought, and nobody changed since, goes when the file leaves it out, as a tombstone.

use std::collections::BTreeSet;

use seawall_control::store::{Body, Change as StoreChange, StoreError};
use seawall_control::version::{Hash, platform_text, zone_text};
use seawall_model::document::Parsed;
use seawall_model::tempo::Kind;
use seawall_model::{Document, Problem, Problems};

use super::asks::NotMade;
use super::engine::{Engine, PLANNER};
use super::make::{By, CHAINS, Maker};
use crate::cli::Up;
use crate::configure;
use crate::order::Chain;
use crate::say::{complain, say};

/// Versions that are looked through for one that the planner did not make.
const LOOKED_AT: usize = 20;
/// How often it is compiled again without the zones that were found bad: one may be bad by another's absence.
const ROUNDS: usize = 8;

/// Problems that `seawall status` tells; the log has all.
const TOLD: usize = 20;

/// What was not taken in, and what is wrong with it.
type LeftOut = (String, Problems);
/// What changes.
type Changes = Vec<(Chain, StoreChange, Kind)>;

impl Maker<'_> {
    /// Brings in what the flags and their file say, when it is not what they said the last time. Before the first import of all
    /// comes what the edge was started with, which is `live`. What of it was not taken in, and why; none: all was.
    ///
    /// # Errors
    /// As the store says.
    pub fn import(&mut self, up: &Up, live: Option<Parsed>) -> Result<Option<String>, NotMade> {
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
        let left_out = self.take_in(&path, configure::parsed(up))?;
        Ok(left_out.map(|(what, mut problems)| {
            complain(format_args!("{what}:\n{problems}"));
            let more = problems.list.len().saturating_sub(TOLD);
            problems.list.truncate(TOLD);
            problems.more += u64::try_from(more).unwrap_or(u64::MAX);
            format!("{what}:\n{problems}")
        }))
    }

    fn take_in(&mut self, path: &str, parsed: Parsed) -> Result<Option<LeftOut>, NotMade> {
        if !parsed.platform_ok {
            let problems = parsed.problems.unwrap_or_default();
            return Ok(Some((not_taken_in(path), problems)));
        }
        let mut told = parsed.problems.unwrap_or_default();
        let mut left_out: BTreeSet<Chain> = parsed
            .bad_zones
            .iter()
            .filter_map(|index| parsed.document.zones.get(*index))
            .map(|zone| Chain::Zone(zone.name.clone()))
            .collect();
        let document = parsed.document;
        let last = self.engine.store().stands("import", path)?;
        let is_last = |hash: Hash| {
            let of = last.as_ref().map(|last| &last.body);
            matches!(of, Some(Body::FileImported { hash: last, .. }) if *last == hash)
        };
        if left_out.is_empty() && is_last(taken_of(&document, &left_out)) {
            return Ok(None);
        }
        let is_first = self.engine.store().last()? == 0;
        let who = format!("file:{path}");
        let mut changes = self.new_in(&document, &left_out, &who, is_first)?;
        if !is_first
            && let Err(NotMade::Problems(problems)) =
                self.without_bad(&mut changes, &mut left_out, &mut told, &document)
        {
            return Ok(Some((not_taken_in(path), problems)));
        }
        // The hash is that of what was taken in: the same file with its bad zones mended is another one.
        let hash = taken_of(&document, &left_out);
        if !is_last(hash) {
            self.bring(path, &who, changes, hash, is_first)?;
        }
        if left_out.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        Ok(Some((
            format!("{path} is taken in but for {names}, of which stays what serves"),
            told,
        )))
    }

    /// Takes out the changes of zones that cannot be compiled. What is wrong with them is told with what is known already.
    fn without_bad(
        &mut self,
        changes: &mut Changes,
        left_out: &mut BTreeSet<Chain>,
        told: &mut Problems,
        document: &Document,
    ) -> Result<(), NotMade> {
        let order: Vec<&str> = document.zones.iter().map(|zone| &*zone.name).collect();
        for _ in 0..ROUNDS {
            if changes.is_empty() {
                return Ok(());
            }
            let found = self.found_in(changes, &order)?;
            if found.list.is_empty() {
                return Ok(());
            }
            let changes_here = |chain: &Chain| changes.iter().any(|(of, _, _)| of == chain);
            let is_zones =
                |(of, _): &(Option<Chain>, Problem)| of.as_ref().is_some_and(changes_here);
            if !found.list.iter().all(is_zones) {
                return Err(NotMade::Problems(found.problems()));
            }
            let bad: BTreeSet<Chain> = found.list.iter().filter_map(|(of, _)| of.clone()).collect();
            changes.retain(|(chain, _, _)| !bad.contains(chain));
            left_out.extend(bad);
            told.list.extend(found.problems().list);
        }
        Err(NotMade::Problems(std::mem::take(told)))
    }

    /// Makes the versions.
    fn bring(
        &mut self,
        path: &str,
        who: &str,
        changes: Changes,
        hash: Hash,
        is_first: bool,
    ) -> Result<(), NotMade> {
        let imported = Body::FileImported {
            path: path.to_owned(),
            hash,
        };
        let many = changes.len();
        let why = if is_first {
            "the first import"
        } else {
            "the file has changed"
        };
        let made = self.engine.make(
            &By::new(who, why),
            Vec::new(),
            changes,
            vec![StoreChange::Event(imported)],
        )?;
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
        document: &Document,
        left_out: &BTreeSet<Chain>,
        who: &str,
        is_first: bool,
    ) -> Result<Changes, NotMade> {
        let mut new = vec![(Chain::Platform, platform_text(document), Kind::Platform)];
        let mut named = BTreeSet::from([Chain::Platform]);
        for zone in &document.zones {
            let chain = Chain::Zone(zone.name.clone());
            if !left_out.contains(&chain) {
                new.push((chain.clone(), zone_text(zone), Kind::Zone));
            }
            named.insert(chain);
        }
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
        if !is_first {
            self.gone(&named, who, &mut changes)?;
        }
        Ok(changes)
    }

    /// Adds the deletion of what this file brought once and names no more.
    fn gone(
        &mut self,
        named: &BTreeSet<Chain>,
        who: &str,
        changes: &mut Changes,
    ) -> Result<(), NotMade> {
        let mut after = None;
        loop {
            let heads = self.engine.store().heads(after.as_ref(), CHAINS)?;
            let Some(last) = heads.last() else {
                return Ok(());
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

/// Nothing of a file is taken in.
fn not_taken_in(path: &str) -> String {
    format!("{path} is not taken in, what is live stays live")
}

/// The hash of a document without these zones.
fn taken_of(document: &Document, left_out: &BTreeSet<Chain>) -> Hash {
    if left_out.is_empty() {
        return Hash::of(document.to_toml().as_bytes());
    }
    let mut taken = document.clone();
    let names: BTreeSet<&str> = left_out.iter().filter_map(Chain::zone).collect();
    taken.zones.retain(|zone| !names.contains(&*zone.name));
    Hash::of(taken.to_toml().as_bytes())
}

/// Who made a chain's newest version, the planner aside.
fn last_by_hand(engine: &mut Engine, chain: &Chain) -> Result<Option<String>, StoreError> {
    let history = engine.store().history(chain, None, LOOKED_AT)?;
    let mut by_hand = history.into_iter().map(|version| version.author);
    Ok(by_hand.find(|author| author != PLANNER))
}
