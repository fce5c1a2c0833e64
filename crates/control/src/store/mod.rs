//! The truth: an append-only log with a dense sequence, compare-and-set, and a chain of hashes, and what is derived of it.
//!
//! [`ConfigStore`] is what control needs of it; [`sqlite::Sqlite`] is the embedded one, [`postgres::Postgres`] that for many machines. An append is one transaction: all of its
//! entries are there, with what is derived of them, or none. Once [`ConfigStore::append`] has returned, a crash of the process
//! or of the machine loses nothing of it.
//!
//! Documents lie beside the log by the hash of their content; the log names the hash. So do the contents of files that documents name,
//! whose hashes stand in those ([`crate::contents`]). All else ([`Derived`]) can be made again
//! of the log alone: [`ConfigStore::rebuild`].
//!
//! Not here: whether a document is good (it was compiled before it came here), who may do what, time. Entries carry the time
//! of who made them, and nothing is ordered by it.

pub mod entry;
mod error;
mod packed;
pub mod postgres;
mod rollout;
pub mod sqlite;
mod work;

mod transfer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use entry::{Body, Entry, KillSwitch, LocationKeys, Outcome, Scope, Subject};
pub use error::{Conflict, StoreError};
pub use postgres::Postgres;
pub use rollout::{Rollout, State};
pub use sqlite::Sqlite;
pub use transfer::transfer;

use crate::version::{Chain, Hash, Version};
use seawall_model::tempo::Kind;

/// Bytes of `who` in an entry.
pub const MOST_WHO: usize = 256;
/// Bytes of `why` in an entry.
pub const MOST_WHY: usize = 4 << 10;
/// Bytes of an entry's body as JSON.
pub const MOST_BODY: usize = 1 << 20;
/// Bytes of a document's text: what the edge reads at most.
pub const MOST_DOCUMENT: usize = 16 << 20;
/// Changes in one append: a version, a rollout, a certificate and its key for each of 100,000 zones, and some.
pub const MOST_CHANGES: usize = 450_000;
/// Bytes of all documents of one append.
pub const MOST_DOCUMENTS: usize = 256 << 20;
/// Bytes of what is kept of a file: the largest list, and what encrypting adds.
pub const MOST_CONTENT: usize = (64 << 20) + (1 << 10);
/// Bytes of the contents of all files of one append.
pub const MOST_CONTENTS: usize = (1 << 30) + (64 << 20);
/// Rows that one query returns, whatever it asks for.
pub const MOST_ROWS: usize = 10_000;

/// What a client chose to call its append, 128 bits that nobody else chooses: the same append again has no second effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

/// What must still hold when an append is made, or it is refused with [`StoreError::Conflict`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The chain's head has this number; none: the chain has no version.
    Head(Chain, Option<u64>),
    /// The log's last entry has this number; 0: there is none.
    Seq(u64),
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new version of the chain, with this canonical document (see [`crate::version::split`]).
    Document(Chain, String),
    /// What is kept of a file that a document of the same append names. It makes no entry.
    Content(Blob),
    /// A new version with the document of this earlier one: a rollback.
    Return(Chain, u64),
    /// A new version that is a tombstone: the zone is deleted, and [`Change::Restore`] brings it back.
    Delete(Chain),
    /// A new version with the document that the chain had before its tombstone.
    Restore(Chain),
    /// A rollout of the chain's head as it is then, from the version that serves everywhere; none where no version does.
    Start {
        /// Its tempo.
        kind: Kind,
        /// Whose head.
        chain: Chain,
        /// What serves now.
        from: Option<u64>,
        /// It goes in step with the rollout of this chain, which began earlier in the same append.
        with: Option<Chain>,
    },
    /// The rollout of the chain that an earlier change of the same append began goes on past the guards that ask for a person.
    Approve(Chain),
    /// The rollout of the chain that an earlier change of the same append began is complete: its version serves already.
    Complete(Chain),
    /// An emergency switch, and its rollout.
    Kill(KillSwitch),
    /// Anything else; [`Body::VersionCreated`], [`Body::RolloutStarted`] and [`Body::KillSet`] are refused here, since their
    /// numbers are the store's to give.
    Event(Body),
}

/// Bytes that are kept, shown by their hash alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(pub Arc<[u8]>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({})", Hash::of(&self.0))
    }
}

/// What one append does, all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// With one, this append can be sent again when its answer was lost.
    pub request: Option<RequestId>,
    /// What was asked with it, by which it is told from another that calls itself the same; none: by its changes.
    pub asked: Option<Hash>,
    /// All that must hold.
    pub expect: Vec<Expect>,
    /// Who does it: `token:NAME`, `file:PATH`, `location:NAME`, `planner`.
    pub who: String,
    /// Why, in words.
    pub why: String,
    /// When, in seconds of Unix time.
    pub at: u64,
    /// What, in this order. None is an append that only checks what it expects.
    pub changes: Vec<Change>,
}

/// What an append has done, or had done when it came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The number of its first entry.
    pub first: u64,
    /// The number of its last entry; `first - 1` if it has none.
    pub last: u64,
    /// Its new versions, in the order of its changes.
    pub versions: Vec<Version>,
    /// Its new rollouts, in the order of its changes.
    pub rollouts: Vec<u64>,
    /// Whether it was there already: nothing was done now.
    pub again: bool,
}

/// All that is derived of the log, to be compared. For tests, and for a log that is not too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// All versions, by chain and number.
    pub versions: Vec<Version>,
    /// Each chain's head and the entry that made it.
    pub heads: BTreeMap<Chain, (u64, u64)>,
    /// All rollouts, by their number.
    pub rollouts: Vec<Rollout>,
    /// What stands, by topic and key: the number of the entry.
    pub standing: BTreeMap<(String, String), u64>,
}

/// The first place where a log is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} of the log: {what}")]
pub struct Broken {
    /// The number of the first bad entry.
    pub seq: u64,
    /// What is wrong with it.
    pub what: String,
}

/// What control needs of the truth. Every call may block on the disk or the network: none of them belongs on a worker's
/// thread.
pub trait ConfigStore: Send {
    /// Makes an append. When it returns well, it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if something expected does not hold, [`StoreError::Refused`] for what can never be done. The log
    /// is then as it was. After [`StoreError::Unknown`] it may or may not have happened: send it again with its `request`.
    fn append(&mut self, append: &Append) -> Result<Appended, StoreError>;

    /// Makes appends one behind the other, all of them or none, and never holds more than one: for what is too much for one append. None of
    /// them has a `request`. `made` hears what each has done; it counts once this returns well.
    ///
    /// # Errors
    /// As [`ConfigStore::append`].
    fn append_all(
        &mut self,
        appends: &mut (dyn Iterator<Item = Append> + Send),
        made: &mut (dyn FnMut(Appended) + Send),
    ) -> Result<(), StoreError>;

    /// What the append with this id did, if there was one, and what was asked with it: for who cannot make the very same append
    /// again, since what it derived it from has moved on.
    ///
    /// # Errors
    /// What the store cannot do now, as for all that follow.
    fn made_by(&mut self, request: RequestId) -> Result<Option<(Appended, Hash)>, StoreError>;

    /// The number of the log's last entry; 0 if there is none.
    ///
    /// # Errors
    /// What the store cannot do now, as for all that follow.
    fn last(&mut self) -> Result<u64, StoreError>;

    /// The chain's newest version, also when it is a tombstone.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn head(&mut self, chain: &Chain) -> Result<Option<Version>, StoreError>;

    /// The heads of all chains behind `after`, in the order of chains, at most `limit` of them.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn heads(&mut self, after: Option<&Chain>, limit: usize) -> Result<Vec<Version>, StoreError>;

    /// One version.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn version(&mut self, chain: &Chain, number: u64) -> Result<Option<Version>, StoreError>;

    /// The document with this hash, with its files ([`crate::contents::files`]).
    ///
    /// # Errors
    /// As [`ConfigStore::last`]; [`StoreError::Corrupt`] if what is stored has another hash.
    fn document(&mut self, hash: &Hash) -> Result<Option<String>, StoreError>;

    /// What is kept under this hash: the content of a file, or a document's text.
    ///
    /// # Errors
    /// As [`ConfigStore::document`].
    fn content(&mut self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError>;

    /// The chain's versions with numbers below `before` (none: all), newest first, at most `limit`.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn history(
        &mut self,
        chain: &Chain,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Version>, StoreError>;

    /// The log's entries from number `from` on, at most `limit`.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn log(&mut self, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The chains whose head was made by an entry above `seq`, each with its entry, oldest first, at most `limit`.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn changed_since(&mut self, seq: u64, limit: usize) -> Result<Vec<(u64, Chain)>, StoreError>;

    /// The rollouts that run, oldest first.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn running(&mut self) -> Result<Vec<Rollout>, StoreError>;

    /// One rollout.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn rollout(&mut self, id: u64) -> Result<Option<Rollout>, StoreError>;

    /// The entries of a topic that stand: the newest of each key that was not undone. Topics are in [`Body::stands`].
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn standing(
        &mut self,
        topic: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// The entry that stands for this key of a topic: the last import of a path, the pin of a chain.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn stands(&mut self, topic: &str, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Walks the log, all documents and the contents of their files. Takes time linear in all.
    ///
    /// # Errors
    /// What the store cannot do now. A log that is not what it was is no error of the call: it is the answer.
    fn verify(&mut self) -> Result<Result<u64, Broken>, StoreError>;

    /// Makes all that is derived again of the log, in one transaction.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn rebuild(&mut self) -> Result<(), StoreError>;

    /// Takes in entries of another store's log as they are, behind its own last one, with documents that they name and what those
    /// name: for copies.
    /// All of them are there then, or none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if they do not follow its last entry, and as [`ConfigStore::append`].
    fn take_in(&mut self, entries: &[Entry], contents: &[Vec<u8>]) -> Result<(), StoreError>;

    /// All that is derived.
    ///
    /// # Errors
    /// As [`ConfigStore::last`].
    fn derived(&mut self) -> Result<Derived, StoreError>;
}
