//! What an append does, worked out of what the store knows: pure, the same for every kind of store.
//!
//! A store looks up what is asked for ([`Needs`]), hands over what it found ([`Known`]), and writes down what comes of it
//! ([`Work`]), all in one transaction. A rebuild goes the same way, entry by entry, so that what is derived by it is what an
//! append derives. Not here: tables, SQL, transactions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use seawall_model::tempo::Kind;

use super::entry::{Body, Entry, Outcome, Stands, Subject};
use super::packed::{Packed, Packer};
use super::rollout::{Rollout, State};
use super::{
    Append, Appended, Blob, Change, Conflict, Expect, MOST_BODY, MOST_CHANGES, MOST_CONTENT,
    MOST_CONTENTS, MOST_DOCUMENT, MOST_DOCUMENTS, MOST_WHO, MOST_WHY, StoreError,
};
use crate::version::{Chain, Hash, Version};

/// What has to be looked up before an append.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The heads of these chains.
    pub chains: BTreeSet<Chain>,
    /// These versions.
    pub versions: BTreeSet<(Chain, u64)>,
    /// These rollouts.
    pub rollouts: BTreeSet<u64>,
    /// Which of these have a rollout that runs.
    pub keys: BTreeSet<String>,
}

impl Needs {
    pub(super) fn of(append: &Append) -> Self {
        let mut needs = Self::default();
        for expected in &append.expect {
            if let Expect::Head(chain, _) = expected {
                needs.chains.insert(chain.clone());
            }
        }
        for change in &append.changes {
            needs.of_change(change);
        }
        needs
    }

    fn of_change(&mut self, change: &Change) {
        match change {
            Change::Document(chain, _) | Change::Delete(chain) | Change::Restore(chain) => {
                self.chains.insert(chain.clone());
            }
            Change::Return(chain, to) => {
                self.chains.insert(chain.clone());
                self.versions.insert((chain.clone(), *to));
            }
            Change::Start { chain, from, .. } => {
                self.chains.insert(chain.clone());
                self.keys.insert(chain.to_string());
                self.versions.extend(from.map(|from| (chain.clone(), from)));
            }
            Change::Content(_) | Change::Approve(_) | Change::Complete(_) => {}
            Change::Kill(switch) => {
                let subject = Subject::Kill(switch.scope.clone());
                self.keys.insert(subject.key());
            }
            Change::Event(body) => {
                if let Body::Pinned { chain, number } = body {
                    self.versions.insert((chain.clone(), *number));
                }
                self.rollouts.extend(body.rollout());
            }
        }
    }

    /// For entries that are in a log already.
    pub(super) fn of_entries(entries: &[Entry]) -> Self {
        let mut needs = Self::default();
        for entry in entries {
            needs.rollouts.extend(entry.body.rollout());
            if let Body::RolloutStarted { subject, .. } = &entry.body {
                needs.keys.insert(subject.key());
            }
        }
        needs
    }
}

/// What was found of what is needed.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The number and the hash of the log's last entry.
    pub last: (u64, Hash),
    /// Heads.
    pub heads: HashMap<Chain, Version>,
    /// Versions.
    pub versions: HashMap<(Chain, u64), Version>,
    /// Rollouts.
    pub rollouts: HashMap<u64, Rollout>,
    /// Those of the keys that have a rollout that runs.
    pub running: HashSet<String>,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Work {
    known: Known,
    /// The log's new entries.
    pub entries: Vec<Entry>,
    /// Documents and contents of files, which may be there already.
    pub documents: Vec<Packed>,
    /// New versions.
    pub versions: Vec<Version>,
    /// Heads that moved: the number, and the entry that made it.
    pub heads: BTreeMap<Chain, (u64, u64)>,
    /// Rollouts that are new or changed.
    pub rollouts: BTreeMap<u64, Rollout>,
    /// Those that began here, by their chains.
    begun: HashMap<Chain, u64>,
    /// What stands now, by topic and key: the entry; none: nothing does any more.
    pub standing: BTreeMap<(&'static str, String), Option<u64>>,
}

fn refused<T>(what: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Refused(what.into()))
}

fn packing(error: std::io::Error) -> StoreError {
    StoreError::Refused(format!("a document or a file cannot be packed: {error}"))
}

/// What can be refused without looking at the store.
pub(super) fn bounded(append: &Append) -> Result<(), StoreError> {
    let bounds = [
        ("who", append.who.len(), MOST_WHO),
        ("why", append.why.len(), MOST_WHY),
        ("the list of changes", append.changes.len(), MOST_CHANGES),
    ];
    for (what, len, most) in bounds {
        if len > most {
            return refused(format!(
                "{what} has a length of {len}; at most {most}: make it shorter, or send it in parts"
            ));
        }
    }
    if append.who.is_empty() {
        return refused("an entry needs to say who made it");
    }
    for (what, text) in [("who", &append.who), ("why", &append.why)] {
        without_nul(what, text)?;
    }
    let (mut total, mut of_files) = (0_usize, 0_usize);
    for change in &append.changes {
        match change {
            Change::Document(chain, text) if text.len() > MOST_DOCUMENT => {
                return refused(format!(
                    "the document of {chain} has {} bytes; at most {MOST_DOCUMENT}",
                    text.len()
                ));
            }
            Change::Content(Blob(bytes)) if bytes.len() > MOST_CONTENT => {
                return refused(format!(
                    "a file has {} bytes; at most {MOST_CONTENT}",
                    bytes.len()
                ));
            }
            Change::Document(_, text) => total = total.saturating_add(text.len()),
            Change::Content(Blob(bytes)) => of_files = of_files.saturating_add(bytes.len()),
            _ => {}
        }
    }
    if of_files > MOST_CONTENTS {
        return refused(format!(
            "the files have {of_files} bytes together; at most {MOST_CONTENTS} in one append: send documents in parts"
        ));
    }
    if total > MOST_DOCUMENTS {
        return refused(format!(
            "the documents have {total} bytes together; at most {MOST_DOCUMENTS} in one append: send them in parts"
        ));
    }
    Ok(())
}

/// PostgreSQL keeps no such text, and what one kind of store refuses all do.
fn without_nul(what: &str, text: &str) -> Result<(), StoreError> {
    if text.contains('\0') {
        return refused(format!("{what} has a zero byte in it: leave it out"));
    }
    Ok(())
}

/// What a request is told from another by, when both call themselves the same.
pub(super) fn digest(append: &Append) -> Hash {
    if let Some(asked) = append.asked {
        return asked;
    }
    // `Debug` of our own types spells every field; the times of two attempts may differ.
    let changes = format!("{:?}", append.changes);
    Hash::of_parts(&[
        append.who.as_bytes(),
        &[0],
        append.why.as_bytes(),
        &[0],
        changes.as_bytes(),
    ])
}

/// The answer that this request had when it came first, where these are the entries that it made then.
pub(super) fn again(entries: &[Entry], append: &Append) -> Result<Appended, StoreError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return refused("a request without entries");
    };
    let digest = digest(append);
    if first.request.is_none_or(|(_, before)| before != digest) {
        return refused(format!(
            "this request's id was used before, for something else (entry {}): each request needs an id of its own",
            first.seq
        ));
    }
    Ok(told(first.seq, last.seq, entries, true))
}

/// What an append did that made these entries, and what was asked with it; none if there are none.
pub(super) fn done_by(entries: &[Entry]) -> Option<(Appended, Hash)> {
    let (first, last) = entries.first().zip(entries.last())?;
    let (_, asked) = first.request?;
    Some((told(first.seq, last.seq, entries, true), asked))
}

fn told(first: u64, last: u64, entries: &[Entry], again: bool) -> Appended {
    let began = |entry: &&Entry| matches!(entry.body, Body::RolloutStarted { .. });
    Appended {
        first,
        last,
        versions: entries.iter().filter_map(version_of).collect(),
        rollouts: entries
            .iter()
            .filter(began)
            .map(|entry| entry.seq)
            .collect(),
        again,
    }
}

/// The version that an entry tells of.
fn version_of(entry: &Entry) -> Option<Version> {
    let Body::VersionCreated {
        chain,
        number,
        parent,
        document,
        tombstone,
        ..
    } = &entry.body
    else {
        return None;
    };
    Some(Version {
        chain: chain.clone(),
        number: *number,
        parent: *parent,
        hash: *document,
        author: entry.who.clone(),
        why: entry.why.clone(),
        at: entry.at,
        tombstone: *tombstone,
    })
}

impl Work {
    /// What an append does where that much is known.
    pub(super) fn of(known: Known, append: &Append) -> Result<(Self, Appended), StoreError> {
        let mut work = Self {
            known,
            ..Self::default()
        };
        let (last, _) = work.known.last;
        for expected in &append.expect {
            work.holds(expected, last)?;
        }
        let request = append.request.map(|id| (id.0, digest(append)));
        let mut packer = Packer::new().map_err(packing)?;
        for change in &append.changes {
            for body in work.bodies(&mut packer, change)? {
                work.put(append, body, request)?;
            }
        }
        let done = told(last + 1, work.known.last.0, &work.entries, false);
        Ok((work, done))
    }

    /// What is derived of entries that are in the log already; they are not written again.
    pub(super) fn derived_of(known: Known, entries: &[Entry]) -> Result<Self, StoreError> {
        let mut work = Self {
            known,
            ..Self::default()
        };
        for entry in entries {
            work.take(entry)?;
        }
        Ok(work)
    }

    /// Entries of another log, with documents, as they are.
    pub(super) fn taken_in(
        known: Known,
        entries: &[Entry],
        documents: &[Vec<u8>],
    ) -> Result<Self, StoreError> {
        let (mut seq, mut hash) = known.last;
        for entry in entries {
            if let Err(broken) = entry.follows(seq, hash) {
                return refused(format!(
                    "what is to be taken in does not follow what is there: {broken}"
                ));
            }
            (seq, hash) = (entry.seq, entry.hash);
        }
        let mut work = Self::derived_of(known, entries)?;
        let mut packer = Packer::new().map_err(packing)?;
        for bytes in documents {
            work.documents.push(packer.pack(bytes).map_err(packing)?);
        }
        work.entries = entries.to_vec();
        work.known.last = (seq, hash);
        Ok(work)
    }

    /// The number and the hash that the log ends with when this is written.
    pub(super) fn end(&self) -> (u64, Hash) {
        self.known.last
    }

    fn head(&self, chain: &Chain) -> Option<&Version> {
        self.known.heads.get(chain)
    }

    fn version(&self, chain: &Chain, number: u64) -> Option<&Version> {
        self.known.versions.get(&(chain.clone(), number))
    }

    fn holds(&self, expected: &Expect, seq: u64) -> Result<(), StoreError> {
        let (holds, head) = match expected {
            Expect::Seq(number) => (*number == seq, None),
            Expect::Head(chain, number) => {
                let head = self.head(chain);
                (head.map(|head| head.number) == *number, head.cloned())
            }
        };
        if holds {
            return Ok(());
        }
        Err(StoreError::Conflict(Box::new(Conflict {
            expected: expected.clone(),
            head,
            seq,
        })))
    }

    /// The entries that a change makes.
    fn bodies(&mut self, packer: &mut Packer, change: &Change) -> Result<Vec<Body>, StoreError> {
        let body = match change {
            Change::Document(chain, text) => {
                let packed = packer.pack(text.as_bytes()).map_err(packing)?;
                let hash = packed.hash;
                self.documents.push(packed);
                self.next(chain, hash, false, None)
            }
            Change::Content(Blob(bytes)) => {
                let packed = packer.pack(bytes).map_err(packing)?;
                self.documents.push(packed);
                return Ok(Vec::new());
            }
            Change::Return(chain, to) => match self.version(chain, *to) {
                Some(of) if !of.tombstone => self.next(chain, of.hash, false, Some(*to)),
                Some(_) => {
                    return refused(format!(
                        "version {to} of {chain} is a deletion: choose one with a document"
                    ));
                }
                None => return refused(format!("{chain} has no version {to}: see its history")),
            },
            Change::Delete(Chain::Platform) => {
                return refused("the platform cannot be deleted: roll it back instead");
            }
            Change::Delete(chain) => match self.head(chain) {
                Some(head) if !head.tombstone => self.next(chain, head.hash, true, None),
                _ => return refused(format!("{chain} is not there")),
            },
            Change::Restore(chain) => match self.head(chain) {
                Some(head) if head.tombstone => self.next(chain, head.hash, false, head.parent),
                Some(_) => return refused(format!("{chain} is not deleted")),
                None => return refused(format!("{chain} never was: check its spelling")),
            },
            Change::Start {
                kind,
                chain,
                from,
                with,
            } => self.start(*kind, chain, *from, with.as_ref())?,
            Change::Approve(chain) => Body::Approved {
                rollout: self.begun(chain)?,
            },
            Change::Complete(chain) => Body::RolloutEnded {
                rollout: self.begun(chain)?,
                outcome: Outcome::Complete,
            },
            Change::Kill(switch) => {
                let began = Body::RolloutStarted {
                    tempo: Kind::Kill,
                    subject: Subject::Kill(switch.scope.clone()),
                    with: None,
                };
                return Ok(vec![Body::KillSet(switch.clone()), began]);
            }
            Change::Event(body) => {
                self.may_be_said(body)?;
                body.clone()
            }
        };
        Ok(vec![body])
    }

    fn next(&self, chain: &Chain, document: Hash, tombstone: bool, of: Option<u64>) -> Body {
        let parent = self.head(chain).map(|head| head.number);
        Body::VersionCreated {
            chain: chain.clone(),
            number: parent.unwrap_or(0) + 1,
            parent,
            document,
            tombstone,
            of,
        }
    }

    fn start(
        &self,
        tempo: Kind,
        chain: &Chain,
        from: Option<u64>,
        with: Option<&Chain>,
    ) -> Result<Body, StoreError> {
        let Some(head) = self.head(chain) else {
            return refused(format!("{chain} has no version to roll out"));
        };
        if let Some(number) = from
            && self.version(chain, number).is_none()
        {
            return refused(format!("{chain} has no version {number} to roll out from"));
        }
        Ok(Body::RolloutStarted {
            tempo,
            subject: Subject::Version {
                chain: chain.clone(),
                from,
                to: head.number,
            },
            with: with.map(|with| self.begun(with)).transpose()?,
        })
    }

    /// The rollout of a chain that began in this append.
    fn begun(&self, chain: &Chain) -> Result<u64, StoreError> {
        match self.begun.get(chain).and_then(|id| self.rollouts.get(id)) {
            Some(begun) if begun.state == State::Running => Ok(begun.id),
            _ => refused(format!("no rollout of {chain} begins here")),
        }
    }

    /// Refuses an event that names what is not there.
    fn may_be_said(&self, body: &Body) -> Result<(), StoreError> {
        match body {
            Body::VersionCreated { .. } | Body::RolloutStarted { .. } | Body::KillSet(_) => {
                refused(format!(
                    "{} is not for callers to append: use the change that makes it",
                    body.kind()
                ))
            }
            Body::Pinned { chain, number } if self.version(chain, *number).is_none() => {
                refused(format!("{chain} has no version {number} to pin"))
            }
            _ => Ok(()),
        }
    }

    /// Puts an entry behind the last one, and takes it in.
    fn put(
        &mut self,
        append: &Append,
        body: Body,
        request: Option<([u8; 16], Hash)>,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(&body).map_err(|error| {
            StoreError::Refused(format!("the entry cannot be written: {error}"))
        })?;
        if text.len() > MOST_BODY {
            return refused(format!(
                "an entry has {} bytes; at most {MOST_BODY}",
                text.len()
            ));
        }
        let (seq, prev) = self.known.last;
        let mut entry = Entry {
            seq: seq + 1,
            // What a clock says cannot make an entry that reads back as another.
            at: append.at.min(i64::MAX as u64),
            who: append.who.clone(),
            why: append.why.clone(),
            body,
            text,
            request,
            prev,
            hash: Hash::NONE,
        };
        entry.hash = entry.sealed();
        self.take(&entry)?;
        self.known.last = (entry.seq, entry.hash);
        self.entries.push(entry);
        Ok(())
    }

    /// What is derived of an entry: one way to do it, for an append and for a rebuild.
    fn take(&mut self, entry: &Entry) -> Result<(), StoreError> {
        if let Some(version) = version_of(entry) {
            let (chain, number) = (version.chain.clone(), version.number);
            without_nul("the zone's name", &chain.to_string())?;
            self.heads.insert(chain.clone(), (number, entry.seq));
            self.known.heads.insert(chain.clone(), version.clone());
            let versions = &mut self.known.versions;
            versions.insert((chain, number), version.clone());
            self.versions.push(version);
        }
        if let Some(rollout) = Rollout::begun(entry) {
            if self.known.running.contains(&rollout.key()) {
                return refused(format!(
                    "a rollout of {} runs already: wait for its end, or abort it in the same append",
                    rollout.key()
                ));
            }
            if let Subject::Version { chain, .. } = &rollout.subject {
                self.begun.insert(chain.clone(), rollout.id);
            }
            self.keep(rollout);
        }
        if let Some(id) = entry.body.rollout() {
            let Some(mut rollout) = self.known.rollouts.remove(&id) else {
                return refused(format!("there is no rollout {id}"));
            };
            rollout.take(entry).or_else(refused)?;
            self.keep(rollout);
        }
        match entry.body.stands() {
            Some(Stands::Set(topic, key)) => {
                without_nul("its name", &key)?;
                self.standing.insert((topic, key), Some(entry.seq));
            }
            Some(Stands::Clear(topic, key)) => {
                without_nul("its name", &key)?;
                self.standing.insert((topic, key), None);
            }
            None => {}
        }
        Ok(())
    }

    fn keep(&mut self, rollout: Rollout) {
        if rollout.state == State::Running {
            self.known.running.insert(rollout.key());
        } else {
            self.known.running.remove(&rollout.key());
        }
        self.known.rollouts.insert(rollout.id, rollout.clone());
        self.rollouts.insert(rollout.id, rollout);
    }
}
