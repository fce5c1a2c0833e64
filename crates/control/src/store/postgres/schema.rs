//! The tables, in a schema of their own, and what our build makes of what it finds.

use std::path::Path;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::StoreError;
use super::wrong::Wrong;

/// The tables' version.
pub(super) const SCHEMA: i64 = 1;

/// "SWal": the first half of the names of our advisory locks.
pub(super) const LOCKS: i32 = 0x5357_616c;
/// Who writes, for a transaction.
pub(super) const WRITES: i32 = 1;
/// Who leads, for a session.
pub(super) const LEADS: i32 = 2;

/// The log and the documents are the truth; what follows them is derived. Names are compared byte by byte, as Rust does.
const TABLES: &str = r#"
CREATE TABLE about (schema bigint NOT NULL);
CREATE TABLE log (
    seq bigint PRIMARY KEY,
    at bigint NOT NULL,
    who text NOT NULL,
    why text NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    request bytea,
    digest bytea,
    prev bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE INDEX log_request ON log (request) WHERE request IS NOT NULL;
CREATE TABLE documents (
    hash bytea PRIMARY KEY,
    size bigint NOT NULL,
    zstd bytea NOT NULL
);
ALTER TABLE documents ALTER COLUMN zstd SET STORAGE EXTERNAL;
CREATE TABLE versions (
    chain text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    parent bigint,
    hash bytea NOT NULL,
    author text NOT NULL,
    why text NOT NULL,
    at bigint NOT NULL,
    tombstone boolean NOT NULL,
    PRIMARY KEY (chain, number)
);
CREATE TABLE heads (
    chain text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    seq bigint NOT NULL
);
CREATE INDEX heads_seq ON heads (seq);
CREATE TABLE rollouts (
    id bigint PRIMARY KEY,
    key text COLLATE "C" NOT NULL,
    running boolean NOT NULL,
    body text NOT NULL
);
CREATE UNIQUE INDEX rollouts_running ON rollouts (key) WHERE running;
CREATE TABLE standing (
    topic text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (topic, key)
);
"#;

/// Makes what is not there, and says what is wrong with it otherwise.
pub(super) async fn prepare(client: &Client, path: &Path) -> Result<(), Wrong> {
    if let Some(found) = found(client).await? {
        return fits(found, path);
    }
    // Two processes may make the same tables: the second finds them made.
    client.batch_execute("BEGIN").await?;
    let made = make(client, path).await;
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await?;
    made
}

async fn make(client: &Client, path: &Path) -> Result<(), Wrong> {
    let sql = format!("SELECT pg_advisory_xact_lock({LOCKS}, {WRITES})");
    client.batch_execute(&sql).await?;
    match found(client).await? {
        Some(found) => fits(found, path),
        None => {
            client
                .batch_execute(&format!(
                    "CREATE SCHEMA IF NOT EXISTS seawall; {TABLES} INSERT INTO about VALUES ({SCHEMA});"
                ))
                .await?;
            Ok(())
        }
    }
}

/// The schema that is there; none where there is nothing. -1 is somebody else's.
async fn found(client: &Client) -> Result<Option<i64>, Wrong> {
    let sql =
        "SELECT c.relname = 'about' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relkind = 'r' ORDER BY 1 DESC LIMIT 1";
    let rows = client.query_typed(sql, &[(&"seawall", Type::TEXT)]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    if !row.try_get::<_, bool>(0)? {
        return Ok(Some(-1));
    }
    let rows = client.query_typed("SELECT schema FROM about", &[]).await?;
    let schema = rows.first().map(|row| row.try_get(0)).transpose()?;
    Ok(Some(schema.unwrap_or(-1)))
}

fn fits(found: i64, path: &Path) -> Result<(), Wrong> {
    let path = path.to_owned();
    let error = match found {
        SCHEMA => return Ok(()),
        found if found > SCHEMA => StoreError::Newer {
            path,
            found,
            known: SCHEMA,
        },
        _ => StoreError::Foreign {
            path,
            what: "its schema \"seawall\" has other tables".into(),
        },
    };
    Err(error.into())
}
