//! The embedded store: one SQLite file, write-ahead log, `synchronous = FULL`.
//!
//! [`Sqlite::open`] makes or opens it, [`Sqlite::backup`] copies it while it is written to, [`restore`] brings a copy back.
//! `write` makes appends, `read` answers, `schema` knows the tables.

mod copy;
mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

pub use copy::restore;

use super::entry::Entry;
use super::rollout::Rollout;
use super::{Append, Appended, Broken, ConfigStore, Derived, RequestId, StoreError};
use crate::version::{Chain, Hash, Version};

/// A store in one file. One process writes at a time; a second one waits up to five seconds.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    db: Connection,
}

impl Sqlite {
    /// Opens the store in this file, readable by its owner alone, and makes it if there is none. Takes time linear in its size:
    /// its pages are looked through.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Foreign`], [`StoreError::Corrupt`]: the file is left as it was. Otherwise what the disk
    /// says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            db: schema::open(path)?,
        })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a copy of the store as of now to a file that is not there yet, while others may write. The copy is on disk under
    /// its name when this returns, or there is none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there is a file of that name; otherwise what the disk says.
    pub fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        copy::backup(&self.db, to)
    }

    fn read<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, read::Wrong>,
    ) -> Result<T, StoreError> {
        ask(&self.db).map_err(|wrong| wrong.told(&self.path))
    }
}

impl ConfigStore for Sqlite {
    fn append(&mut self, append: &Append) -> Result<Appended, StoreError> {
        write::append(&mut self.db, &self.path, append)
    }

    fn append_all(
        &mut self,
        appends: &mut (dyn Iterator<Item = Append> + Send),
        made: &mut (dyn FnMut(Appended) + Send),
    ) -> Result<(), StoreError> {
        write::append_all(&mut self.db, &self.path, appends, made)
    }

    fn made_by(&mut self, request: RequestId) -> Result<Option<(Appended, Hash)>, StoreError> {
        self.read(|db| {
            let entries = read::of_request(db, &request.0)?;
            Ok(super::work::done_by(&entries))
        })
    }

    fn last(&mut self) -> Result<u64, StoreError> {
        self.read(|db| Ok(read::last(db)?.0))
    }

    fn head(&mut self, chain: &Chain) -> Result<Option<Version>, StoreError> {
        self.read(|db| read::head(db, chain))
    }

    fn heads(&mut self, after: Option<&Chain>, limit: usize) -> Result<Vec<Version>, StoreError> {
        self.read(|db| read::heads(db, after, limit))
    }

    fn version(&mut self, chain: &Chain, number: u64) -> Result<Option<Version>, StoreError> {
        self.read(|db| read::version(db, chain, number))
    }

    fn document(&mut self, hash: &Hash) -> Result<Option<String>, StoreError> {
        self.read(|db| read::document(db, hash))
    }

    fn content(&mut self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|db| read::content(db, hash))
    }

    fn history(
        &mut self,
        chain: &Chain,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Version>, StoreError> {
        self.read(|db| read::history(db, chain, before, limit))
    }

    fn log(&mut self, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|db| read::log(db, from, limit))
    }

    fn changed_since(&mut self, seq: u64, limit: usize) -> Result<Vec<(u64, Chain)>, StoreError> {
        self.read(|db| read::changed_since(db, seq, limit))
    }

    fn running(&mut self) -> Result<Vec<Rollout>, StoreError> {
        self.read(read::running)
    }

    fn rollout(&mut self, id: u64) -> Result<Option<Rollout>, StoreError> {
        self.read(|db| read::rollout(db, id))
    }

    fn standing(
        &mut self,
        topic: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read(|db| read::standing(db, topic, after, limit))
    }

    fn stands(&mut self, topic: &str, key: &str) -> Result<Option<Entry>, StoreError> {
        self.read(|db| read::stands(db, topic, key))
    }

    fn verify(&mut self) -> Result<Result<u64, Broken>, StoreError> {
        self.read(read::verify)
    }

    fn rebuild(&mut self) -> Result<(), StoreError> {
        write::rebuild(&mut self.db, &self.path)
    }

    fn take_in(&mut self, entries: &[Entry], contents: &[Vec<u8>]) -> Result<(), StoreError> {
        write::take_in(&mut self.db, &self.path, entries, contents)
    }

    fn derived(&mut self) -> Result<Derived, StoreError> {
        self.read(read::derived)
    }
}
