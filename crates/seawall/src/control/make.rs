//! From a document to versions: what is new in it is compiled, then each zone and what all zones share get a version and a rollout.
//!
//! A document never deletes what it leaves out. The file that `up` is given is another matter: see [`import`](super::import).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use seawall_control::store::{Body, Change as StoreChange, Expect, StoreError};
use seawall_control::version::{Hash, Version, assemble, platform_text};
use seawall_guard::StageDef;
use seawall_model::document::{self, Parsed};
#[cfg(feature = "unsafe-drills")]
use seawall_model::safeguard::{Safeguard, is_off};
use seawall_model::tempo::Kind;
use seawall_model::{Document, Limits, Problem, Problems};

use super::answer::unknown;
use super::asks::{Applied, Checked, Conflict, NotMade, Request, Told, When};
use super::diff::diff;
use super::engine::Engine;
use super::files::{self, Binder, Bound, Safe};
use super::machine;
use super::newest::Newest;
use crate::contents;
use crate::file;
use crate::order::Chain;
use crate::token::{self, Scope, Token};

/// Chains that are asked for at once.
pub(super) const CHAINS: usize = 1_000;

/// What makes versions.
pub struct Maker<'e> {
    /// Rollouts and the truth.
    pub engine: &'e mut Engine,
    /// All stages, for compiling.
    pub stages: &'static [&'static StageDef],
    /// Opens and encrypts what is secret in files.
    pub safe: &'e Safe,
    /// Contents of files that are to come into the store.
    pub new: HashMap<Hash, Arc<[u8]>>,
    /// What is newest, compiled, where that is known already.
    pub newest: &'e mut Option<Newest>,
}

/// On whose behalf something is written.
#[derive(Clone, Copy)]
pub struct By<'b> {
    /// Who.
    pub who: &'b str,
    /// Why.
    pub why: &'b str,
    /// What the asker calls this very request.
    pub request: Option<Request>,
}

impl<'b> By<'b> {
    /// Something that is no request of anybody's.
    pub const fn new(who: &'b str, why: &'b str) -> Self {
        Self {
            who,
            why,
            request: None,
        }
    }
}

/// A document that somebody wants to be applied.
pub struct Wanted<'w> {
    /// Its text.
    pub text: &'w str,
    /// Where relative paths in it begin.
    pub folder: &'w Path,
    /// The one chain that it must be of.
    pub chain: Option<&'w Chain>,
    /// What was looked at before.
    pub when: Option<&'w When>,
    /// Guards that ask for a person need ask no more.
    pub approve: bool,
    /// The token by which it came, if it did not come from the owner of this machine.
    pub token: Option<&'w Token>,
}

/// What is new in a document.
#[derive(Default)]
struct New {
    changes: Vec<(Chain, StoreChange, Kind)>,
    expect: Vec<Expect>,
    unchanged: Vec<Chain>,
    /// What comes into the store with them.
    contents: Vec<StoreChange>,
}

/// What is wrong with changes.
#[derive(Default)]
pub(super) struct Found {
    /// Each problem with the zone whose it is; none: it is everybody's.
    pub(super) list: Vec<(Option<Chain>, Problem)>,
    /// So many are not listed.
    more: u64,
}

impl Found {
    pub(super) fn problems(self) -> Problems {
        Problems {
            list: self.list.into_iter().map(|(_, problem)| problem).collect(),
            more: self.more,
        }
    }
}

impl Maker<'_> {
    /// Versions of what is new in a document.
    ///
    /// # Errors
    /// All problems, that somebody else was first, or that the token does not allow it.
    pub fn apply(&mut self, wanted: &Wanted<'_>, by: &By<'_>) -> Result<Applied, NotMade> {
        let new = self.new_of(wanted)?;
        let mut more = new.contents;
        let mut notes = Vec::new();
        if wanted.approve {
            // In the same append: what was told to be there is there whole.
            let begin = new.changes.iter().map(|(chain, ..)| chain.clone());
            more.extend(begin.map(StoreChange::Approve));
            for (rollout, chain) in self.engine.unapproved(&new.unchanged)? {
                more.push(StoreChange::Event(Body::Approved { rollout }));
                notes.push(format!(
                    "{chain}: what is on its way already goes on (rollout {rollout})"
                ));
            }
        }
        let mut applied = Applied::default();
        if !new.changes.is_empty() || !more.is_empty() {
            let is_first = self.engine.serving().is_empty();
            let made = self.engine.make(by, new.expect, new.changes, more)?;
            if is_first {
                self.engine.begins_with(&made)?;
            }
            applied = super::answer::applied(&made);
        }
        Ok(Applied {
            unchanged: new.unchanged.len(),
            notes,
            ..applied
        })
    }

    /// What applying a document would do.
    ///
    /// # Errors
    /// As [`Maker::apply`].
    pub fn try_out(&mut self, wanted: &Wanted<'_>) -> Result<Checked, NotMade> {
        let new = self.new_of(wanted)?;
        let changes = new.changes.into_iter().map(|(chain, _, _)| chain);
        Ok(Checked {
            changes: changes.collect(),
            unchanged: new.unchanged.len(),
        })
    }

    /// What is new in a document, compiled.
    fn new_of(&mut self, wanted: &Wanted<'_>) -> Result<New, NotMade> {
        let mut parsed = document::parse_alone(wanted.text, &Limits::default());
        #[cfg(feature = "unsafe-drills")]
        if is_off(Safeguard::Check) {
            parsed.problems = None;
        }
        if let Some(problems) = parsed.problems {
            return Err(NotMade::Problems(problems));
        }
        parsed.document.make_absolute(wanted.folder);
        let document = parsed.document;
        let mut parts = Vec::new();
        // Where no version says otherwise, what is written out and is the default changes nothing.
        let says = parsed.names_platform && self.engine.store().head(&Chain::Platform)?.is_some();
        if says || platform_text(&document) != platform_text(&Document::default()) {
            parts.push((Chain::Platform, document.head(), Kind::Platform));
        }
        let zones = files::alone(&document).skip(1);
        parts.extend(zones.map(|(chain, alone)| (chain, alone, Kind::Zone)));
        if wanted.chain == Some(&Chain::Platform) && parts.is_empty() {
            parts.push((Chain::Platform, document.head(), Kind::Platform));
        }
        if let Some(chain) = wanted.chain
            && !matches!(parts.as_slice(), [(of, _, _)] if of == chain)
        {
            return Err(NotMade::Refused(format!(
                "the document must be of {chain} and of nothing else: `[edge]` and `[lists]` make the platform, a [[zone]] the zone"
            )));
        }
        if wanted.when.is_some() && parts.len() != 1 {
            return Err(NotMade::Refused(
                "a parent is the number of one zone's version: apply one zone at a time with it"
                    .into(),
            ));
        }
        let mut new = New::default();
        let mut binder = Binder::new(self.safe, Vec::new());
        for (chain, alone, kind) in parts {
            self.add(wanted, &mut new, &mut binder, chain, &alone, kind)?;
        }
        let order: Vec<&str> = document.zones.iter().map(|zone| &*zone.name).collect();
        if !new.changes.is_empty() {
            self.check(&new.changes, &order)?;
        }
        Ok(new)
    }

    /// Adds what one part of a document changes.
    fn add(
        &mut self,
        wanted: &Wanted<'_>,
        new: &mut New,
        binder: &mut Binder<'_>,
        chain: Chain,
        alone: &Document,
        kind: Kind,
    ) -> Result<(), NotMade> {
        let head = self.engine.store().head(&chain)?;
        let newest = head.as_ref().filter(|head| !head.tombstone);
        if let Some(token) = wanted.token {
            self.allowed(token, &chain, alone)?;
        }
        let expected = match wanted.when {
            None => head.as_ref().map(|head| head.number),
            Some(When::Absent) if newest.is_none() => head.as_ref().map(|head| head.number),
            Some(When::Absent) => return Err(self.too_late(&chain, None)?),
            Some(When::Present) if newest.is_some() => head.as_ref().map(|head| head.number),
            Some(When::Present) => return Err(NotMade::Unknown(unknown(&chain))),
            Some(When::Is(number, hash)) => {
                let is = |head: &&Version| {
                    head.number == *number && head.hash.to_string().starts_with(hash)
                };
                if head.as_ref().filter(is).is_none() {
                    return Err(self.too_late(&chain, Some(*number))?);
                }
                Some(*number)
            }
        };
        new.expect.push(Expect::Head(chain.clone(), expected));
        let bound = binder.bind(alone)?;
        if newest.is_some_and(|head| head.hash == Hash::of(bound.text.as_bytes())) {
            new.unchanged.push(chain);
            return Ok(());
        }
        new.contents.extend(self.note(&bound, newest)?);
        let text = bound.text;
        new.changes
            .push((chain.clone(), StoreChange::Document(chain, text), kind));
        Ok(())
    }

    /// Notes the contents of a new version's files, for compiling; what brings them into the store, where the version before has not.
    pub(super) fn note(
        &mut self,
        bound: &Bound,
        before: Option<&Version>,
    ) -> Result<Vec<StoreChange>, StoreError> {
        if bound.contents.is_empty() {
            return Ok(Vec::new());
        }
        self.new.extend(bound.contents.iter().cloned());
        let before = before.map(|before| self.engine.store().document(&before.hash));
        Ok(bound.to_store(before.transpose()?.flatten().as_deref()))
    }

    /// Whether a token may make this the newest document of a chain.
    fn allowed(&mut self, token: &Token, chain: &Chain, alone: &Document) -> Result<(), NotMade> {
        self.may_change(token, chain)?;
        if token.may(&Scope::Word("files")) {
            return Ok(());
        }
        let before = self.newest(chain)?;
        let before = before.as_ref().map(machine::named).unwrap_or_default();
        // What every document names by default names nothing.
        let usual = machine::named(&Document::default());
        match machine::named(alone)
            .into_iter()
            .find(|name| !before.contains(name) && !usual.contains(name))
        {
            None => Ok(()),
            Some(name) => Err(NotMade::Forbidden(format!(
                "{chain} would name {name:?} on the edge's machine, which takes a token with the scope `files`"
            ))),
        }
    }

    /// Whether a token may change a chain at all.
    ///
    /// # Errors
    /// That it may not, or that the chain is a file's.
    pub fn may_change(&mut self, token: &Token, chain: &Chain) -> Result<(), NotMade> {
        if !token.may_change(chain) {
            let scope = token::of_chain(chain);
            return Err(NotMade::Forbidden(format!(
                "{chain} is changed by tokens with the scope `{scope}`"
            )));
        }
        let newest = self.newest(chain)?;
        let is_files = |document: Document| document.zones.iter().any(|zone| zone.managed_by_file);
        if newest.is_some_and(is_files) {
            return Err(NotMade::Refused(format!(
                "{chain} is read-only here: its document says `managed_by = \"file\"`; change it there, or with `seawall apply` on the machine that runs it"
            )));
        }
        Ok(())
    }

    /// The newest document of a chain, if it has one.
    fn newest(&mut self, chain: &Chain) -> Result<Option<Document>, NotMade> {
        let head = self.engine.store().head(chain)?;
        let Some(head) = head.filter(|head| !head.tombstone) else {
            return Ok(None);
        };
        let text = self.engine.store().document(&head.hash)?;
        let read = |text: String| document::parse_alone(&text, &Limits::default()).document;
        Ok(text.map(read))
    }

    /// Somebody else was first: what they changed since this version.
    fn too_late(&mut self, chain: &Chain, since: Option<u64>) -> Result<NotMade, NotMade> {
        let head = self.engine.store().head(chain)?;
        let serves = self.engine.serves(chain);
        let why = match &head {
            Some(head) => format!(
                "somebody else was first: {chain} is at version {} by {}; look at what changed, then send yours on top of it",
                head.number, head.author
            ),
            None => format!("{chain} has no version yet"),
        };
        let mut told = Conflict {
            why,
            ..Conflict::default()
        };
        if let (Some(head), Some(since)) = (&head, since) {
            let before = self.engine.text(chain, since)?;
            let after = self.engine.text(chain, head.number)?;
            let known = before
                .map(|before| diff(since, head.number, &before, &after.unwrap_or_default()).diff);
            told.diff = known;
        }
        told.head = head.map(|head| Told::of(head, serves, false));
        Ok(NotMade::Conflict(Box::new(told)))
    }

    /// Compiles what would serve with these changes, as an edge does. Problems are told by the places of zones in `order`.
    fn check(
        &mut self,
        changes: &[(Chain, StoreChange, Kind)],
        order: &[&str],
    ) -> Result<(), NotMade> {
        let found = self.found_in(changes, order)?;
        if found.list.is_empty() {
            return Ok(());
        }
        Err(NotMade::Problems(found.problems()))
    }

    /// As [`check`](Self::check): what is wrong, and whose it is.
    ///
    /// # Errors
    /// As the store says.
    pub(super) fn found_in(
        &mut self,
        changes: &[(Chain, StoreChange, Kind)],
        order: &[&str],
    ) -> Result<Found, StoreError> {
        if let Some(found) = self.found_by_newest(changes, order)? {
            return Ok(found);
        }
        let texts = self.newest_texts()?;
        Ok(self.found_among(texts, changes, order))
    }

    /// The same in the time that the changes take, by what is compiled already; none when that cannot tell.
    fn found_by_newest(
        &mut self,
        changes: &[(Chain, StoreChange, Kind)],
        order: &[&str],
    ) -> Result<Option<Found>, StoreError> {
        let of_all = changes.iter().any(|(chain, ..)| *chain == Chain::Platform);
        if of_all || changes.len() > CHAINS {
            return Ok(None);
        }
        let known = match self.newest.take() {
            Some(mut known) => {
                let store = self.engine.store();
                known
                    .catch_up(store, self.safe, &self.new)?
                    .then_some(known)
            }
            None => None,
        };
        let known = match known {
            Some(known) => Some(known),
            None => {
                let seq = self.engine.store().last()?;
                let (parsed, _) = whole(self.newest_texts()?);
                let (safe, new, store) = (self.safe, &self.new, self.engine.store());
                let mut read = |path: &Path, room| files::read(safe, store, new, path, room);
                Newest::of(&parsed, seq, self.stages, &mut read)
            }
        };
        let Some(mut newest) = known else {
            return Ok(None);
        };
        let (safe, new, store) = (self.safe, &self.new, self.engine.store());
        let mut read = |path: &Path, room| files::read(safe, store, new, path, room);
        let found = match newest.takes(changes, &mut read) {
            true => Some(Found::default()),
            false => self.found_nearby(&newest, changes, order)?,
        };
        *self.newest = Some(newest);
        Ok(found)
    }

    /// What is wrong with changes among the zones that have a host they claim; none when nothing is.
    fn found_nearby(
        &mut self,
        newest: &Newest,
        changes: &[(Chain, StoreChange, Kind)],
        order: &[&str],
    ) -> Result<Option<Found>, StoreError> {
        let mut near = BTreeSet::from([Chain::Platform]);
        for (_, change, _) in changes {
            if let StoreChange::Document(_, text) = change {
                let document = document::parse_alone(text, &Limits::default()).document;
                near.extend(newest.rivals(&document).into_iter().map(Chain::Zone));
            }
        }
        let mut texts = BTreeMap::new();
        for chain in near {
            let head = self.engine.store().head(&chain)?;
            if let Some(head) = head.filter(|head| !head.tombstone)
                && let Some(text) = self.engine.store().document(&head.hash)?
            {
                texts.insert(chain, text);
            }
        }
        let found = self.found_among(texts, changes, order);
        Ok((!found.list.is_empty()).then_some(found))
    }

    /// What is wrong with changes, beside these newest texts.
    pub(super) fn found_among(
        &mut self,
        mut texts: BTreeMap<Chain, String>,
        changes: &[(Chain, StoreChange, Kind)],
        order: &[&str],
    ) -> Found {
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
        let (parsed, names) = whole(texts);
        let (safe, new) = (self.safe, &self.new);
        let store = self.engine.store();
        let read = |path: &Path, room| files::read(safe, store, new, path, room);
        let problems = file::problems_by(&parsed, self.stages, read);
        let platform_changes = changed.contains(&Chain::Platform);
        let mut found = Found {
            list: Vec::new(),
            more: problems.more,
        };
        for mut problem in problems.list {
            let place = zone_of(&problem.path)
                .and_then(|(index, rest)| Some((names.get(index)?.clone(), rest.to_owned())));
            let Some((zone, rest)) = place else {
                (problem.line, problem.column) = (None, None);
                found.list.push((None, problem));
                continue;
            };
            // A zone that was bad before is its own affair, unless what all zones share is what made it so.
            if !changed.contains(&zone) && !platform_changes {
                continue;
            }
            // Lines are those of a text that nobody has seen.
            (problem.line, problem.column) = (None, None);
            let place = order.iter().position(|name| Some(*name) == zone.zone());
            problem.what = format!("in {zone}: {}", problem.what);
            problem.path = match place {
                Some(place) => format!("zone[{place}]{rest}"),
                None => format!("zone{rest}"),
            };
            found.list.push((Some(zone), problem));
        }
        #[cfg(feature = "unsafe-drills")]
        if is_off(Safeguard::Check) {
            found.list.clear();
        }
        found
    }

    /// The newest texts of all chains, without those of deleted zones.
    fn newest_texts(&mut self) -> Result<BTreeMap<Chain, String>, StoreError> {
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
}

/// One document of the texts of chains, read, with files by what they are; and the zones in it, in their order.
fn whole(mut texts: BTreeMap<Chain, String>) -> (Parsed, Vec<Chain>) {
    texts
        .values_mut()
        .for_each(|text| *text = contents::named(text));
    let platform = texts.remove(&Chain::Platform);
    let platform = platform.unwrap_or_else(|| platform_text(&Document::default()));
    let text = assemble(&platform, texts.values().map(String::as_str));
    let mut limits = Limits::default();
    limits.document_bytes *= 4;
    (
        document::parse_zones(&text, &limits),
        texts.into_keys().collect(),
    )
}

/// The index of the zone that a problem's path begins with, and the rest of the path.
fn zone_of(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix("zone[")?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}
