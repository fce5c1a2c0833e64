//! The file's tables, how it is opened, and what our build makes of what it finds.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::StoreError;

/// "SWal", in the file's header (<https://sqlite.org/fileformat2.html>, "Application ID").
pub(super) const APPLICATION: i64 = 0x5357_616c;
/// The tables' version, in the file's header as `user_version`.
pub(super) const SCHEMA: i64 = 1;
/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// After how long a file that somebody else makes is looked at again.
const AGAIN: Duration = Duration::from_millis(10);

/// The log and the documents are the truth; what follows them is derived.
const TABLES: &str = "
CREATE TABLE log (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    request BLOB,
    digest BLOB,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX log_request ON log (request) WHERE request IS NOT NULL;
CREATE TABLE documents (
    hash BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    zstd BLOB NOT NULL
) STRICT;
CREATE TABLE versions (
    chain TEXT NOT NULL,
    number INTEGER NOT NULL,
    parent INTEGER,
    hash BLOB NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    at INTEGER NOT NULL,
    tombstone INTEGER NOT NULL,
    PRIMARY KEY (chain, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE heads (
    chain TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX heads_seq ON heads (seq);
CREATE TABLE rollouts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    running INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX rollouts_running ON rollouts (key) WHERE running = 1;
CREATE TABLE standing (
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (topic, key)
) STRICT, WITHOUT ROWID;
";

/// Opens the file, makes it if there is none, and says what is wrong with it otherwise.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    // Ours alone from its first moment on; it holds hashes of tokens and who did what.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(told(path, &error)),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(|error| fault(path, error))?;
    let begun = Instant::now();
    loop {
        match prepare(path, &mut db) {
            // While somebody else makes the file, SQLite says so without waiting: two that waited for each other would wait for ever.
            Err(StoreError::Busy) if begun.elapsed() < PATIENCE => thread::sleep(AGAIN),
            Err(error) => return Err(error),
            Ok(()) => return Ok(db),
        }
    }
}

/// Opens a file that must be there and is not changed: a backup.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|error| fault(path, error))?;
    if ours(path, &db)?.is_none() {
        return Err(foreign(path, "it is empty"));
    }
    sound(path, &db)?;
    Ok(db)
}

fn prepare(path: &Path, db: &mut Connection) -> Result<(), StoreError> {
    let broken = |error| fault(path, error);
    db.busy_timeout(PATIENCE).map_err(broken)?;
    let schema = ours(path, db)?;
    // The mode first: an answer other than "wal" means that the folder cannot hold the files beside this one.
    let mode: String = db
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(broken)?;
    if mode != "wal" {
        return Err(StoreError::ReadOnly {
            path: path.to_owned(),
            what: format!("the file system allows no write-ahead log (its mode stays {mode})"),
        });
    }
    // The write-ahead log shrinks to 64 MiB after a large append. FULL: a commit that was told of is on the disk. 64 MiB of pages: hashes lie anywhere, and an append of many zones touches
    // all of them. The schema of a file is not trusted to call functions.
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
    )
    .map_err(broken)?;
    match schema {
        Some(_) => sound(path, db),
        None => create(db).map_err(broken),
    }
}

/// The schema that the file has; none if it is empty.
fn ours(path: &Path, db: &Connection) -> Result<Option<i64>, StoreError> {
    // All of it at one moment: somebody else may be making it.
    let _moment = db
        .unchecked_transaction()
        .map_err(|error| fault(path, error))?;
    let number = |pragma: &str| -> Result<i64, StoreError> {
        db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .map_err(|error| fault(path, error))
    };
    let (application, schema) = (number("application_id")?, number("user_version")?);
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| fault(path, error))?;
    match (application, schema, tables) {
        (APPLICATION, SCHEMA, _) => Ok(Some(SCHEMA)),
        (APPLICATION, found, _) if found > SCHEMA => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: SCHEMA,
        }),
        (0, 0, 0) => Ok(None),
        (APPLICATION, ..) => Err(foreign(path, "its schema is none that was ever released")),
        _ => Err(foreign(path, "it is another program's database")),
    }
}

fn create(db: &mut Connection) -> rusqlite::Result<()> {
    // Two processes may make the same file: the second finds it made.
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};"
        ))?;
    }
    transaction.commit()
}

/// Refuses a file whose pages contradict each other. Linear in its size: some tenths of a second for 100 MiB.
fn sound(path: &Path, db: &Connection) -> Result<(), StoreError> {
    let said: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| fault(path, error))?;
    if said == "ok" {
        return Ok(());
    }
    Err(corrupt(path, said))
}

pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        what: what.into(),
    }
}

fn foreign(path: &Path, what: &str) -> StoreError {
    StoreError::Foreign {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

/// What SQLite says, in our words.
pub(super) fn fault(path: &Path, error: rusqlite::Error) -> StoreError {
    let what = error.to_string();
    let path = path.to_owned();
    let code = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.code,
        // A column that is not what we put into it.
        _ => ErrorCode::DatabaseCorrupt,
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
        ErrorCode::DiskFull => StoreError::Full { path, what },
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::ReadOnly { path, what },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt { path, what },
        _ => StoreError::Io { path, what },
    }
}

/// What the disk says, in our words.
pub(super) fn told(path: &Path, error: &io::Error) -> StoreError {
    let (path, what) = (path.to_owned(), error.to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full { path, what }
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            StoreError::ReadOnly { path, what }
        }
        _ => StoreError::Io { path, what },
    }
}

/// Makes the names in a file's folder durable.
pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
