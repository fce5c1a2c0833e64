//! The file that `up` was given, taken in: what is new in it gets versions, as if somebody had applied it.
//!
//! Zone by zone: a bad zone stays as it was, the others go on, and what was left out is told for as long as it is so. What an
//! earlier import of that very file brought, and nobody changed since, goes when the file leaves it out, as a tombstone.
//! Where something else than the file's is live, that is told ([`differs`]).

mod differs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use seawall_control::contents::document as document_of;
use seawall_control::store::{Body, Change as StoreChange, StoreError};
use seawall_control::version::{Hash, Version};
use seawall_model::document::Parsed;
use seawall_model::tempo::Kind;
use seawall_model::{Document, Problem, Problems};

use super::asks::NotMade;
use super::engine::{Engine, PLANNER};
use super::files::{Binder, Bound, alone};
use super::make::{By, CHAINS, Maker};
use super::refresh;
use crate::cli::Up;
use crate::configure;
use crate::contents;
use crate::good::Recalled;
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
/// The documents of a file's chains, with the contents of the files that they name.
type Parts = BTreeMap<Chain, Bound>;
/// What changes.
type Changes = Vec<(Chain, StoreChange, Kind)>;

impl Maker<'_> {
    /// Brings in what the flags and their file say, when it is not what they said the last time. Before the first import of all
    /// comes what the edge was started with, which is `live`. What of it was not taken in, and why; none: all was.
    ///
    /// # Errors
    /// As the store says.
    pub fn import(&mut self, up: &Up, live: Option<Recalled>) -> Result<Option<String>, NotMade> {
        let path = match &up.config {
            Some(file) => std::path::absolute(file).unwrap_or_else(|_| file.clone()),
            None => "flags".into(),
        };
        let path = path.display().to_string();
        if let Some(live) = live
            && self.engine.store().last()? == 0
        {
            self.take_in(up, &path, live.parsed, live.files)?;
        }
        if up.config.is_none()
            && up.origin.is_none()
            && self.engine.store().last()? > 0
            && self.engine.store().stands("import", &path)?.is_none()
        {
            // The log knows sites already, of a backup or of a file: the sample is for who has none.
            return Ok(None);
        }
        let left_out = self.take_in(up, &path, configure::parsed(up), Vec::new())?;
        Ok(left_out.map(|(what, mut problems)| {
            complain(format_args!("{what}:\n{problems}"));
            let more = problems.list.len().saturating_sub(TOLD);
            problems.list.truncate(TOLD);
            problems.more += u64::try_from(more).unwrap_or(u64::MAX);
            format!("{what}:\n{problems}")
        }))
    }

    /// Takes in a document; files that are not among these come from the disk.
    fn take_in(
        &mut self,
        up: &Up,
        path: &str,
        parsed: Parsed,
        files: Vec<(PathBuf, Vec<u8>)>,
    ) -> Result<Option<LeftOut>, NotMade> {
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
        let mut document = parsed.document;
        let parts = self.parts(&document, files)?;
        contents::plain(&mut document);
        let last = self.engine.store().stands("import", path)?;
        let is_last = |hash: Hash| {
            let of = last.as_ref().map(|last| &last.body);
            matches!(of, Some(Body::FileImported { hash: last, .. }) if *last == hash)
        };
        if left_out.is_empty() && is_last(taken_of(&document, &parts, &left_out)) {
            if up.config.is_some() {
                self.tell_what_differs(up, path, &parts, &left_out);
            }
            return Ok(None);
        }
        let who = format!("file:{path}");
        if self.engine.store().last()? == 0 {
            let hash = taken_of(&document, &parts, &left_out);
            drop(document);
            self.begin(path, &who, parts, &left_out, hash)?;
            return Ok(but_for(path, &left_out, told));
        }
        let (mut changes, contents) = self.new_in(&parts, &left_out, &who)?;
        if let Err(NotMade::Problems(problems)) =
            self.without_bad(&mut changes, &mut left_out, &mut told, &document)
        {
            return Ok(Some((not_taken_in(path), problems)));
        }
        // The hash is that of what was taken in: the same file with its bad zones mended is another one.
        let hash = taken_of(&document, &parts, &left_out);
        if !is_last(hash) {
            let chains: BTreeSet<Chain> = changes.iter().map(|(chain, ..)| chain.clone()).collect();
            let is_in = |(chain, _): &(Chain, StoreChange)| chains.contains(chain);
            let contents = contents.into_iter().filter(is_in);
            let contents = contents.map(|(_, content)| content).collect();
            self.bring(path, &who, changes, contents, hash)?;
        }
        self.tell_what_differs(up, path, &parts, &left_out);
        Ok(but_for(path, &left_out, told))
    }

    /// The very first versions of all: what the edge was started with, which serves already.
    fn begin(
        &mut self,
        path: &str,
        who: &str,
        parts: Parts,
        left_out: &BTreeSet<Chain>,
        hash: Hash,
    ) -> Result<(), StoreError> {
        let zones = parts.keys().filter(|chain| !left_out.contains(*chain));
        let many = zones.count();
        let versions = parts
            .into_iter()
            .filter(|(chain, _)| !left_out.contains(chain))
            .flat_map(|(chain, bound)| {
                let mut changes = bound.to_store(None);
                changes.extend(first_version(chain, bound.text));
                changes
            });
        let imported = StoreChange::Event(Body::FileImported {
            path: path.to_owned(),
            hash,
        });
        let changes = versions.chain(std::iter::once(imported));
        let by = By::new(who, "the first import");
        self.engine.begin(&by, many, changes)
    }

    /// Takes out the changes of zones that cannot be compiled. What is wrong with them is told with what is known already.
    pub(super) fn without_bad(
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
        mut more: Vec<StoreChange>,
        hash: Hash,
    ) -> Result<(), NotMade> {
        let imported = Body::FileImported {
            path: path.to_owned(),
            hash,
        };
        let many = changes.len();
        more.push(StoreChange::Event(imported));
        let by = By::new(who, "the file has changed");
        self.engine.make(&by, Vec::new(), changes, more)?;
        if many > 0 {
            say(format_args!(
                "Seawall takes in {path}: {many} change(s), by and by"
            ));
        }
        Ok(())
    }

    /// The chains of a document, each bound to the contents of its files.
    fn parts(
        &mut self,
        document: &Document,
        files: Vec<(PathBuf, Vec<u8>)>,
    ) -> Result<Parts, NotMade> {
        let mut binder = Binder::new(self.safe, files);
        let mut parts = BTreeMap::new();
        for (chain, alone) in alone(document) {
            parts.insert(chain, binder.bind(&alone)?);
        }
        Ok(parts)
    }

    /// What of it is new, and what is to come into the store with which chain.
    fn new_in(
        &mut self,
        parts: &Parts,
        left_out: &BTreeSet<Chain>,
        who: &str,
    ) -> Result<(Changes, Vec<(Chain, StoreChange)>), NotMade> {
        let (mut changes, mut contents) = (Vec::new(), Vec::new());
        for (chain, bound) in parts.iter().filter(|(chain, _)| !left_out.contains(*chain)) {
            let kind = match chain {
                Chain::Platform => Kind::Platform,
                Chain::Zone(_) => Kind::Zone,
            };
            let head = self.engine.store().head(chain)?;
            let is_new =
                |head: &Version| head.tombstone || head.hash != Hash::of(bound.text.as_bytes());
            if head.as_ref().is_some_and(|head| !is_new(head)) {
                continue;
            }
            if let Some(head) = &head
                && last_by_hand(self.engine, chain)?.is_some_and(|by| !by.starts_with("file:"))
                // Files that have other contents now are nobody's change of the document.
                && (!self.is_same_document(head, bound)? || self.is_as_it_was_read(chain, bound)?)
            {
                // It stays live, which is told once the rest is taken in.
                continue;
            }
            let new = self.note(bound, head.as_ref())?;
            contents.extend(new.into_iter().map(|content| (chain.clone(), content)));
            let change = StoreChange::Document(chain.clone(), bound.text.clone());
            changes.push((chain.clone(), change, kind));
        }
        self.gone(parts, who, &mut changes)?;
        Ok((changes, contents))
    }

    /// Whether a version has this document, whatever its files hold.
    fn is_same_document(&mut self, head: &Version, bound: &Bound) -> Result<bool, StoreError> {
        let text = self.engine.store().document(&head.hash)?;
        let same = |text: String| document_of(&text) == document_of(&bound.text);
        Ok(!head.tombstone && text.is_some_and(same))
    }

    /// Adds the deletion of what this file brought once and names no more.
    fn gone(&mut self, named: &Parts, who: &str, changes: &mut Changes) -> Result<(), NotMade> {
        let mut after = None;
        loop {
            let heads = self.engine.store().heads(after.as_ref(), CHAINS)?;
            let Some(last) = heads.last() else {
                return Ok(());
            };
            after = Some(last.chain.clone());
            for head in heads {
                if !head.tombstone
                    && !named.contains_key(&head.chain)
                    && last_by_hand(self.engine, &head.chain)?.as_deref() == Some(who)
                {
                    let chain = head.chain;
                    changes.push((chain.clone(), StoreChange::Delete(chain), Kind::Zone));
                }
            }
        }
    }
}

/// What makes a chain's first version, which serves already.
fn first_version(chain: Chain, text: String) -> [StoreChange; 3] {
    let kind = match &chain {
        Chain::Platform => Kind::Platform,
        Chain::Zone(_) => Kind::Zone,
    };
    [
        StoreChange::Document(chain.clone(), text),
        StoreChange::Start {
            kind,
            chain: chain.clone(),
            from: None,
            with: None,
        },
        StoreChange::Complete(chain),
    ]
}

/// What is told of a file whose zones were taken in but for these.
fn but_for(path: &str, left_out: &BTreeSet<Chain>, told: Problems) -> Option<LeftOut> {
    if left_out.is_empty() {
        return None;
    }
    let names: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let what = format!("{path} is taken in but for {names}, of which stays what serves");
    Some((what, told))
}

/// Nothing of a file is taken in.
fn not_taken_in(path: &str) -> String {
    format!("{path} is not taken in, what is live stays live")
}

/// The hash of a document without these zones, and of the contents of its files, where it names any.
fn taken_of(document: &Document, parts: &Parts, left_out: &BTreeSet<Chain>) -> Hash {
    let taken = parts.iter().filter(|(chain, _)| !left_out.contains(*chain));
    let files = taken.map(|(_, bound)| {
        let document = document_of(&bound.text);
        bound.text.get(document.len()..).unwrap_or_default()
    });
    let files: String = files.collect();
    if left_out.is_empty() {
        return Hash::of_parts(&[document.to_toml().as_bytes(), files.as_bytes()]);
    }
    let mut taken = document.clone();
    let names: BTreeSet<&str> = left_out.iter().filter_map(Chain::zone).collect();
    taken.zones.retain(|zone| !names.contains(&*zone.name));
    Hash::of_parts(&[taken.to_toml().as_bytes(), files.as_bytes()])
}

/// Who made a chain's newest version, the planner and files that changed aside.
fn last_by_hand(engine: &mut Engine, chain: &Chain) -> Result<Option<String>, StoreError> {
    let history = engine.store().history(chain, None, LOOKED_AT)?;
    let mut by_hand = history.into_iter().map(|version| version.author);
    Ok(by_hand.find(|author| author != PLANNER && author != refresh::WHO))
}
