//! Copies of the embedded store: made while it is in use, and brought back where none is.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::StoreError;
use super::schema::{self, corrupt, fault, sync_folder, told};
use super::{Sqlite, read};

/// A file's name with more behind it.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(more);
    PathBuf::from(name)
}

pub(super) fn backup(db: &Connection, to: &Path) -> Result<(), StoreError> {
    let part = beside(to, ".part");
    let done = place(to, &part, || {
        // A copy of one moment, without what was deleted; an empty file is what it may be written into.
        let name = part
            .to_str()
            .ok_or_else(|| StoreError::Refused(format!("{} is no text", part.display())))?;
        db.execute("VACUUM INTO ?1", [name])
            .map_err(|error| fault(&part, error))?;
        Ok(())
    });
    let _ = fs::remove_file(&part);
    done
}

/// Brings a backup back as the store at `to`, where no store is. The backup is verified first: its pages, its chain of hashes,
/// its documents. The answer is the number of the log's last entry.
///
/// # Errors
/// [`StoreError::Refused`] if there is a store at `to`, [`StoreError::Corrupt`] for a bad backup; `to` is then as it was.
pub fn restore(from: &Path, to: &Path) -> Result<u64, StoreError> {
    // A write-ahead log that is left over from another store would be played into this one.
    for other in [to.to_owned(), beside(to, "-wal"), beside(to, "-shm")] {
        if other.symlink_metadata().is_ok() {
            return Err(taken(&other));
        }
    }
    let part = beside(to, ".part");
    let mut last = 0;
    let done = place(to, &part, || {
        fs::copy(from, &part).map_err(|error| told(from, &error))?;
        let db = schema::open_to_read(&part).map_err(|error| named(error, from))?;
        last = read::verify(&db)
            .map_err(|wrong| wrong.told(from))?
            .map_err(|broken| corrupt(from, broken.to_string()))?;
        Ok(())
    });
    for left in [part.clone(), beside(&part, "-wal"), beside(&part, "-shm")] {
        let _ = fs::remove_file(left);
    }
    done?;
    // Whatever was derived by another build, or in a copy of a copy, is derived anew by this one.
    let mut store = Sqlite::open(to)?;
    super::ConfigStore::rebuild(&mut store)?;
    Ok(last)
}

/// Has `part` filled, makes it durable and gives it the name `to`, which nobody else may have meanwhile.
fn place(
    to: &Path,
    part: &Path,
    fill: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if to.symlink_metadata().is_ok() {
        return Err(taken(to));
    }
    let _ = fs::remove_file(part);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)
        .map_err(|error| told(part, &error))?;
    fill()?;
    file.sync_all().map_err(|error| told(part, &error))?;
    // A link, unlike a rename, never takes the place of another file.
    fs::hard_link(part, to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(to),
        _ => told(to, &error),
    })?;
    fs::remove_file(part).map_err(|error| told(part, &error))?;
    sync_folder(to).map_err(|error| told(to, &error))
}

fn taken(path: &Path) -> StoreError {
    StoreError::Refused(format!(
        "{} is there already: choose another name, or stop what uses it and move it away first",
        path.display()
    ))
}

/// The same, about the file that the caller named.
fn named(error: StoreError, as_path: &Path) -> StoreError {
    let to = as_path.to_owned();
    match error {
        StoreError::Corrupt { what, .. } => StoreError::Corrupt { path: to, what },
        StoreError::Foreign { what, .. } => StoreError::Foreign { path: to, what },
        StoreError::Newer { found, known, .. } => StoreError::Newer {
            path: to,
            found,
            known,
        },
        other => other,
    }
}
