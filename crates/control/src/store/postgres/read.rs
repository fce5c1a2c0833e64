//! What the store answers, and how rows become what they stand for.

use std::collections::HashMap;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::super::entry::{Body, Entry};
use super::super::packed::{text, unpacked};
use super::super::rollout::Rollout;
use super::super::{Broken, Derived, MOST_ROWS};
use super::wrong::Wrong;
use crate::contents;
use crate::version::{Chain, Hash, NoChain, Version};

pub(super) type Answer<T> = Result<T, Wrong>;

pub(super) const VERSION: &str = "chain, number, parent, hash, author, why, at, tombstone";
const ENTRY: &str = "log.seq, at, who, why, body, request, digest, prev, hash";
/// Entries of the log that are looked at together.
const PAGE: usize = 1_000;
/// Packed documents that are fetched together, in bytes; one that is larger comes alone.
const LOAD: i64 = 32 << 20;

/// A parameter with its type, so that a query costs one round trip.
pub(super) type Param<'p> = (&'p (dyn ToSql + Sync), Type);

/// A number as SQL has it; no number of ours is ever larger than that.
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
        .map_err(|error: NoChain| Wrong::Row(error.to_string()))
}

pub(super) async fn rows<T>(
    db: &Client,
    sql: &str,
    params: &[Param<'_>],
    read: impl Fn(&Row) -> Answer<T>,
) -> Answer<Vec<T>> {
    let rows = db.query_typed(sql, params).await?;
    rows.iter().map(read).collect()
}

async fn one<T>(
    db: &Client,
    sql: &str,
    params: &[Param<'_>],
    read: impl Fn(&Row) -> Answer<T>,
) -> Answer<Option<T>> {
    Ok(rows(db, sql, params, read).await?.into_iter().next())
}

fn bounded(limit: usize) -> i64 {
    int(limit.min(MOST_ROWS) as u64)
}

pub(super) fn as_version(row: &Row) -> Answer<Version> {
    Ok(Version {
        chain: chain_of(row.try_get(0)?)?,
        number: whole(row.try_get(1)?)?,
        parent: row.try_get::<_, Option<i64>>(2)?.map(whole).transpose()?,
        hash: hash(row.try_get(3)?)?,
        author: row.try_get(4)?,
        why: row.try_get(5)?,
        at: whole(row.try_get(6)?)?,
        tombstone: row.try_get(7)?,
    })
}

fn as_entry(row: &Row) -> Answer<Entry> {
    let seq = whole(row.try_get(0)?)?;
    let text: String = row.try_get(4)?;
    let body: Body = serde_json::from_str(&text)
        .map_err(|error| Wrong::Row(format!("entry {seq} of the log cannot be read: {error}")))?;
    let request: Option<&[u8]> = row.try_get(5)?;
    let digest: Option<&[u8]> = row.try_get(6)?;
    let request = request.and_then(|id| <[u8; 16]>::try_from(id).ok());
    Ok(Entry {
        seq,
        at: whole(row.try_get(1)?)?,
        who: row.try_get(2)?,
        why: row.try_get(3)?,
        body,
        text,
        request: request.zip(digest.and_then(Hash::from_bytes)),
        prev: hash(row.try_get(7)?)?,
        hash: hash(row.try_get(8)?)?,
    })
}

pub(super) fn as_rollout(row: &Row) -> Answer<Rollout> {
    serde_json::from_str(row.try_get(0)?)
        .map_err(|error| Wrong::Row(format!("a rollout cannot be read: {error}")))
}

/// The number and the hash of the last entry.
pub(super) async fn last(db: &Client) -> Answer<(u64, Hash)> {
    let sql = "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1";
    let last = one(db, sql, &[], |row| {
        Ok((whole(row.try_get(0)?)?, hash(row.try_get(1)?)?))
    });
    Ok(last.await?.unwrap_or((0, Hash::NONE)))
}

pub(super) async fn heads(
    db: &Client,
    after: Option<&Chain>,
    limit: usize,
) -> Answer<Vec<Version>> {
    let sql = format!(
        "SELECT {VERSION} FROM heads JOIN versions USING (chain, number) WHERE chain > $1 ORDER BY chain LIMIT $2"
    );
    let (after, limit) = (
        after.map(Chain::to_string).unwrap_or_default(),
        bounded(limit),
    );
    rows(
        db,
        &sql,
        &[(&after, Type::TEXT), (&limit, Type::INT8)],
        as_version,
    )
    .await
}

pub(super) async fn version(db: &Client, chain: &Chain, number: u64) -> Answer<Option<Version>> {
    let sql = format!("SELECT {VERSION} FROM versions WHERE chain = $1 AND number = $2");
    let (chain, number) = (chain.to_string(), int(number));
    one(
        db,
        &sql,
        &[(&chain, Type::TEXT), (&number, Type::INT8)],
        as_version,
    )
    .await
}

pub(super) async fn history(
    db: &Client,
    chain: &Chain,
    before: Option<u64>,
    limit: usize,
) -> Answer<Vec<Version>> {
    let sql = format!(
        "SELECT {VERSION} FROM versions WHERE chain = $1 AND number < $2 ORDER BY number DESC LIMIT $3"
    );
    let (chain, before, limit) = (
        chain.to_string(),
        before.map_or(i64::MAX, int),
        bounded(limit),
    );
    let params: &[Param<'_>] = &[
        (&chain, Type::TEXT),
        (&before, Type::INT8),
        (&limit, Type::INT8),
    ];
    rows(db, &sql, params, as_version).await
}

pub(super) async fn document(db: &Client, wanted: &Hash) -> Answer<Option<String>> {
    let bytes = content(db, wanted).await?;
    let read = bytes.map(|bytes| text(wanted, bytes)).transpose();
    read.map_err(Wrong::Row)
}

pub(super) async fn content(db: &Client, wanted: &Hash) -> Answer<Option<Vec<u8>>> {
    let sql = "SELECT size, zstd FROM documents WHERE hash = $1";
    let bytes = wanted.bytes().as_slice();
    one(db, sql, &[(&bytes, Type::BYTEA)], |row| {
        unpacked(wanted, row.try_get(0)?, row.try_get(1)?).map_err(Wrong::Row)
    })
    .await
}

pub(super) async fn log(db: &Client, from: u64, limit: usize) -> Answer<Vec<Entry>> {
    let sql = format!("SELECT {ENTRY} FROM log WHERE seq >= $1 ORDER BY seq LIMIT $2");
    let (from, limit) = (int(from), bounded(limit));
    rows(
        db,
        &sql,
        &[(&from, Type::INT8), (&limit, Type::INT8)],
        as_entry,
    )
    .await
}

/// The entries that a request made.
pub(super) async fn of_request(db: &Client, id: &[u8; 16]) -> Answer<Vec<Entry>> {
    let sql = format!("SELECT {ENTRY} FROM log WHERE request = $1 ORDER BY seq");
    let id = id.as_slice();
    rows(db, &sql, &[(&id, Type::BYTEA)], as_entry).await
}

pub(super) async fn changed_since(
    db: &Client,
    seq: u64,
    limit: usize,
) -> Answer<Vec<(u64, Chain)>> {
    let sql = "SELECT seq, chain FROM heads WHERE seq > $1 ORDER BY seq LIMIT $2";
    let (seq, limit) = (int(seq), bounded(limit));
    rows(
        db,
        sql,
        &[(&seq, Type::INT8), (&limit, Type::INT8)],
        |row| Ok((whole(row.try_get(0)?)?, chain_of(row.try_get(1)?)?)),
    )
    .await
}

pub(super) async fn running(db: &Client) -> Answer<Vec<Rollout>> {
    let sql = "SELECT body FROM rollouts WHERE running ORDER BY id";
    rows(db, sql, &[], as_rollout).await
}

pub(super) async fn rollout(db: &Client, id: u64) -> Answer<Option<Rollout>> {
    let id = int(id);
    let sql = "SELECT body FROM rollouts WHERE id = $1";
    one(db, sql, &[(&id, Type::INT8)], as_rollout).await
}

pub(super) async fn standing(
    db: &Client,
    topic: &str,
    after: Option<&str>,
    limit: usize,
) -> Answer<Vec<Entry>> {
    let sql = format!(
        "SELECT {ENTRY} FROM standing JOIN log USING (seq) WHERE topic = $1 AND key > $2 ORDER BY key LIMIT $3"
    );
    let (after, limit) = (after.unwrap_or_default(), bounded(limit));
    let params: &[Param<'_>] = &[
        (&topic, Type::TEXT),
        (&after, Type::TEXT),
        (&limit, Type::INT8),
    ];
    rows(db, &sql, params, as_entry).await
}

pub(super) async fn stands(db: &Client, topic: &str, key: &str) -> Answer<Option<Entry>> {
    let sql =
        format!("SELECT {ENTRY} FROM standing JOIN log USING (seq) WHERE topic = $1 AND key = $2");
    one(
        db,
        &sql,
        &[(&topic, Type::TEXT), (&key, Type::TEXT)],
        as_entry,
    )
    .await
}

/// What a page of the log is found to be.
pub(super) enum Page {
    /// All is well up to this entry, and there may be more.
    Good(u64, Hash),
    /// It is the end.
    End,
    /// The first entry that is not what it was.
    Broken(Broken),
}

/// Walks one page of the log that follows this entry, with its documents.
pub(super) async fn verify_page(db: &Client, seq: u64, hash: Hash) -> Answer<Page> {
    let sql = format!("SELECT {ENTRY} FROM log WHERE seq > $1 ORDER BY seq LIMIT $2");
    let (from, limit) = (int(seq), bounded(PAGE));
    let params: &[Param<'_>] = &[(&from, Type::INT8), (&limit, Type::INT8)];
    let found = db.query_typed(&sql, params).await?;
    if found.is_empty() {
        return Ok(Page::End);
    }
    let (mut seq, mut hash) = (seq, hash);
    let mut documents: Vec<(u64, Hash)> = Vec::new();
    let mut broken = None;
    for row in &found {
        let entry = match as_entry(row) {
            Ok(entry) => entry,
            Err(Wrong::Row(what)) => {
                broken = Some(Broken { seq: seq + 1, what });
                break;
            }
            Err(error) => return Err(error),
        };
        if let Err(found) = entry.follows(seq, hash) {
            broken = Some(found);
            break;
        }
        if let Body::VersionCreated { document, .. } = &entry.body {
            documents.push((entry.seq, *document));
        }
        (seq, hash) = (entry.seq, entry.hash);
    }
    // An older entry without its document comes before a younger one that was changed.
    let mut named = HashMap::new();
    let mut bad = bad_kept(db, &documents, "document", &mut named).await?;
    let files: Vec<(u64, Hash)> = documents
        .iter()
        .filter(|(seq, _)| bad.as_ref().is_none_or(|bad| *seq < bad.seq))
        .flat_map(|(seq, hash)| {
            let files = named.remove(hash).unwrap_or_default();
            files.into_iter().map(|file| (*seq, file))
        })
        .collect();
    if let Some(earlier) = bad_kept(db, &files, "file", &mut HashMap::new()).await? {
        bad = Some(earlier);
    }
    Ok(match bad.or(broken) {
        Some(broken) => Page::Broken(broken),
        None => Page::Good(seq, hash),
    })
}

/// The files that documents name.
type Named = HashMap<Hash, Vec<Hash>>;

/// The first of these entries whose document, or file, is not there or not whole.
async fn bad_kept(
    db: &Client,
    documents: &[(u64, Hash)],
    kind: &str,
    named: &mut Named,
) -> Answer<Option<Broken>> {
    let hashes: Vec<&[u8]> = documents
        .iter()
        .map(|(_, hash)| hash.bytes().as_slice())
        .collect();
    let sql = "SELECT hash, octet_length(zstd)::bigint FROM documents WHERE hash = ANY($1)";
    let sizes = rows(db, sql, &[(&hashes, Type::BYTEA_ARRAY)], |row| {
        Ok((hash(row.try_get(0)?)?, row.try_get::<_, i64>(1)?))
    })
    .await?;
    let mut bad: Vec<(Hash, String)> = Vec::new();
    let (mut group, mut load, mut there) = (Vec::new(), 0, std::collections::HashSet::new());
    for (hash, size) in sizes {
        there.insert(hash);
        if load + size > LOAD && !group.is_empty() {
            bad.extend(unpack_all(db, &std::mem::take(&mut group), named).await?);
            load = 0;
        }
        group.push(hash);
        load += size;
    }
    bad.extend(unpack_all(db, &group, named).await?);
    for (seq, hash) in documents {
        let known = bad.iter().find(|(bad, _)| bad == hash);
        let what = match known {
            Some((_, what)) => what.clone(),
            None if there.contains(hash) => continue,
            None => format!("its {kind} {hash} is missing"),
        };
        return Ok(Some(Broken { seq: *seq, what }));
    }
    Ok(None)
}

/// Those of these that are not whole, with what is wrong. What the others name is noted.
async fn unpack_all(db: &Client, group: &[Hash], named: &mut Named) -> Answer<Vec<(Hash, String)>> {
    let hashes: Vec<&[u8]> = group.iter().map(|hash| hash.bytes().as_slice()).collect();
    let sql = "SELECT hash, size, zstd FROM documents WHERE hash = ANY($1)";
    let found = rows(db, sql, &[(&hashes, Type::BYTEA_ARRAY)], |row| {
        let hash = hash(row.try_get(0)?)?;
        let kept = unpacked(&hash, row.try_get(1)?, row.try_get(2)?);
        // Of a file's content that looks like a document nobody asks.
        let files = kept.map(|bytes| {
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            contents::files(text)
        });
        Ok((hash, files))
    })
    .await?;
    let mut bad = Vec::new();
    for (hash, files) in found {
        match files {
            Ok(files) => drop(named.insert(hash, files.iter().map(|file| file.hash).collect())),
            Err(what) => bad.push((hash, what)),
        }
    }
    Ok(bad)
}

pub(super) async fn derived(db: &Client) -> Answer<Derived> {
    let sql = format!("SELECT {VERSION} FROM versions ORDER BY chain, number");
    let versions = rows(db, &sql, &[], as_version).await?;
    let heads = rows(db, "SELECT chain, number, seq FROM heads", &[], |row| {
        let chain = chain_of(row.try_get(0)?)?;
        Ok((chain, (whole(row.try_get(1)?)?, whole(row.try_get(2)?)?)))
    })
    .await?;
    let standing = rows(db, "SELECT topic, key, seq FROM standing", &[], |row| {
        Ok(((row.try_get(0)?, row.try_get(1)?), whole(row.try_get(2)?)?))
    })
    .await?;
    let sql = "SELECT body FROM rollouts ORDER BY id";
    Ok(Derived {
        versions,
        heads: heads.into_iter().collect(),
        rollouts: rows(db, sql, &[], as_rollout).await?,
        standing: standing.into_iter().collect(),
    })
}
