//! What the embedded store answers, and how rows become what they stand for.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, Params, Row};

use super::super::entry::{Body, Entry};
use super::super::packed::{text, unpacked};
use super::super::rollout::Rollout;
use super::super::{Broken, Derived, MOST_ROWS, StoreError};
use super::schema::{corrupt, fault};
use crate::contents;
use crate::version::{Chain, Hash, Version};

/// What an answer fails by.
#[derive(Debug)]
pub(super) enum Wrong {
    /// What SQLite says.
    Sql(rusqlite::Error),
    /// A row that does not mean anything.
    Row(String),
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Wrong {
    pub(super) fn told(self, path: &Path) -> StoreError {
        match self {
            Self::Sql(error) => fault(path, error),
            Self::Row(what) => corrupt(path, what),
        }
    }
}

type Answer<T> = Result<T, Wrong>;

const VERSION: &str = "chain, number, parent, hash, author, why, at, tombstone";
const ENTRY: &str = "log.seq, at, who, why, body, request, digest, prev, hash";

/// A number as SQLite has it; no number of ours is ever larger than that.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn whole(number: i64) -> Answer<u64> {
    u64::try_from(number).map_err(|_| Wrong::Row(format!("a number is {number}")))
}

fn hash(bytes: &[u8]) -> Answer<Hash> {
    Hash::from_bytes(bytes).ok_or_else(|| Wrong::Row(format!("a hash has {} bytes", bytes.len())))
}

fn chain_of(text: &str) -> Answer<Chain> {
    text.parse()
        .map_err(|error: crate::version::NoChain| Wrong::Row(error.to_string()))
}

fn rows<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Answer<T>,
) -> Answer<Vec<T>> {
    // Parsed once for each connection: an append of many zones asks the same again and again.
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Answer<T>,
) -> Answer<Option<T>> {
    Ok(rows(db, sql, params, read)?.into_iter().next())
}

fn bounded(limit: usize) -> i64 {
    int(limit.min(MOST_ROWS) as u64)
}

fn as_version(row: &Row<'_>) -> Answer<Version> {
    Ok(Version {
        chain: chain_of(row.get_ref(0)?.as_str().unwrap_or_default())?,
        number: whole(row.get(1)?)?,
        parent: row.get::<_, Option<i64>>(2)?.map(whole).transpose()?,
        hash: hash(row.get_ref(3)?.as_blob().unwrap_or_default())?,
        author: row.get(4)?,
        why: row.get(5)?,
        at: whole(row.get(6)?)?,
        tombstone: row.get(7)?,
    })
}

pub(super) fn as_entry(row: &Row<'_>) -> Answer<Entry> {
    let seq = whole(row.get(0)?)?;
    let text: String = row.get(4)?;
    let body: Body = serde_json::from_str(&text)
        .map_err(|error| Wrong::Row(format!("entry {seq} of the log cannot be read: {error}")))?;
    let request = row.get::<_, Option<[u8; 16]>>(5)?;
    let digest = row.get::<_, Option<[u8; 32]>>(6)?;
    Ok(Entry {
        seq,
        at: whole(row.get(1)?)?,
        who: row.get(2)?,
        why: row.get(3)?,
        body,
        text,
        request: request.zip(digest.and_then(|digest| Hash::from_bytes(&digest))),
        prev: hash(row.get_ref(7)?.as_blob().unwrap_or_default())?,
        hash: hash(row.get_ref(8)?.as_blob().unwrap_or_default())?,
    })
}

fn as_rollout(row: &Row<'_>) -> Answer<Rollout> {
    let text = row.get_ref(0)?.as_str().unwrap_or_default();
    serde_json::from_str(text)
        .map_err(|error| Wrong::Row(format!("a rollout cannot be read: {error}")))
}

/// The number and the hash of the last entry.
pub(super) fn last(db: &Connection) -> Answer<(u64, Hash)> {
    let sql = "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1";
    let last = one(db, sql, [], |row| {
        let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
        Ok((whole(row.get(0)?)?, hash(bytes)?))
    })?;
    Ok(last.unwrap_or((0, Hash::NONE)))
}

pub(super) fn head(db: &Connection, chain: &Chain) -> Answer<Option<Version>> {
    Ok(history(db, chain, None, 1)?.into_iter().next())
}

pub(super) fn heads(db: &Connection, after: Option<&Chain>, limit: usize) -> Answer<Vec<Version>> {
    let sql = format!(
        "SELECT {VERSION} FROM heads JOIN versions USING (chain, number) WHERE chain > ?1 ORDER BY chain LIMIT ?2"
    );
    let after = after.map(Chain::to_string).unwrap_or_default();
    rows(db, &sql, (after, bounded(limit)), as_version)
}

pub(super) fn version(db: &Connection, chain: &Chain, number: u64) -> Answer<Option<Version>> {
    let sql = format!("SELECT {VERSION} FROM versions WHERE chain = ?1 AND number = ?2");
    one(db, &sql, (chain.to_string(), int(number)), as_version)
}

pub(super) fn history(
    db: &Connection,
    chain: &Chain,
    before: Option<u64>,
    limit: usize,
) -> Answer<Vec<Version>> {
    let sql = format!(
        "SELECT {VERSION} FROM versions WHERE chain = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3"
    );
    let before = before.map_or(i64::MAX, int);
    rows(
        db,
        &sql,
        (chain.to_string(), before, bounded(limit)),
        as_version,
    )
}

pub(super) fn document(db: &Connection, wanted: &Hash) -> Answer<Option<String>> {
    let bytes = content(db, wanted)?;
    let read = bytes.map(|bytes| text(wanted, bytes)).transpose();
    read.map_err(Wrong::Row)
}

pub(super) fn content(db: &Connection, wanted: &Hash) -> Answer<Option<Vec<u8>>> {
    let sql = "SELECT size, zstd FROM documents WHERE hash = ?1";
    one(db, sql, [wanted.bytes()], |row| {
        let packed = row.get_ref(1)?.as_blob().unwrap_or_default();
        unpacked(wanted, row.get(0)?, packed).map_err(Wrong::Row)
    })
}

pub(super) fn log(db: &Connection, from: u64, limit: usize) -> Answer<Vec<Entry>> {
    let sql = format!("SELECT {ENTRY} FROM log WHERE seq >= ?1 ORDER BY seq LIMIT ?2");
    rows(db, &sql, (int(from), bounded(limit)), as_entry)
}

/// The entries that a request made.
pub(super) fn of_request(db: &Connection, id: &[u8; 16]) -> Answer<Vec<Entry>> {
    let sql = format!("SELECT {ENTRY} FROM log WHERE request = ?1 ORDER BY seq");
    rows(db, &sql, [id], as_entry)
}

pub(super) fn changed_since(db: &Connection, seq: u64, limit: usize) -> Answer<Vec<(u64, Chain)>> {
    let sql = "SELECT seq, chain FROM heads WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    rows(db, sql, (int(seq), bounded(limit)), |row| {
        Ok((
            whole(row.get(0)?)?,
            chain_of(row.get_ref(1)?.as_str().unwrap_or_default())?,
        ))
    })
}

/// Asked several times a second. Left to itself SQLite goes over all rollouts that ever were, because they are in order.
const RUNNING: &str =
    "SELECT body FROM rollouts INDEXED BY rollouts_running WHERE running = 1 ORDER BY id";

pub(super) fn running(db: &Connection) -> Answer<Vec<Rollout>> {
    rows(db, RUNNING, [], as_rollout)
}

pub(super) fn rollout(db: &Connection, id: u64) -> Answer<Option<Rollout>> {
    one(
        db,
        "SELECT body FROM rollouts WHERE id = ?1",
        [int(id)],
        as_rollout,
    )
}

pub(super) fn is_running(db: &Connection, key: &str) -> Answer<bool> {
    let sql = "SELECT 1 FROM rollouts WHERE key = ?1 AND running = 1";
    Ok(db.prepare_cached(sql)?.exists([key])?)
}

pub(super) fn standing(
    db: &Connection,
    topic: &str,
    after: Option<&str>,
    limit: usize,
) -> Answer<Vec<Entry>> {
    let sql = format!(
        "SELECT {ENTRY} FROM standing JOIN log USING (seq) WHERE topic = ?1 AND key > ?2 ORDER BY key LIMIT ?3"
    );
    rows(
        db,
        &sql,
        (topic, after.unwrap_or_default(), bounded(limit)),
        as_entry,
    )
}

pub(super) fn stands(db: &Connection, topic: &str, key: &str) -> Answer<Option<Entry>> {
    let sql =
        format!("SELECT {ENTRY} FROM standing JOIN log USING (seq) WHERE topic = ?1 AND key = ?2");
    one(db, &sql, (topic, key), as_entry)
}

/// Walks the log: the number of its last entry, or the first that is not what it was.
pub(super) fn verify(db: &Connection) -> Answer<Result<u64, Broken>> {
    let mut statement = db.prepare(&format!("SELECT {ENTRY} FROM log ORDER BY seq"))?;
    let mut entries = statement.query([])?;
    let (mut seq, mut hash) = (0, Hash::NONE);
    let mut known = HashSet::new();
    while let Some(row) = entries.next()? {
        let entry = match as_entry(row) {
            Ok(entry) => entry,
            Err(Wrong::Sql(error)) => return Err(error.into()),
            Err(Wrong::Row(what)) => return Ok(Err(Broken { seq: seq + 1, what })),
        };
        if let Err(broken) = entry.follows(seq, hash) {
            return Ok(Err(broken));
        }
        if let Body::VersionCreated {
            document: wanted, ..
        } = &entry.body
        {
            let bad = match document(db, wanted) {
                Err(Wrong::Row(what)) => Some(what),
                Ok(None) => Some(format!("its document {wanted} is missing")),
                Ok(Some(text)) => bad_file(db, &text, &mut known)?,
                Err(error) => return Err(error),
            };
            if let Some(what) = bad {
                return Ok(Err(Broken {
                    seq: entry.seq,
                    what,
                }));
            }
        }
        (seq, hash) = (entry.seq, entry.hash);
    }
    Ok(Ok(seq))
}

/// What is wrong with a file that a document names; each content is looked at once.
fn bad_file(db: &Connection, text: &str, known: &mut HashSet<Hash>) -> Answer<Option<String>> {
    for file in contents::files(text) {
        if !known.insert(file.hash) {
            continue;
        }
        match content(db, &file.hash) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Some(format!("the content of {:?} is missing", file.path))),
            Err(Wrong::Row(what)) => return Ok(Some(what)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

pub(super) fn derived(db: &Connection) -> Answer<Derived> {
    let versions = rows(
        db,
        &format!("SELECT {VERSION} FROM versions ORDER BY chain, number"),
        [],
        as_version,
    )?;
    let heads = rows(db, "SELECT chain, number, seq FROM heads", [], |row| {
        let chain = chain_of(row.get_ref(0)?.as_str().unwrap_or_default())?;
        Ok((chain, (whole(row.get(1)?)?, whole(row.get(2)?)?)))
    })?;
    let standing = rows(db, "SELECT topic, key, seq FROM standing", [], |row| {
        Ok(((row.get(0)?, row.get(1)?), whole(row.get(2)?)?))
    })?;
    Ok(Derived {
        versions,
        heads: heads.into_iter().collect(),
        rollouts: rows(db, "SELECT body FROM rollouts ORDER BY id", [], as_rollout)?,
        standing: standing.into_iter().collect(),
    })
}
