//! One connection to the database, with a thread of its own that keeps it alive; every question to it ends within a time.
//!
//! The store's callers block, and some of them run inside an async runtime. So the connection lives in a runtime on another
//! thread, and each question is asked from a thread that exists for as long as the question.
//!
//! A server may hang, be stopped, or be cut off: its own limits do not help then, and ours do. What took too long is given up
//! together with the connection, so that no late answer is taken for another question's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{AsyncMessage, Client, Connection};

use super::address::Address;
use super::wrong::Wrong;

/// How long a database may take. What takes longer ends in an error.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection can be used, over all hosts that are named.
    pub opens: Duration,
    /// For a statement, on the server.
    pub statement: Duration,
    /// Until another writer has ended, on the server.
    pub writers: Duration,
    /// For an answer to a question.
    pub reads: Duration,
    /// For an append, and for a page of a log that is verified. One of 100,000 zones takes some seconds.
    pub appends: Duration,
    /// For making all that is derived again, and for appends that are made together.
    pub rebuilds: Duration,
    /// How long a session may be silent before the server ends it: that of a process that was stopped, whose kernel goes on
    /// answering for it. Then somebody else may lead. One that lives says something four times in this time.
    pub silent: Duration,
    /// A database that could not be reached is not tried again for so long, so that callers are not held up at every call.
    pub again: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            opens: seconds(8),
            statement: seconds(10),
            writers: seconds(5),
            reads: seconds(12),
            appends: seconds(60),
            rebuilds: seconds(600),
            silent: seconds(15),
            again: seconds(2),
        }
    }
}

/// A connection that can be asked.
pub(super) struct Session {
    pub client: Arc<Client>,
    /// The server has said that a commit is not where it should be.
    pub warned: Arc<AtomicBool>,
    handle: Handle,
    /// Its end ends the thread, and with it the connection.
    _stop: oneshot::Sender<()>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Connects, and looks whether the server keeps what it promises.
    pub(super) fn open(address: &Address, patience: &Patience) -> Result<Self, Wrong> {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Wrong::system)?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("postgres".into())
            .spawn(move || {
                let _ = runtime.block_on(stopped);
            })
            .map_err(Wrong::system)?;
        let warned = Arc::<AtomicBool>::default();
        let notes = warned.clone();
        let connects = async || {
            let (client, connection) = address.config.connect(address.tls.clone()).await?;
            tokio::spawn(drive(connection, notes));
            prepare(&client, patience).await?;
            let client = Arc::new(client);
            tokio::spawn(beat(client.clone(), patience.silent / 4));
            Ok(client)
        };
        let client = ask(&handle, patience.opens, connects)?;
        Ok(Self {
            client,
            warned,
            handle,
            _stop: stop,
        })
    }

    /// Asks something that must have ended within `limit`.
    pub(super) fn ask<T: Send>(
        &self,
        limit: Duration,
        asks: impl AsyncFnOnce(&Client) -> Result<T, Wrong> + Send,
    ) -> Result<T, Wrong> {
        ask(&self.handle, limit, async || asks(&self.client).await)
    }
}

fn ask<T: Send>(
    handle: &Handle,
    limit: Duration,
    asks: impl AsyncFnOnce() -> Result<T, Wrong> + Send,
) -> Result<T, Wrong> {
    let within = async || match tokio::time::timeout(limit, asks()).await {
        Ok(answer) => answer,
        Err(_) => Err(Wrong::Late(limit)),
    };
    thread::scope(|scope| {
        let asked = thread::Builder::new()
            .name("postgres-ask".into())
            .spawn_scoped(scope, || handle.block_on(within()))
            .map_err(Wrong::system)?;
        asked
            .join()
            .unwrap_or_else(|_| Err(Wrong::Row("the client of the database has a fault".into())))
    })
}

/// Moves bytes, and listens for what the server says without being asked.
async fn drive<S, T>(mut connection: Connection<S, T>, warned: Arc<AtomicBool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) =
        std::future::poll_fn(|context| connection.poll_message(context)).await
    {
        // Told when the wait for a replica was called off: the commit stands here, and nowhere else. Notes are of other kinds.
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
            && *notice.code() == SqlState::WARNING
        {
            warned.store(true, Ordering::Release);
        }
    }
}

async fn beat(client: Arc<Client>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if client.simple_query("").await.is_err() && client.is_closed() {
            return;
        }
    }
}

/// Sets what holds for this session, and refuses a server that would lose what it has confirmed.
async fn prepare(client: &Client, patience: &Patience) -> Result<(), Wrong> {
    let told = client
        .query_typed(
            "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('fsync'),
                    current_setting('server_encoding'), current_setting('synchronous_commit')",
            &[],
        )
        .await?;
    let row = told
        .first()
        .ok_or_else(|| Wrong::Row("the server says nothing of itself".into()))?;
    let (version, is_replica): (i32, bool) = (row.try_get(0)?, row.try_get(1)?);
    let (fsync, encoding): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    let commit: &str = row.try_get(4)?;
    if version < 140_000 {
        return Err(Wrong::Unfit(format!(
            "PostgreSQL {} is too old: 14 is the oldest that ends the session of a process that was stopped",
            version / 10_000
        )));
    }
    if is_replica {
        return Err(Wrong::Unfit(
            "it is a replica: name the primary, or all of them with target_session_attrs=read-write"
                .into(),
        ));
    }
    if fsync != "on" {
        return Err(Wrong::Unfit(
            "fsync is off: a power failure would lose what was confirmed; set fsync = on".into(),
        ));
    }
    if encoding != "UTF8" {
        return Err(Wrong::Unfit(format!(
            "its encoding is {encoding}: make the database with ENCODING 'UTF8'"
        )));
    }
    // Stricter than what we ask for is the owner's to choose.
    let commit = match commit {
        "remote_apply" => "remote_apply",
        _ => "on",
    };
    let (statement, writers, silent) = (
        patience.statement.as_millis(),
        patience.writers.as_millis(),
        patience.silent.as_millis(),
    );
    client
        .batch_execute(&format!(
            "SET synchronous_commit = {commit}; SET statement_timeout = {statement}; SET lock_timeout = {writers};
             SET idle_session_timeout = {silent}; SET idle_in_transaction_session_timeout = {silent};
             SET client_connection_check_interval = '2s'; SET search_path = seawall"
        ))
        .await?;
    Ok(())
}
