//! The database handle: two pools behind one enum, and macros that expand one query and its binds for both.
//!
//! Both databases accept `$1` placeholders, `ON CONFLICT`, `RETURNING` and common table expressions, so nearly all SQL
//! is written once. Batches differ in how their rows get in ([`Input`]); little else does.

mod checkpoint;
mod connect;
mod document;
mod dynamic;
mod group;
mod input;
mod prune;
mod read_model_file;

use std::sync::Arc;

use carillon_domain::clock::SharedClock;
use sqlx::{
    PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction, pool::PoolConnection,
};

use self::group::{Group, Size, Turn};
pub(crate) use self::{
    document::Document,
    dynamic::Dynamic,
    input::Input,
    prune::{Prunable, prunable},
};
use crate::{config::Dialect, error::StoreError};

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
    /// One writer, for which writers queue instead of polling SQLite's lock, and several readers.
    Sqlite {
        write: Group,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// A connection for statements that read, each a transaction of its own.
pub(crate) enum Session {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A connection for one statement that writes. It is durable after [`Write::commit`].
pub(crate) enum Write {
    Sqlite(Turn),
    Postgres(PoolConnection<Postgres>),
}

/// A transaction; rolled back when it is dropped.
pub(crate) enum Tx {
    Sqlite(Turn),
    Postgres(Transaction<'static, Postgres>),
}

/// What statements run on.
pub(crate) enum Conn<'c> {
    /// The second says whether it is the writer in its turn.
    Sqlite(&'c mut SqliteConnection, bool),
    Postgres(&'c mut PgConnection),
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

    /// For statements that only read.
    pub(crate) async fn read(&self) -> Result<Session, StoreError> {
        Ok(match &self.0.pools {
            Pools::Sqlite { read, .. } => Session::Sqlite(read.acquire().await?),
            Pools::Postgres(pool) => Session::Postgres(pool.acquire().await?),
        })
    }

    /// For a write of one statement over a few rows.
    pub(crate) async fn write(&self) -> Result<Write, StoreError> {
        self.write_batch(1).await
    }

    /// For a write of one statement over an [`Input`] of so many rows, all of which are written or none.
    pub(crate) async fn write_batch(&self, rows: usize) -> Result<Write, StoreError> {
        Ok(match &self.0.pools {
            Pools::Sqlite { write, .. } if Input::is_one_statement(rows) => {
                Write::Sqlite(write.turn(Size::of(rows)).await?)
            }
            Pools::Sqlite { write, .. } => Write::Sqlite(write.all_or_nothing(Size::of(rows)).await?),
            Pools::Postgres(pool) => Write::Postgres(pool.acquire().await?),
        })
    }

    /// For writes of several statements over a few rows. PostgreSQL: read committed.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_batch(1).await
    }

    /// For writes of several statements over so many rows.
    pub(crate) async fn begin_batch(&self, rows: usize) -> Result<Tx, StoreError> {
        Ok(match &self.0.pools {
            Pools::Sqlite { write, .. } => Tx::Sqlite(write.all_or_nothing(Size::of(rows)).await?),
            Pools::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Waits for connections in use and closes all.
    pub(crate) async fn close(&self) {
        match &self.0.pools {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
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
            Self::Sqlite(connection) => Conn::Sqlite(connection, false),
            Self::Postgres(connection) => Conn::Postgres(connection),
        }
    }
}

impl Write {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(turn) => Conn::Sqlite(turn.connection(), true),
            Self::Postgres(connection) => Conn::Postgres(connection),
        }
    }

    /// Waits until the statement is durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(turn) => turn.commit().await,
            Self::Postgres(_) => Ok(()),
        }
    }
}

impl Tx {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(turn) => Conn::Sqlite(turn.connection(), true),
            Self::Postgres(transaction) => Conn::Postgres(transaction),
        }
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(turn) => turn.commit().await,
            Self::Postgres(transaction) => Ok(transaction.commit().await?),
        }
    }
}

/// `fetch!(all | one | optional, on => Row, "SQL", binds…)`: rows of a query on a [`Session`] or [`Tx`].
macro_rules! fetch {
    (all, $($rest:tt)*) => { $crate::db::fetch!(@ fetch_all, $($rest)*) };
    (one, $($rest:tt)*) => { $crate::db::fetch!(@ fetch_one, $($rest)*) };
    (optional, $($rest:tt)*) => { $crate::db::fetch!(@ fetch_optional, $($rest)*) };
    (@ $method:ident, $on:expr => $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $on.conn() {
            $crate::db::Conn::Sqlite(connection, _) => {
                sqlx::query_as::<sqlx::Sqlite, $row>($sql)$(.bind($bind))*.$method(connection).await
            }
            $crate::db::Conn::Postgres(connection) => {
                sqlx::query_as::<sqlx::Postgres, $row>($sql)$(.bind($bind))*.$method(connection).await
            }
        }
        .map_err($crate::error::StoreError::from)
    };
}

/// `execute!(on, "SQL", binds…)`: how many rows a statement on a [`Session`] or [`Tx`] wrote.
macro_rules! execute {
    ($on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $on.conn() {
            $crate::db::Conn::Sqlite(connection, _) => sqlx::query::<sqlx::Sqlite>($sql)$(.bind($bind))*
                .execute(connection)
                .await
                .map(|done| done.rows_affected()),
            $crate::db::Conn::Postgres(connection) => sqlx::query::<sqlx::Postgres>($sql)$(.bind($bind))*
                .execute(connection)
                .await
                .map(|done| done.rows_affected()),
        }
        .map_err($crate::error::StoreError::from)
    };
}

/// `write_one!(db, "SQL", binds…)`: a statement of its own, durable on return. How many rows it wrote.
macro_rules! write_one {
    ($db:expr, $($statement:tt)*) => {
        async {
            let mut write = $db.write().await?;
            let written = $crate::db::execute!(write, $($statement)*)?;
            write.commit().await?;
            Ok::<u64, $crate::error::StoreError>(written)
        }
        .await
    };
}

pub(crate) use {execute, fetch, write_one};
