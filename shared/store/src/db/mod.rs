//! The database handle: two pools behind one enum, and macros that expand one query and its binds for both.
//!
//! Both databases accept `$1` placeholders, `ON CONFLICT`, `RETURNING` and common table expressions, so nearly all
//! SQL is written once. The main difference is how the rows of a batch become input ([`Input`]).

mod checkpoint;
mod connect;
mod document;
mod dynamic;
mod health;
mod input;
mod measures;
mod postgres;
mod prune;
mod retry;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use carillon_domain::clock::SharedClock;
use carillon_runtime::disk::DiskError;
use sqlx::{PgConnection, Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};

pub(crate) use self::{
    document::Document,
    dynamic::Dynamic,
    health::Health,
    input::Input,
    prune::{Prunable, prunable},
    retry::again,
    writer::{Rows, Statements},
};
use self::{
    measures::PoolMeasures,
    postgres::{Database, HeldConnection},
    writer::{Turn, Writer},
};
use crate::{config::Dialect, error::StoreError, fault::Fault};

/// A database; a cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Db(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pools: Pools,
    clock: SharedClock,
}

#[derive(Debug)]
enum Pools {
    /// One writer, for which callers queue instead of polling SQLite's lock, and several readers.
    Sqlite {
        write: Writer,
        read: SqlitePool,
        file: PathBuf,
        writer: PoolMeasures,
        readers: PoolMeasures,
    },
    Postgres(Database),
}

/// A connection for reading statements, each a transaction of its own.
pub(crate) enum Session {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(HeldConnection),
}

/// A connection for one writing statement, which is durable after [`Write::commit`].
pub(crate) enum Write {
    Sqlite(Turn),
    Postgres(HeldConnection),
}

/// A transaction; rolled back when it is dropped.
pub(crate) struct Tx(Write);

/// The connection on which statements run.
pub(crate) enum Conn<'c> {
    /// A SQLite connection. The health is present if the connection is the writer.
    Sqlite(&'c mut SqliteConnection, Option<&'c Health>),
    Postgres(&'c mut PgConnection, &'c PostgresLink),
}

/// The way to a PostgreSQL server, of one held connection.
#[derive(Debug)]
pub(crate) struct PostgresLink {
    /// Shared by all connections to the database.
    health: Health,
    /// Whether a pooler gives each transaction another server connection. If so, statements have no names,
    /// and each runs inside a transaction.
    is_pooled: bool,
    /// The longest wait for an answer.
    limit: Duration,
    /// Whether an answer is being waited for, or the wait was given up.
    waits: AtomicBool,
    /// Whether an answer did not come in time.
    hangs: AtomicBool,
}

impl PostgresLink {
    fn new(health: Health, is_pooled: bool, limit: Duration) -> Self {
        Self {
            health,
            is_pooled,
            limit,
            waits: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        }
    }

    fn is_waiting(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    fn is_hung(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }

    /// Waits for the answer to a statement, and updates the health with it. If it does not come in time, the server counts
    /// as unreachable, and the connection is closed.
    pub(crate) async fn answer<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        self.bounded(async { self.note(statement.await) }).await
    }

    /// Waits for work that consists of statements, as long as for one.
    pub(crate) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.waits.store(true, Ordering::Relaxed);
        let answer = tokio::time::timeout(self.limit, work).await;
        let result = answer.unwrap_or_else(|_| {
            self.hangs.store(true, Ordering::Relaxed);
            self.note(Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
        });
        self.waits.store(false, Ordering::Relaxed);
        result
    }

    /// Whether prepared statements may have names and be reused.
    pub(crate) fn keeps_statements(&self) -> bool {
        !self.is_pooled
    }

    /// Updates the health with a result; see [`Health::note`].
    pub(crate) fn note<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        self.health.note(result)
    }
}

/// The fault of the disk under a file, if it takes no writes.
fn room(file: &std::path::Path) -> Option<Fault> {
    match carillon_runtime::disk::check(file) {
        Ok(()) => None,
        Err(DiskError::Full { .. }) => Some(Fault::DiskFull),
        Err(DiskError::ReadOnly) => Some(Fault::ReadOnly),
        Err(DiskError::Unknown(_)) => Some(Fault::Storage),
    }
}

/// Calls [`Health::note`] for SQLite's writer only: errors of a reader say nothing about writes.
pub(crate) fn note<T>(writer: Option<&Health>, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
    match writer {
        Some(health) => health.note(result),
        None => Ok(result?),
    }
}

impl Db {
    pub(crate) fn dialect(&self) -> Dialect {
        match &self.0.pools {
            Pools::Sqlite { .. } => Dialect::Sqlite,
            Pools::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn now(&self) -> carillon_domain::Timestamp {
        self.0.clock.now()
    }

    /// A connection for statements that only read.
    pub(crate) async fn read(&self) -> Result<Session, StoreError> {
        let since = Instant::now();
        Ok(match &self.0.pools {
            Pools::Sqlite { read, readers, .. } => {
                let connection = read.acquire().await;
                readers.waited(since);
                Session::Sqlite(connection?)
            }
            Pools::Postgres(database) => Session::Postgres(database.hold().await?),
        })
    }

    /// A connection for one writing statement over a few rows.
    pub(crate) async fn write(&self) -> Result<Write, StoreError> {
        self.write_batch(1).await
    }

    /// A connection for one writing statement over an [`Input`] of `rows` rows, which writes all of them or none.
    pub(crate) async fn write_batch(&self, rows: usize) -> Result<Write, StoreError> {
        self.write_rows(Arc::new((rows, Input::statements(rows)))).await
    }

    /// A connection for rows that may be gathered until it is available. PostgreSQL: for one statement.
    pub(crate) async fn write_rows(&self, rows: Arc<dyn Rows>) -> Result<Write, StoreError> {
        Ok(match &self.0.pools {
            Pools::Sqlite { write, writer, .. } => {
                let since = Instant::now();
                let turn = write.turn(rows).await;
                writer.waited(since);
                Write::Sqlite(turn?)
            }
            Pools::Postgres(database) => Write::Postgres(database.hold().await?),
        })
    }

    /// A transaction for several statements over a few rows. PostgreSQL: read committed.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_batch(1).await
    }

    /// A transaction for several statements over `rows` rows.
    pub(crate) async fn begin_batch(&self, rows: usize) -> Result<Tx, StoreError> {
        Ok(Tx(match &self.0.pools {
            Pools::Sqlite { .. } => self.write_rows(Arc::new((rows, Statements::Several))).await?,
            Pools::Postgres(database) => Write::Postgres(database.begin().await?),
        }))
    }

    /// Waits for the connections in use and closes all.
    pub(crate) async fn close(&self) {
        match &self.0.pools {
            Pools::Sqlite { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(database) => database.close().await,
        }
    }

    /// Checks that the database can be read and takes writes. SQLite's write lock is taken for it if nothing was
    /// written since the last check.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        let seen = match &self.0.pools {
            Pools::Sqlite {
                write,
                read,
                file,
                writer,
                readers,
            } => {
                writer.count(1, 0);
                readers.count(read.size(), read.num_idle());
                let mut connection = read.acquire().await?;
                sqlx::query_scalar::<Sqlite, i32>("SELECT 1")
                    .fetch_one(&mut *connection)
                    .await?;
                match room(file) {
                    Some(fault) => Some(fault),
                    None => write.probe().await?,
                }
            }
            Pools::Postgres(database) => database.check().await?,
        };
        match seen {
            Some(fault) => Err(StoreError::Unavailable(fault, None)),
            None => Ok(()),
        }
    }
}

impl Conn<'_> {
    /// Lets [`fetch`] and [`execute`] run on a connection as on a session or a transaction.
    pub(crate) fn conn(self) -> Self {
        self
    }
}

impl Session {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(connection) => Conn::Sqlite(connection, None),
            Self::Postgres(held) => held.conn(),
        }
    }
}

impl Write {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(turn) => turn.conn(),
            Self::Postgres(held) => held.conn(),
        }
    }

    /// Waits until the statement is durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(turn) => turn.commit().await,
            Self::Postgres(held) => held.commit().await,
        }
    }
}

impl Tx {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        self.0.conn()
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await
    }
}

/// `fetch!(all | one | optional, on => Row, "SQL", binds…)`: the rows of a query on a [`Session`] or [`Tx`].
macro_rules! fetch {
    (all, $($rest:tt)*) => { $crate::db::fetch!(@ fetch_all, $($rest)*) };
    (one, $($rest:tt)*) => { $crate::db::fetch!(@ fetch_one, $($rest)*) };
    (optional, $($rest:tt)*) => { $crate::db::fetch!(@ fetch_optional, $($rest)*) };
    (@ $method:ident, $on:expr => $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $on.conn() {
            $crate::db::Conn::Sqlite(connection, writer) => {
                let query = sqlx::query_as::<sqlx::Sqlite, $row>($sql)$(.bind($bind))*;
                $crate::db::note(writer, query.$method(connection).await)
            }
            $crate::db::Conn::Postgres(connection, link) => {
                let query = sqlx::query_as::<sqlx::Postgres, $row>($sql)$(.bind($bind))*;
                let query = query.persistent(link.keeps_statements());
                link.answer(query.$method(connection)).await
            }
        }
    };
}

/// `execute!(on, "SQL", binds…)`: the number of rows that a statement on a [`Session`] or [`Tx`] wrote.
macro_rules! execute {
    ($on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $on.conn() {
            $crate::db::Conn::Sqlite(connection, writer) => {
                let query = sqlx::query::<sqlx::Sqlite>($sql)$(.bind($bind))*;
                let done = query.execute(connection).await;
                $crate::db::note(writer, done.map(|done| done.rows_affected()))
            }
            $crate::db::Conn::Postgres(connection, link) => {
                let query = sqlx::query::<sqlx::Postgres>($sql)$(.bind($bind))*;
                let query = query.persistent(link.keeps_statements());
                link.answer(query.execute(connection)).await.map(|done| done.rows_affected())
            }
        }
    };
}

/// `write_one!(db, "SQL", binds…)`: runs a single statement, durable on return; the number of rows that it wrote.
macro_rules! write_one {
    ($db:expr, $($statement:tt)*) => {
        $crate::db::again(|| async {
            let mut write = $db.write().await?;
            let written = $crate::db::execute!(write, $($statement)*)?;
            write.commit().await?;
            Ok::<u64, $crate::error::StoreError>(written)
        })
        .await
    };
}

pub(crate) use {execute, fetch, write_one};
