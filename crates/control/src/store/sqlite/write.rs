//! An append and a rebuild, each in one transaction: what is needed is looked up, what comes of it is written down.

use std::borrow::Borrow;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::super::entry::Entry;
use super::super::rollout::State;
use super::super::work::{self, Known, Needs, Work};
use super::super::{Append, Appended, StoreError};
use super::read::{self, Wrong, int};
use super::schema::{corrupt, fault};

/// Entries that are derived of at once.
const PAGE: usize = 1_000;

pub(super) fn append(
    db: &mut Connection,
    path: &Path,
    append: &Append,
) -> Result<Appended, StoreError> {
    let mut done = None;
    append_all(db, path, &mut std::iter::once(append), &mut |made| {
        done = Some(made);
    })?;
    done.ok_or_else(|| StoreError::Refused("nothing was appended".into()))
}

pub(super) fn append_all<A: Borrow<Append>>(
    db: &mut Connection,
    path: &Path,
    appends: &mut (impl Iterator<Item = A> + ?Sized),
    made: &mut (impl FnMut(Appended) + ?Sized),
) -> Result<(), StoreError> {
    let told = |wrong: Wrong| wrong.told(path);
    // Immediate: what is expected is looked at with the only right to write in our hands.
    let transaction = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| fault(path, error))?;
    for append in appends {
        let append = append.borrow();
        work::bounded(append)?;
        if let Some(id) = append.request {
            let before = read::of_request(&transaction, &id.0).map_err(told)?;
            if !before.is_empty() {
                made(work::again(&before, append)?);
                continue;
            }
        }
        let known = look(&transaction, &Needs::of(append)).map_err(told)?;
        let (work, done) = Work::of(known, append)?;
        write(&transaction, &work).map_err(told)?;
        made(done);
    }
    transaction.commit().map_err(|error| fault(path, error))
}

/// Takes in entries of another log.
pub(super) fn take_in(
    db: &mut Connection,
    path: &Path,
    entries: &[Entry],
    documents: &[Vec<u8>],
) -> Result<(), StoreError> {
    let told = |wrong: Wrong| wrong.told(path);
    let transaction = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| fault(path, error))?;
    let known = look(&transaction, &Needs::of_entries(entries)).map_err(told)?;
    let work = Work::taken_in(known, entries, documents)?;
    write(&transaction, &work).map_err(told)?;
    transaction.commit().map_err(|error| fault(path, error))
}

fn look(db: &Connection, needs: &Needs) -> Result<Known, Wrong> {
    let mut known = Known {
        last: read::last(db)?,
        ..Known::default()
    };
    for chain in &needs.chains {
        let head = read::head(db, chain)?;
        known.heads.extend(head.map(|head| (chain.clone(), head)));
    }
    for of in &needs.versions {
        let version = read::version(db, &of.0, of.1)?;
        let version = version.map(|version| (of.clone(), version));
        known.versions.extend(version);
    }
    for id in &needs.rollouts {
        let rollout = read::rollout(db, *id)?;
        known.rollouts.extend(rollout.map(|rollout| (*id, rollout)));
    }
    for key in &needs.keys {
        if read::is_running(db, key)? {
            known.running.insert(key.clone());
        }
    }
    Ok(known)
}

fn write(db: &Connection, work: &Work) -> Result<(), Wrong> {
    let mut keep = db
        .prepare_cached("INSERT OR IGNORE INTO documents (hash, size, zstd) VALUES (?1, ?2, ?3)")?;
    for document in &work.documents {
        keep.execute((document.hash.bytes(), int(document.size), &document.zstd))?;
    }
    let mut log = db.prepare_cached(
        "INSERT INTO log (seq, at, who, why, kind, body, request, digest, prev, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for entry in &work.entries {
        log.execute((
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
    }
    write_derived(db, work)
}

fn write_derived(db: &Connection, work: &Work) -> Result<(), Wrong> {
    let mut put = db.prepare_cached(
        "INSERT INTO versions (chain, number, parent, hash, author, why, at, tombstone)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for version in &work.versions {
        put.execute((
            version.chain.to_string(),
            int(version.number),
            version.parent.map(int),
            version.hash.bytes(),
            &version.author,
            &version.why,
            int(version.at),
            version.tombstone,
        ))?;
    }
    let mut put =
        db.prepare_cached("INSERT OR REPLACE INTO heads (chain, number, seq) VALUES (?1, ?2, ?3)")?;
    for (chain, (number, seq)) in &work.heads {
        put.execute((chain.to_string(), int(*number), int(*seq)))?;
    }
    // Older ones first: one that ended makes room for the next of its key.
    let mut put = db.prepare_cached(
        "INSERT OR REPLACE INTO rollouts (id, key, running, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for rollout in work.rollouts.values() {
        let body = serde_json::to_string(rollout)
            .map_err(|error| Wrong::Row(format!("a rollout cannot be written: {error}")))?;
        let is_running = rollout.state == State::Running;
        put.execute((int(rollout.id), rollout.key(), is_running, body))?;
    }
    let mut set =
        db.prepare_cached("INSERT OR REPLACE INTO standing (topic, key, seq) VALUES (?1, ?2, ?3)")?;
    let mut clear = db.prepare_cached("DELETE FROM standing WHERE topic = ?1 AND key = ?2")?;
    for ((topic, key), seq) in &work.standing {
        match seq {
            Some(seq) => set.execute((topic, key, int(*seq)))?,
            None => clear.execute((topic, key))?,
        };
    }
    Ok(())
}

/// Empties what is derived and fills it from the log.
pub(super) fn rebuild(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let transaction = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| fault(path, error))?;
    refill(&transaction, path)?;
    transaction.commit().map_err(|error| fault(path, error))
}

fn refill(db: &Transaction<'_>, path: &Path) -> Result<(), StoreError> {
    let told = |wrong: Wrong| wrong.told(path);
    db.execute_batch(
        "DELETE FROM versions; DELETE FROM heads; DELETE FROM rollouts; DELETE FROM standing;",
    )
    .map_err(|error| fault(path, error))?;
    let mut from = 1;
    loop {
        let entries = read::log(db, from, PAGE).map_err(told)?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        from = last.seq + 1;
        derive(db, &entries, path)?;
    }
}

fn derive(db: &Connection, entries: &[Entry], path: &Path) -> Result<(), StoreError> {
    let told = |wrong: Wrong| wrong.told(path);
    let known = look(db, &Needs::of_entries(entries)).map_err(told)?;
    let work = Work::derived_of(known, entries).map_err(|error| damaged(path, &error))?;
    write_derived(db, &work).map_err(told)
}

/// What the log holds was let in once; it can be refused now only if it was changed.
fn damaged(path: &Path, error: &StoreError) -> StoreError {
    corrupt(path, error.to_string())
}
