//! An append, and what is derived of it, in one transaction.

use std::path::Path;

use rusqlite::{Connection, Statement, Transaction, TransactionBehavior};

use super::super::entry::{Body, Entry, Stands, Subject};
use super::super::rollout::{Rollout, State};
use super::super::{
    Append, Appended, Change, Conflict, Expect, MOST_BODY, MOST_CHANGES, MOST_DOCUMENT,
    MOST_DOCUMENTS, MOST_WHO, MOST_WHY, RequestId, StoreError,
};
use super::read::{self, Wrong, int};
use super::schema::{corrupt, fault};
use crate::version::{Chain, Hash, Version};

/// What a document is packed with: half the time of the default for a few hundredths more bytes.
const LEVEL: i32 = 1;

/// What an append fails by, before it is told.
enum Stop {
    Wrong(Wrong),
    Told(StoreError),
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Wrong(Wrong::Sql(error))
    }
}

fn packing(error: std::io::Error) -> Stop {
    Stop::Told(StoreError::Refused(format!(
        "the document cannot be packed: {error}"
    )))
}

fn refused<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Told(StoreError::Refused(what.into())))
}

pub(super) fn append(
    db: &mut Connection,
    path: &Path,
    append: &Append,
) -> Result<Appended, StoreError> {
    let told = |stop| match stop {
        Stop::Wrong(wrong) => wrong.told(path),
        Stop::Told(error) => error,
    };
    bounded(append).map_err(told)?;
    // Immediate: what is expected is looked at with the only right to write in our hands.
    let transaction = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| fault(path, error))?;
    let done = within(&transaction, append).map_err(told)?;
    transaction.commit().map_err(|error| fault(path, error))?;
    Ok(done)
}

/// What can be refused without looking at the store.
fn bounded(append: &Append) -> Result<(), Stop> {
    let bounds = [
        ("who", append.who.len(), MOST_WHO),
        ("why", append.why.len(), MOST_WHY),
        ("the list of changes", append.changes.len(), MOST_CHANGES),
    ];
    for (what, len, most) in bounds {
        if len > most {
            return refused(format!("{what} has a length of {len}; at most {most}"));
        }
    }
    if append.who.is_empty() {
        return refused("an entry needs to say who made it");
    }
    let mut total = 0_usize;
    for change in &append.changes {
        let Change::Document(chain, text) = change else {
            continue;
        };
        if text.len() > MOST_DOCUMENT {
            return refused(format!(
                "the document of {chain} has {} bytes; at most {MOST_DOCUMENT}",
                text.len()
            ));
        }
        total = total.saturating_add(text.len());
    }
    if total > MOST_DOCUMENTS {
        return refused(format!(
            "the documents have {total} bytes together; at most {MOST_DOCUMENTS} in one append: send them in parts"
        ));
    }
    Ok(())
}

fn within(db: &Transaction<'_>, append: &Append) -> Result<Appended, Stop> {
    let request = append.request.map(|id| (id, digest(append)));
    if let Some((id, digest)) = request {
        let before = read::of_request(db, &id.0)?;
        if !before.is_empty() {
            return again(db, &before, digest);
        }
    }
    let (last, hash) = read::last(db)?;
    for expected in &append.expect {
        holds(db, expected, last)?;
    }
    let mut writer = Writer::new(db, last, hash)?;
    let mut done = Appended {
        first: last + 1,
        last,
        versions: Vec::new(),
        rollouts: Vec::new(),
        again: false,
    };
    for change in &append.changes {
        for body in bodies(db, &mut writer, change)? {
            let entry = writer.put(append, body, request)?;
            note(&entry, &mut done);
            done.last = entry.seq;
        }
    }
    Ok(done)
}

/// What a request is told from another by, when both call themselves the same.
fn digest(append: &Append) -> Hash {
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

/// The answer that this request had when it came first.
fn again(db: &Connection, entries: &[Entry], digest: Hash) -> Result<Appended, Stop> {
    let Some((first, done)) = entries.first().zip(done_by(entries)) else {
        return refused("a request without entries");
    };
    if first.request.is_none_or(|(_, before)| before != digest) {
        return refused(format!(
            "this request's id was used before, for something else (entry {}): each request needs an id of its own",
            first.seq
        ));
    }
    debug_assert!(read::last(db).is_ok_and(|(seq, _)| seq >= done.last));
    Ok(done)
}

/// What an append did that made these entries; none if there are none.
pub(super) fn done_by(entries: &[Entry]) -> Option<Appended> {
    let (first, last) = entries.first().zip(entries.last())?;
    let mut done = Appended {
        first: first.seq,
        last: last.seq,
        versions: Vec::new(),
        rollouts: Vec::new(),
        again: true,
    };
    for entry in entries {
        note(entry, &mut done);
    }
    Some(done)
}

fn note(entry: &Entry, done: &mut Appended) {
    done.versions.extend(version_of(entry));
    if matches!(entry.body, Body::RolloutStarted { .. }) {
        done.rollouts.push(entry.seq);
    }
}

fn holds(db: &Connection, expected: &Expect, seq: u64) -> Result<(), Stop> {
    let (holds, head) = match expected {
        Expect::Seq(number) => (*number == seq, None),
        Expect::Head(chain, number) => {
            let head = read::head(db, chain)?;
            (head.as_ref().map(|head| head.number) == *number, head)
        }
    };
    if holds {
        return Ok(());
    }
    Err(Stop::Told(StoreError::Conflict(Box::new(Conflict {
        expected: expected.clone(),
        head,
        seq,
    }))))
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

/// The entries that a change makes.
fn bodies(db: &Connection, writer: &mut Writer<'_>, change: &Change) -> Result<Vec<Body>, Stop> {
    let body = match change {
        Change::Document(chain, text) => {
            let hash = writer.keep(text)?;
            next(chain, read::head(db, chain)?, hash, false, None)
        }
        Change::Return(chain, to) => {
            let head = read::head(db, chain)?;
            match read::version(db, chain, *to)? {
                Some(of) if !of.tombstone => next(chain, head, of.hash, false, Some(*to)),
                Some(_) => {
                    return refused(format!(
                        "version {to} of {chain} is a deletion: choose one with a document"
                    ));
                }
                None => return refused(format!("{chain} has no version {to}: see its history")),
            }
        }
        Change::Delete(Chain::Platform) => {
            return refused("the platform cannot be deleted: roll it back instead");
        }
        Change::Delete(chain) => match read::head(db, chain)? {
            Some(head) if !head.tombstone => {
                let hash = head.hash;
                next(chain, Some(head), hash, true, None)
            }
            _ => return refused(format!("{chain} is not there")),
        },
        Change::Restore(chain) => match read::head(db, chain)? {
            Some(head) if head.tombstone => {
                let (hash, of) = (head.hash, head.parent);
                next(chain, Some(head), hash, false, of)
            }
            Some(_) => return refused(format!("{chain} is not deleted")),
            None => return refused(format!("{chain} never was: check its spelling")),
        },
        Change::Start { kind, chain, from } => {
            return start(db, *kind, chain, *from).map(|body| vec![body]);
        }
        Change::Kill(switch) => {
            let began = Body::RolloutStarted {
                tempo: seawall_model::tempo::Kind::Kill,
                subject: Subject::Kill(switch.scope.clone()),
            };
            return Ok(vec![Body::KillSet(switch.clone()), began]);
        }
        Change::Event(body) => {
            known(db, body)?;
            body.clone()
        }
    };
    Ok(vec![body])
}

fn next(
    chain: &Chain,
    head: Option<Version>,
    document: Hash,
    tombstone: bool,
    of: Option<u64>,
) -> Body {
    let parent = head.map(|head| head.number);
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
    db: &Connection,
    tempo: seawall_model::tempo::Kind,
    chain: &Chain,
    from: Option<u64>,
) -> Result<Body, Stop> {
    let Some(head) = read::head(db, chain)? else {
        return refused(format!("{chain} has no version to roll out"));
    };
    if let Some(number) = from
        && read::version(db, chain, number)?.is_none()
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
    })
}

/// Refuses an event that names what is not there.
fn known(db: &Connection, body: &Body) -> Result<(), Stop> {
    match body {
        Body::VersionCreated { .. } | Body::RolloutStarted { .. } | Body::KillSet(_) => {
            refused(format!(
                "{} is not for callers to append: use the change that makes it",
                body.kind()
            ))
        }
        Body::Pinned { chain, number } if read::version(db, chain, *number)?.is_none() => {
            refused(format!("{chain} has no version {number} to pin"))
        }
        _ => Ok(()),
    }
}

/// Prepared statements, and where the log ends.
struct Writer<'t> {
    db: &'t Connection,
    seq: u64,
    hash: Hash,
    zstd: zstd::bulk::Compressor<'static>,
    log: Statement<'t>,
    document: Statement<'t>,
    derive: Derive<'t>,
}

impl<'t> Writer<'t> {
    fn new(db: &'t Connection, seq: u64, hash: Hash) -> Result<Self, Stop> {
        Ok(Self {
            db,
            seq,
            hash,
            zstd: zstd::bulk::Compressor::new(LEVEL).map_err(packing)?,
            log: db.prepare(
                "INSERT INTO log (seq, at, who, why, kind, body, request, digest, prev, hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?,
            document: db.prepare(
                "INSERT OR IGNORE INTO documents (hash, size, zstd) VALUES (?1, ?2, ?3)",
            )?,
            derive: Derive::new(db)?,
        })
    }

    /// Keeps a document by its hash.
    fn keep(&mut self, text: &str) -> Result<Hash, Stop> {
        let hash = Hash::of(text.as_bytes());
        let packed = self.zstd.compress(text.as_bytes()).map_err(packing)?;
        self.document
            .execute((hash.bytes(), int(text.len() as u64), packed))?;
        Ok(hash)
    }

    fn put(
        &mut self,
        append: &Append,
        body: Body,
        request: Option<(RequestId, Hash)>,
    ) -> Result<Entry, Stop> {
        let text = serde_json::to_string(&body).map_err(|error| {
            Stop::Told(StoreError::Refused(format!(
                "the entry cannot be written: {error}"
            )))
        })?;
        if text.len() > MOST_BODY {
            return refused(format!(
                "an entry has {} bytes; at most {MOST_BODY}",
                text.len()
            ));
        }
        let mut entry = Entry {
            seq: self.seq + 1,
            // What a clock says cannot make an entry that reads back as another.
            at: append.at.min(i64::MAX as u64),
            who: append.who.clone(),
            why: append.why.clone(),
            body,
            text,
            request: request.map(|(id, digest)| (id.0, digest)),
            prev: self.hash,
            hash: Hash::NONE,
        };
        entry.hash = entry.sealed();
        self.log.execute((
            int(entry.seq),
            int(entry.at),
            &entry.who,
            &entry.why,
            entry.body.kind(),
            &entry.text,
            entry.request.map(|(id, _)| id),
            entry.request.map(|(_, digest)| *digest.bytes()),
            entry.prev.bytes(),
            entry.hash.bytes(),
        ))?;
        self.derive.take(self.db, &entry)?;
        (self.seq, self.hash) = (entry.seq, entry.hash);
        Ok(entry)
    }
}

/// What is derived of an entry: one way to do it, for an append and for a rebuild.
struct Derive<'t> {
    version: Statement<'t>,
    head: Statement<'t>,
    rollout: Statement<'t>,
    set: Statement<'t>,
    clear: Statement<'t>,
}

impl<'t> Derive<'t> {
    fn new(db: &'t Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            version: db.prepare(
                "INSERT INTO versions (chain, number, parent, hash, author, why, at, tombstone)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            head: db
                .prepare("INSERT OR REPLACE INTO heads (chain, number, seq) VALUES (?1, ?2, ?3)")?,
            rollout: db.prepare(
                "INSERT OR REPLACE INTO rollouts (id, key, running, body) VALUES (?1, ?2, ?3, ?4)",
            )?,
            set: db
                .prepare("INSERT OR REPLACE INTO standing (topic, key, seq) VALUES (?1, ?2, ?3)")?,
            clear: db.prepare("DELETE FROM standing WHERE topic = ?1 AND key = ?2")?,
        })
    }

    fn take(&mut self, db: &Connection, entry: &Entry) -> Result<(), Stop> {
        if let Some(version) = version_of(entry) {
            let chain = version.chain.to_string();
            self.version.execute((
                &chain,
                int(version.number),
                version.parent.map(int),
                version.hash.bytes(),
                &version.author,
                &version.why,
                int(version.at),
                version.tombstone,
            ))?;
            self.head
                .execute((&chain, int(version.number), int(entry.seq)))?;
        }
        if let Some(rollout) = Rollout::begun(entry) {
            if read::is_running(db, &rollout.key())? {
                return refused(format!(
                    "a rollout of {} runs already: wait for its end, or abort it in the same append",
                    rollout.key()
                ));
            }
            self.keep(&rollout)?;
        }
        if let Some(id) = entry.body.rollout() {
            let Some(mut rollout) = read::rollout(db, id)? else {
                return refused(format!("there is no rollout {id}"));
            };
            rollout.take(entry).or_else(refused)?;
            self.keep(&rollout)?;
        }
        match entry.body.stands() {
            Some(Stands::Set(topic, key)) => self.set.execute((topic, key, int(entry.seq)))?,
            Some(Stands::Clear(topic, key)) => self.clear.execute((topic, key))?,
            None => 0,
        };
        Ok(())
    }

    fn keep(&mut self, rollout: &Rollout) -> Result<(), Stop> {
        let body = serde_json::to_string(rollout)
            .map_err(|error| Stop::Told(StoreError::Refused(error.to_string())))?;
        let is_running = rollout.state == State::Running;
        self.rollout
            .execute((int(rollout.id), rollout.key(), is_running, body))?;
        Ok(())
    }
}

/// Empties what is derived and fills it from the log.
pub(super) fn rebuild(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let transaction = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| fault(path, error))?;
    refill(&transaction).map_err(|stop| match stop {
        Stop::Wrong(wrong) => wrong.told(path),
        // What the log holds was let in once; it can be refused now only if it was changed.
        Stop::Told(error) => corrupt(path, error.to_string()),
    })?;
    transaction.commit().map_err(|error| fault(path, error))
}

fn refill(db: &Transaction<'_>) -> Result<(), Stop> {
    db.execute_batch(
        "DELETE FROM versions; DELETE FROM heads; DELETE FROM rollouts; DELETE FROM standing;",
    )?;
    let mut derive = Derive::new(db)?;
    let mut from = 1;
    loop {
        let entries = read::log(db, from, 1_000)?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        from = last.seq + 1;
        for entry in &entries {
            derive.take(db, entry)?;
        }
    }
}
