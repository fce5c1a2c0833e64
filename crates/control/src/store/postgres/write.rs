//! Appends and rebuilds. What is needed is looked up in a few queries and written in a few more, however many zones one append
//! has: a round trip for each would be minutes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::entry::Entry;
use super::super::packed::Packed;
use super::super::rollout::{Rollout, State};
use super::super::work::{self, Known, Needs, Work};
use super::super::{Append, Appended, StoreError};
use super::read::{self, Answer, Param, VERSION, as_rollout, as_version, int, rows};
use super::schema::{LEADS, LOCKS, WRITES};
use super::wrong::Wrong;
use crate::version::{Chain, Hash, Version};

/// Rows in one statement.
const ROWS: usize = 2_000;
/// Bytes in one statement; a row that is larger goes alone.
const BYTES: usize = 8 << 20;
/// Entries that are derived of at once.
const PAGE: usize = 1_000;

/// How far an append came, for when no answer comes any more.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The commit was sent: from here on nobody knows until the answer is there.
    pub commits: AtomicBool,
    /// What the log ends with once it is done.
    pub end: Mutex<Option<(u64, Hash)>>,
}

/// Makes an append in one transaction; `leads` is whether it is only for who leads.
pub(super) async fn append(
    db: &Client,
    append: &Append,
    leads: bool,
    progress: &Progress,
) -> Answer<Appended> {
    let changes = async || within(db, append, leads, progress).await;
    in_one(db, progress, changes).await
}

/// Makes appends in one transaction.
pub(super) async fn append_all(
    db: &Client,
    appends: &mut (dyn Iterator<Item = Append> + Send),
    made: &mut (dyn FnMut(Appended) + Send),
    leads: bool,
    progress: &Progress,
) -> Answer<()> {
    let changes = async || {
        for append in appends {
            work::bounded(&append)?;
            made(within(db, &append, leads, progress).await?);
        }
        Ok(())
    };
    in_one(db, progress, changes).await
}

/// Takes in entries of another log.
pub(super) async fn take_in(
    db: &Client,
    entries: &[Entry],
    documents: &[Vec<u8>],
    leads: bool,
    progress: &Progress,
) -> Answer<()> {
    let changes = async || {
        may_write(db, leads).await?;
        let known = look(db, &Needs::of_entries(entries)).await?;
        write(db, &Work::taken_in(known, entries, documents)?, progress).await
    };
    in_one(db, progress, changes).await
}

/// Does something in one transaction.
async fn in_one<T>(
    db: &Client,
    progress: &Progress,
    changes: impl AsyncFnOnce() -> Answer<T>,
) -> Answer<T> {
    db.batch_execute("BEGIN").await?;
    match changes().await {
        Ok(done) => {
            commit(db, progress).await?;
            Ok(done)
        }
        Err(error) => {
            if !error.ends_the_session() {
                db.batch_execute("ROLLBACK").await?;
            }
            Err(error)
        }
    }
}

/// A limit that strikes while a replica is waited for does not undo the commit: the server would call it done. So there is none
/// but ours, after which the answer is unknown.
async fn commit(db: &Client, progress: &Progress) -> Answer<()> {
    db.batch_execute("SET LOCAL statement_timeout = 0").await?;
    progress.commits.store(true, Ordering::Release);
    Ok(db.batch_execute("COMMIT").await?)
}

async fn within(
    db: &Client,
    append: &Append,
    leads: bool,
    progress: &Progress,
) -> Answer<Appended> {
    may_write(db, leads).await?;
    if let Some(id) = append.request {
        let before = read::of_request(db, &id.0).await?;
        if !before.is_empty() {
            return Ok(work::again(&before, append)?);
        }
    }
    let known = look(db, &Needs::of(append)).await?;
    let (work, done) = Work::of(known, append)?;
    write(db, &work, progress).await?;
    Ok(done)
}

async fn write(db: &Client, work: &Work, progress: &Progress) -> Answer<()> {
    let end = progress.end.lock();
    *end.unwrap_or_else(PoisonError::into_inner) = Some(work.end());
    write_log(db, work).await?;
    write_derived(db, work).await
}

/// Waits until nobody else writes; and lets nobody write beside who leads.
async fn may_write(db: &Client, leads: bool) -> Answer<()> {
    let sql = format!("SELECT pg_advisory_xact_lock({LOCKS}, {WRITES})");
    db.batch_execute(&sql).await?;
    let sql = if leads {
        // In the very transaction, of the very session: a lock that went with an earlier session counts for nothing.
        format!(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock'
             AND pid = pg_backend_pid() AND classid = {LOCKS} AND objid = {LEADS} AND objsubid = 2
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
    } else {
        format!("SELECT pg_try_advisory_xact_lock_shared({LOCKS}, {LEADS})")
    };
    let may = rows(db, &sql, &[], |row| Ok(row.try_get::<_, bool>(0)?)).await?;
    match may.first() {
        Some(true) => Ok(()),
        _ => Err(Wrong::NoLead),
    }
}

async fn look(db: &Client, needs: &Needs) -> Answer<Known> {
    let mut known = Known {
        last: read::last(db).await?,
        ..Known::default()
    };
    let chains: Vec<String> = needs.chains.iter().map(Chain::to_string).collect();
    let sql = format!(
        "SELECT {VERSION} FROM heads JOIN versions USING (chain, number) WHERE chain = ANY($1)"
    );
    for chains in chains.chunks(ROWS) {
        for head in rows(db, &sql, &[(&chains, Type::TEXT_ARRAY)], as_version).await? {
            known.heads.insert(head.chain.clone(), head);
        }
    }
    let versions: Vec<&(Chain, u64)> = needs.versions.iter().collect();
    let sql = format!(
        "SELECT {VERSION} FROM versions JOIN unnest($1::text[], $2::bigint[]) AS of (chain, number) USING (chain, number)"
    );
    for versions in versions.chunks(ROWS) {
        let chains: Vec<String> = versions
            .iter()
            .map(|(chain, _)| chain.to_string())
            .collect();
        let numbers: Vec<i64> = versions.iter().map(|(_, number)| int(*number)).collect();
        let params: &[Param<'_>] = &[(&chains, Type::TEXT_ARRAY), (&numbers, Type::INT8_ARRAY)];
        for version in rows(db, &sql, params, as_version).await? {
            let of = (version.chain.clone(), version.number);
            known.versions.insert(of, version);
        }
    }
    let ids: Vec<i64> = needs.rollouts.iter().map(|id| int(*id)).collect();
    let sql = "SELECT body FROM rollouts WHERE id = ANY($1)";
    for ids in ids.chunks(ROWS) {
        for rollout in rows(db, sql, &[(&ids, Type::INT8_ARRAY)], as_rollout).await? {
            known.rollouts.insert(rollout.id, rollout);
        }
    }
    let keys: Vec<&str> = needs.keys.iter().map(String::as_str).collect();
    let sql = "SELECT key FROM rollouts WHERE running AND key = ANY($1)";
    for keys in keys.chunks(ROWS) {
        let found = rows(db, sql, &[(&keys, Type::TEXT_ARRAY)], |row| {
            Ok(row.try_get::<_, String>(0)?)
        })
        .await?;
        known.running.extend(found);
    }
    Ok(known)
}

/// Cuts rows into runs that are not too long to be sent at once.
fn runs<T>(all: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut out, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (nth, row) in all.iter().enumerate() {
        let more = size(row);
        if nth > begin && (nth - begin >= ROWS || bytes + more > BYTES) {
            out.extend(all.get(begin..nth));
            (begin, bytes) = (nth, 0);
        }
        bytes += more;
    }
    out.extend(all.get(begin..).filter(|rest| !rest.is_empty()));
    out
}

fn column<'r, T, C>(run: &'r [T], of: impl Fn(&'r T) -> C) -> Vec<C> {
    run.iter().map(of).collect()
}

async fn write_log(db: &Client, work: &Work) -> Answer<()> {
    let sql = "INSERT INTO documents SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]) ON CONFLICT DO NOTHING";
    for run in runs(&work.documents, |one: &Packed| one.zstd.len()) {
        let hash = column(run, |one| one.hash.bytes().as_slice());
        let size = column(run, |one| int(one.size));
        let zstd = column(run, |one| one.zstd.as_slice());
        let params: &[Param<'_>] = &[
            (&hash, Type::BYTEA_ARRAY),
            (&size, Type::INT8_ARRAY),
            (&zstd, Type::BYTEA_ARRAY),
        ];
        db.execute_typed(sql, params).await?;
    }
    let sql = "INSERT INTO log SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
               $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[])";
    for run in runs(&work.entries, |one: &Entry| {
        one.text.len() + one.who.len() + one.why.len()
    }) {
        let seq = column(run, |one| int(one.seq));
        let at = column(run, |one| int(one.at));
        let who = column(run, |one| one.who.as_str());
        let why = column(run, |one| one.why.as_str());
        let kind = column(run, |one| one.body.kind());
        let body = column(run, |one| one.text.as_str());
        let request = column(run, |one| one.request.as_ref().map(|(id, _)| id.as_slice()));
        let digest = column(run, |one| {
            let digest = one.request.as_ref().map(|(_, digest)| digest);
            digest.map(|digest| digest.bytes().as_slice())
        });
        let prev = column(run, |one| one.prev.bytes().as_slice());
        let hash = column(run, |one| one.hash.bytes().as_slice());
        let params: &[Param<'_>] = &[
            (&seq, Type::INT8_ARRAY),
            (&at, Type::INT8_ARRAY),
            (&who, Type::TEXT_ARRAY),
            (&why, Type::TEXT_ARRAY),
            (&kind, Type::TEXT_ARRAY),
            (&body, Type::TEXT_ARRAY),
            (&request, Type::BYTEA_ARRAY),
            (&digest, Type::BYTEA_ARRAY),
            (&prev, Type::BYTEA_ARRAY),
            (&hash, Type::BYTEA_ARRAY),
        ];
        db.execute_typed(sql, params).await?;
    }
    Ok(())
}

async fn write_derived(db: &Client, work: &Work) -> Answer<()> {
    write_versions(db, &work.versions).await?;
    let heads: Vec<(String, u64, u64)> = work
        .heads
        .iter()
        .map(|(chain, (number, seq))| (chain.to_string(), *number, *seq))
        .collect();
    let sql = "INSERT INTO heads SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
               ON CONFLICT (chain) DO UPDATE SET number = excluded.number, seq = excluded.seq";
    for run in heads.chunks(ROWS) {
        let chain = column(run, |one| one.0.as_str());
        let number = column(run, |one| int(one.1));
        let seq = column(run, |one| int(one.2));
        let params: &[Param<'_>] = &[
            (&chain, Type::TEXT_ARRAY),
            (&number, Type::INT8_ARRAY),
            (&seq, Type::INT8_ARRAY),
        ];
        db.execute_typed(sql, params).await?;
    }
    // Those that ended first: they make room for the next of their key.
    let is_running = |rollout: &&Rollout| rollout.state == State::Running;
    let (running, ended): (Vec<&Rollout>, Vec<&Rollout>) =
        work.rollouts.values().partition(is_running);
    for some in [ended, running] {
        write_rollouts(db, &some).await?;
    }
    write_standing(db, work).await
}

async fn write_versions(db: &Client, versions: &[Version]) -> Answer<()> {
    let sql = "INSERT INTO versions SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::text[],
               $6::text[], $7::bigint[], $8::boolean[])";
    for run in runs(versions, |one| one.why.len() + one.author.len()) {
        let chain = column(run, |one| one.chain.to_string());
        let number = column(run, |one| int(one.number));
        let parent = column(run, |one| one.parent.map(int));
        let hash = column(run, |one| one.hash.bytes().as_slice());
        let author = column(run, |one| one.author.as_str());
        let why = column(run, |one| one.why.as_str());
        let at = column(run, |one| int(one.at));
        let tombstone = column(run, |one| one.tombstone);
        let params: &[Param<'_>] = &[
            (&chain, Type::TEXT_ARRAY),
            (&number, Type::INT8_ARRAY),
            (&parent, Type::INT8_ARRAY),
            (&hash, Type::BYTEA_ARRAY),
            (&author, Type::TEXT_ARRAY),
            (&why, Type::TEXT_ARRAY),
            (&at, Type::INT8_ARRAY),
            (&tombstone, Type::BOOL_ARRAY),
        ];
        db.execute_typed(sql, params).await?;
    }
    Ok(())
}

async fn write_rollouts(db: &Client, rollouts: &[&Rollout]) -> Answer<()> {
    let sql = "INSERT INTO rollouts SELECT * FROM unnest($1::bigint[], $2::text[], $3::boolean[], $4::text[])
               ON CONFLICT (id) DO UPDATE SET running = excluded.running, body = excluded.body";
    let mut told = Vec::with_capacity(rollouts.len());
    for rollout in rollouts {
        let body = serde_json::to_string(rollout)
            .map_err(|error| Wrong::Row(format!("a rollout cannot be written: {error}")))?;
        told.push((*rollout, body));
    }
    for run in runs(&told, |(_, body)| body.len()) {
        let id = column(run, |(one, _)| int(one.id));
        let key = column(run, |(one, _)| one.key());
        let running = column(run, |(one, _)| one.state == State::Running);
        let body = column(run, |(_, body)| body.as_str());
        let params: &[Param<'_>] = &[
            (&id, Type::INT8_ARRAY),
            (&key, Type::TEXT_ARRAY),
            (&running, Type::BOOL_ARRAY),
            (&body, Type::TEXT_ARRAY),
        ];
        db.execute_typed(sql, params).await?;
    }
    Ok(())
}

async fn write_standing(db: &Client, work: &Work) -> Answer<()> {
    let all: Vec<(&str, &str, Option<u64>)> = work
        .standing
        .iter()
        .map(|((topic, key), seq)| (*topic, key.as_str(), *seq))
        .collect();
    let (set, clear): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, _, seq)| seq.is_some());
    let sql = "INSERT INTO standing SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
               ON CONFLICT (topic, key) DO UPDATE SET seq = excluded.seq";
    for run in set.chunks(ROWS) {
        let topic = column(run, |one| one.0);
        let key = column(run, |one| one.1);
        let seq = column(run, |one| one.2.map(int));
        let params: &[Param<'_>] = &[
            (&topic, Type::TEXT_ARRAY),
            (&key, Type::TEXT_ARRAY),
            (&seq, Type::INT8_ARRAY),
        ];
        db.execute_typed(sql, params).await?;
    }
    let sql = "DELETE FROM standing USING unnest($1::text[], $2::text[]) AS of (topic, key)
               WHERE standing.topic = of.topic AND standing.key = of.key";
    for run in clear.chunks(ROWS) {
        let topic = column(run, |one| one.0);
        let key = column(run, |one| one.1);
        let params: &[Param<'_>] = &[(&topic, Type::TEXT_ARRAY), (&key, Type::TEXT_ARRAY)];
        db.execute_typed(sql, params).await?;
    }
    Ok(())
}

/// Empties what is derived and fills it from the log, in one transaction.
pub(super) async fn rebuild(db: &Client, leads: bool, progress: &Progress) -> Answer<()> {
    in_one(db, progress, async || refill(db, leads).await).await
}

async fn refill(db: &Client, leads: bool) -> Answer<()> {
    may_write(db, leads).await?;
    db.batch_execute(
        "DELETE FROM versions; DELETE FROM heads; DELETE FROM rollouts; DELETE FROM standing;",
    )
    .await?;
    let mut from = 1;
    loop {
        let entries = read::log(db, from, PAGE).await?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        from = last.seq + 1;
        let known = look(db, &Needs::of_entries(&entries)).await?;
        // What the log holds was let in once; it can be refused now only if it was changed.
        let work = Work::derived_of(known, &entries)
            .map_err(|error: StoreError| Wrong::Row(error.to_string()))?;
        write_derived(db, &work).await?;
    }
}
