//! The store for many machines: a PostgreSQL database, 14 or newer, with one writer and, where the owner wants one, a synchronous
//! replica.
//!
//! **Who leads.** A control process that carries rollouts out leads ([`Postgres::lead`]): it holds an advisory lock of its session
//! (<https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>), and every append of its looks, in its own
//! transaction, whether this very session holds it. The lock goes with the session; the server ends the session of a process
//! that was stopped or cut off, after [`Patience::silent`]. So a leader that wakes up after another has taken over writes nothing:
//! its session is gone, and a new one does not hold the lock.
//!
//! **What a lost connection means.** The next call connects again. Who led goes on leading if the lock is free and the log ends
//! as it left it; otherwise it gets [`StoreError::Lost`]. An append whose commit was sent and not answered is
//! [`StoreError::Unknown`].
//!
//! `session` is the connection, `address` and `tls` the way to it, `schema` knows the tables, `read` answers, `write` makes
//! appends.

mod address;
mod read;
mod schema;
mod session;
mod tls;
mod write;
mod wrong;

use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

pub use address::has_password;
pub use session::Patience;

use super::entry::Entry;
use super::rollout::Rollout;
use super::{Append, Appended, Broken, ConfigStore, Derived, RequestId, StoreError};
use crate::version::{Chain, Hash, Version};
use address::Address;
use read::Page;
use session::Session;
use write::Progress;
use wrong::Wrong;

/// A store in a PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    address: Address,
    patience: Patience,
    session: Option<Session>,
    /// We lead, or did when we were connected last.
    leads: bool,
    /// What the log ends with for all that who leads knows.
    seen: (u64, Hash),
    /// What it may end with instead: an append whose end is unknown.
    perhaps: Option<(u64, Hash)>,
    /// Why the database could not be reached, and when that was.
    failed: Option<(Instant, String)>,
}

impl Postgres {
    /// Opens the store in the database that `postgres://USER:PASSWORD@HOST:PORT/DATABASE` names, and makes its tables if there
    /// are none. Without [`Postgres::lead`] it reads, and appends as long as nobody leads.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for what is no address; [`StoreError::Newer`], [`StoreError::Foreign`]: the database is left as
    /// it was; [`StoreError::Io`] if it cannot be reached or is not one to rely on.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, Patience::default())
    }

    /// The same, with other times.
    ///
    /// # Errors
    /// As [`Postgres::open`].
    pub fn open_with(url: &str, patience: Patience) -> Result<Self, StoreError> {
        let mut store = Self {
            patience,
            address: Address::parse(url).map_err(StoreError::Refused)?,
            session: None,
            leads: false,
            seen: (0, Hash::NONE),
            perhaps: None,
            failed: None,
        };
        store.connected()?;
        Ok(store)
    }

    /// The database's name where people see it, without a password.
    pub fn shown(&self) -> &PathBuf {
        self.address.shown()
    }

    /// Tries to become the one who leads, which it is then until it is dropped or [`StoreError::Lost`]. Whether it does.
    ///
    /// # Errors
    /// What the database cannot do now.
    pub fn lead(&mut self) -> Result<bool, StoreError> {
        let got = self.ask(self.patience.reads, async |db| take_lead(db).await)?;
        if got {
            self.seen = self.ask(self.patience.reads, async |db| read::last(db).await)?;
            (self.leads, self.perhaps) = (true, None);
        }
        Ok(got)
    }

    /// Who leads, in words; none if nobody does.
    ///
    /// # Errors
    /// What the database cannot do now.
    pub fn leader(&mut self) -> Result<Option<String>, StoreError> {
        self.ask(self.patience.reads, async |db| leader(db).await)
    }

    /// For tests: does to the lock what a pool of connections does that hands one session to many.
    #[doc(hidden)]
    pub fn forget_the_lock(&mut self) {
        let sql = "SELECT pg_advisory_unlock_all()";
        let _ = self.ask(self.patience.reads, async |db| {
            Ok(db.batch_execute(sql).await?)
        });
    }

    /// A connection, which may be a new one.
    fn connected(&mut self) -> Result<&Session, StoreError> {
        if self
            .session
            .as_ref()
            .is_some_and(|known| known.client.is_closed())
        {
            self.session = None;
        }
        if self.session.is_none() {
            let again = self.failed.as_ref();
            if let Some((_, what)) = again.filter(|(at, _)| at.elapsed() < self.patience.again) {
                let (path, what) = (self.shown().clone(), what.clone());
                return Err(StoreError::Io { path, what });
            }
            match self.connect() {
                Ok(session) => (self.session, self.failed) = (Some(session), None),
                Err(error) => {
                    if let StoreError::Io { what, .. } = &error {
                        self.failed = Some((Instant::now(), what.clone()));
                    }
                    return Err(error);
                }
            }
        }
        self.session.as_ref().ok_or(StoreError::Busy)
    }

    fn connect(&mut self) -> Result<Session, StoreError> {
        let path = self.shown().clone();
        let told = |wrong: Wrong| wrong.told(&path);
        let session = Session::open(&self.address, &self.patience).map_err(told)?;
        let prepares = async |db: &Client| schema::prepare(db, &path).await;
        session.ask(self.patience.reads, prepares).map_err(told)?;
        if !self.leads {
            return Ok(session);
        }
        let lost = |what: &str| StoreError::Lost {
            path: path.clone(),
            what: what.into(),
        };
        if !session
            .ask(self.patience.reads, async |db| take_lead(db).await)
            .map_err(told)?
        {
            return Err(lost(
                "the connection was lost, and another control leads by now",
            ));
        }
        let last = session
            .ask(self.patience.reads, async |db| read::last(db).await)
            .map_err(told)?;
        if last != self.seen && Some(last) != self.perhaps {
            return Err(lost(
                "the connection was lost, and another control wrote meanwhile",
            ));
        }
        (self.seen, self.perhaps) = (last, None);
        Ok(session)
    }

    /// Asks something that must have ended within `limit`.
    fn ask<T: Send>(
        &mut self,
        limit: Duration,
        asks: impl AsyncFnOnce(&Client) -> Result<T, Wrong> + Send,
    ) -> Result<T, StoreError> {
        let answer = self.connected()?.ask(limit, asks);
        answer.map_err(|wrong| self.wrong(wrong))
    }

    /// What failed is told; a connection that is of no use any more is closed.
    fn wrong(&mut self, wrong: Wrong) -> StoreError {
        if wrong.ends_the_session() {
            self.session = None;
        }
        if matches!(wrong, Wrong::NoLead) && !self.leads {
            return StoreError::Refused(format!(
                "a control leads on {}: let it do this, or stop it first",
                self.shown().display()
            ));
        }
        wrong.told(self.shown())
    }

    /// Makes a change whose commit may be sent and not answered.
    fn change<T: Send>(
        &mut self,
        limit: Duration,
        progress: &Progress,
        change: impl AsyncFnOnce(&Client) -> Result<T, Wrong> + Send,
    ) -> Result<T, StoreError> {
        let session = self.connected()?;
        session.warned.store(false, Ordering::Release);
        let answer = session.ask(limit, change);
        let warned = session.warned.load(Ordering::Acquire);
        let end = progress.end.lock();
        let end = *end.unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(done) => {
                self.seen = end.unwrap_or(self.seen);
                if warned {
                    let what = "it is in the database, and its replica has not confirmed it";
                    return Err(StoreError::Unknown(what.into()));
                }
                Ok(done)
            }
            Err(wrong) if progress.commits.load(Ordering::Acquire) => {
                (self.perhaps, self.session) = (end, None);
                let what = wrong.told(self.shown()).to_string();
                Err(StoreError::Unknown(what))
            }
            Err(wrong) => Err(self.wrong(wrong)),
        }
    }
}

impl ConfigStore for Postgres {
    fn append(&mut self, append: &Append) -> Result<Appended, StoreError> {
        super::work::bounded(append)?;
        let (progress, leads) = (Progress::default(), self.leads);
        let asks = async |db: &Client| write::append(db, append, leads, &progress).await;
        self.change(self.patience.appends, &progress, asks)
    }

    fn append_all(
        &mut self,
        appends: &mut (dyn Iterator<Item = Append> + Send),
        made: &mut (dyn FnMut(Appended) + Send),
    ) -> Result<(), StoreError> {
        let (progress, leads) = (Progress::default(), self.leads);
        let asks = async |db: &Client| write::append_all(db, appends, made, leads, &progress).await;
        self.change(self.patience.rebuilds, &progress, asks)
    }

    fn made_by(&mut self, request: RequestId) -> Result<Option<(Appended, Hash)>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            let entries = read::of_request(db, &request.0).await?;
            Ok(super::work::done_by(&entries))
        })
    }

    fn last(&mut self) -> Result<u64, StoreError> {
        self.ask(self.patience.reads, async |db| Ok(read::last(db).await?.0))
    }

    fn head(&mut self, chain: &Chain) -> Result<Option<Version>, StoreError> {
        let newest = self.history(chain, None, 1)?;
        Ok(newest.into_iter().next())
    }

    fn heads(&mut self, after: Option<&Chain>, limit: usize) -> Result<Vec<Version>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::heads(db, after, limit).await
        })
    }

    fn version(&mut self, chain: &Chain, number: u64) -> Result<Option<Version>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::version(db, chain, number).await
        })
    }

    fn document(&mut self, hash: &Hash) -> Result<Option<String>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::document(db, hash).await
        })
    }

    fn content(&mut self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(self.patience.appends, async |db| {
            read::content(db, hash).await
        })
    }

    fn history(
        &mut self,
        chain: &Chain,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Version>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::history(db, chain, before, limit).await
        })
    }

    fn log(&mut self, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::log(db, from, limit).await
        })
    }

    fn changed_since(&mut self, seq: u64, limit: usize) -> Result<Vec<(u64, Chain)>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::changed_since(db, seq, limit).await
        })
    }

    fn running(&mut self) -> Result<Vec<Rollout>, StoreError> {
        self.ask(self.patience.reads, async |db| read::running(db).await)
    }

    fn rollout(&mut self, id: u64) -> Result<Option<Rollout>, StoreError> {
        self.ask(self.patience.reads, async |db| read::rollout(db, id).await)
    }

    fn standing(
        &mut self,
        topic: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::standing(db, topic, after, limit).await
        })
    }

    fn stands(&mut self, topic: &str, key: &str) -> Result<Option<Entry>, StoreError> {
        self.ask(self.patience.reads, async |db| {
            read::stands(db, topic, key).await
        })
    }

    fn verify(&mut self) -> Result<Result<u64, Broken>, StoreError> {
        let (mut seq, mut hash) = (0, Hash::NONE);
        loop {
            // Page by page, so that each has a time of its own.
            let page = self.ask(self.patience.appends, async |db| {
                read::verify_page(db, seq, hash).await
            })?;
            match page {
                Page::Good(to, of) => (seq, hash) = (to, of),
                Page::Broken(broken) => return Ok(Err(broken)),
                Page::End => return Ok(Ok(seq)),
            }
        }
    }

    fn rebuild(&mut self) -> Result<(), StoreError> {
        let (progress, leads) = (Progress::default(), self.leads);
        let asks = async |db: &Client| write::rebuild(db, leads, &progress).await;
        self.change(self.patience.rebuilds, &progress, asks)
    }

    fn take_in(&mut self, entries: &[Entry], contents: &[Vec<u8>]) -> Result<(), StoreError> {
        let (progress, leads) = (Progress::default(), self.leads);
        let asks =
            async |db: &Client| write::take_in(db, entries, contents, leads, &progress).await;
        self.change(self.patience.appends, &progress, asks)
    }

    fn derived(&mut self) -> Result<Derived, StoreError> {
        self.ask(self.patience.appends, async |db| read::derived(db).await)
    }
}

async fn take_lead(db: &Client) -> Result<bool, Wrong> {
    let (locks, leads) = (schema::LOCKS, schema::LEADS);
    let sql = format!("SELECT pg_try_advisory_lock({locks}, {leads})");
    let got = read::rows(db, &sql, &[], |row| Ok(row.try_get::<_, bool>(0)?)).await?;
    Ok(got.first() == Some(&true))
}

async fn leader(db: &Client) -> Result<Option<String>, Wrong> {
    let (locks, leads) = (schema::LOCKS, schema::LEADS);
    let sql = format!(
        "SELECT format('%s from %s since %s', application_name, coalesce(host(client_addr), 'this machine'),
                       to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"'))
         FROM pg_locks JOIN pg_stat_activity USING (pid)
         WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND classid = {locks} AND objid = {leads}
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    let who = read::rows(db, &sql, &[], |row| Ok(row.try_get::<_, String>(0)?)).await?;
    Ok(who.into_iter().next())
}
