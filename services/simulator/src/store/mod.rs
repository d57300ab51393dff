//! The simulator's memory: a SQLite database, in a file or in memory.
//!
//! A message is in the database before its sender gets an answer: senders wait for the commit of the batch of their
//! message (group commit), so an acknowledged message survives `kill -9`. Commits do not wait for the disk (WAL with
//! `synchronous=NORMAL`): a power cut may lose the last moments, which matters to no test of duplicates.
//!
//! At most [`KEPT_MESSAGES`] messages stay readable; the oldest are dropped first. The counts include dropped
//! messages. The row for each delivery id that detects duplicates (about 60 bytes) stays until `DELETE /v1/messages`.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use rand::RngExt as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::read::Messages;
pub(crate) use self::write::Writer;
use crate::{Message, SimulatorError};

/// The most messages that are stored; older ones are dropped.
pub const KEPT_MESSAGES: i64 = 200_000;

/// The most senders that wait for the next batch; further ones wait to be queued.
const QUEUED_SENDERS: usize = 8_192;

const READERS: u32 = 4;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS messages (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL COLLATE NOCASE,
    delivery_id TEXT,
    event_id TEXT,
    subject TEXT,
    body_text TEXT,
    body_html TEXT,
    data TEXT NOT NULL,
    headers TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    provider_message_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_delivery ON messages (delivery_id);
CREATE INDEX IF NOT EXISTS messages_by_event ON messages (event_id);
CREATE INDEX IF NOT EXISTS messages_by_recipient ON messages (recipient);
CREATE INDEX IF NOT EXISTS messages_by_channel ON messages (channel);
CREATE TABLE IF NOT EXISTS deliveries (
    delivery_id TEXT PRIMARY KEY,
    received INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS duplicates ON deliveries (delivery_id) WHERE received > 1;
CREATE TABLE IF NOT EXISTS received (
    provider TEXT PRIMARY KEY,
    total INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
";

/// The messages of one transmission: the same content for one or more receivers.
#[derive(Debug)]
pub(crate) struct Transmission(pub(crate) Vec<Message>);

enum Command {
    Record {
        transmission: Transmission,
        recorded: oneshot::Sender<Result<(), SimulatorError>>,
    },
    Clear {
        cleared: oneshot::Sender<Result<(), SimulatorError>>,
    },
}

/// Writes messages and reads them back. Clones share one database.
#[derive(Clone)]
pub(crate) struct Store {
    commands: mpsc::Sender<Command>,
    messages: Messages,
}

impl Store {
    /// Opens or creates the database. Messages are recorded only while [`Writer::run`] is running.
    pub(crate) async fn open(data_dir: Option<&Path>, kept: i64) -> Result<(Self, Writer), SimulatorError> {
        let (write_pool, read_pool) = match data_dir {
            None => {
                let pool = memory_pool().await?;
                (pool.clone(), pool)
            }
            Some(folder) => file_pools(folder).await?,
        };
        let (commands, inbox) = mpsc::channel(QUEUED_SENDERS);
        let (committed, commits) = watch::channel(0);
        let store = Self {
            commands,
            messages: Messages::new(read_pool.clone(), commits),
        };
        Ok((store, Writer::new(write_pool, read_pool, inbox, committed, kept)))
    }

    /// Records a transmission; returns when it is committed.
    pub(crate) async fn record(&self, transmission: Transmission) -> Result<(), SimulatorError> {
        let (recorded, result) = oneshot::channel();
        self.send(
            Command::Record {
                transmission,
                recorded,
            },
            result,
        )
        .await
    }

    /// Deletes all messages and counts.
    pub(crate) async fn clear(&self) -> Result<(), SimulatorError> {
        let (cleared, result) = oneshot::channel();
        self.send(Command::Clear { cleared }, result).await
    }

    async fn send(
        &self,
        command: Command,
        result: oneshot::Receiver<Result<(), SimulatorError>>,
    ) -> Result<(), SimulatorError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| SimulatorError::Stopping)?;
        result.await.map_err(|_| SimulatorError::Stopping)?
    }

    /// Access to the recorded messages.
    pub(crate) fn messages(&self) -> &Messages {
        &self.messages
    }
}

async fn memory_pool() -> Result<SqlitePool, SimulatorError> {
    let options = SqliteConnectOptions::from_str("sqlite::memory:")?;
    // An in-memory database exists as long as its only connection.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    Ok(pool)
}

async fn file_pools(folder: &Path) -> Result<(SqlitePool, SqlitePool), SimulatorError> {
    tokio::fs::create_dir_all(folder)
        .await
        .map_err(|source| SimulatorError::DataDir {
            path: folder.to_owned(),
            source,
        })?;
    let options = SqliteConnectOptions::new()
        .filename(folder.join("simulator.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5));
    let writers = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await?;
    sqlx::raw_sql(SCHEMA).execute(&writers).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .connect_with(options.read_only(true))
        .await?;
    Ok((writers, readers))
}

impl Writer {
    /// A secret of this memory, created on first use, so that tokens signed with it are valid after a restart.
    pub(crate) async fn secret(&self, name: &str) -> Result<Vec<u8>, SimulatorError> {
        let fresh: [u8; 32] = rand::rng().random();
        sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(&fresh[..])
            .execute(self.pool())
            .await?;
        let secret = sqlx::query_scalar("SELECT value FROM secrets WHERE name = $1")
            .bind(name)
            .fetch_one(self.pool())
            .await?;
        Ok(secret)
    }
}
