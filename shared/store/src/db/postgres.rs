//! Connections to PostgreSQL, directly or through a pooler in transaction mode.

use std::time::Instant;

use sqlx::{PgConnection, PgPool, Postgres, Transaction, pool::PoolConnection};

use super::{
    Conn, Health, PostgresLink, health,
    measures::{Commits, PoolMeasures},
};
use crate::{error::StoreError, fault::Fault};

/// The beginning of each transaction behind a pooler, where a session keeps no settings. [`super::connect`]
/// explains the settings.
const BEGIN_POOLED: &str = "BEGIN; SET LOCAL jit = off; SET LOCAL statement_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

#[derive(Debug)]
pub(super) struct Database {
    pool: PgPool,
    link: PostgresLink,
    measures: PoolMeasures,
    commits: Commits,
}

/// A connection, and the transaction on it if there is one. The transaction is rolled back on drop.
pub(crate) struct HeldConnection {
    on: On,
    link: PostgresLink,
    commits: Commits,
}

enum On {
    Connection(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Database {
    pub(super) fn new(pool: PgPool, health: Health, is_pooled: bool) -> Self {
        Self {
            pool,
            link: PostgresLink { health, is_pooled },
            measures: PoolMeasures::new("postgresql"),
            commits: Commits::new("postgresql", ""),
        }
    }

    /// A connection for statements, each of which is a transaction of its own.
    pub(super) async fn hold(&self) -> Result<HeldConnection, StoreError> {
        if self.link.is_pooled {
            // Outside a transaction, a pooler may prepare a statement on one server and run it on another.
            return self.begin().await;
        }
        let since = Instant::now();
        let connection = self.pool.acquire().await;
        self.measures.waited(since);
        Ok(self.held(On::Connection(self.link.note(connection)?)))
    }

    /// Begins a transaction, read committed.
    pub(super) async fn begin(&self) -> Result<HeldConnection, StoreError> {
        let since = Instant::now();
        let begun = if self.link.is_pooled {
            self.pool.begin_with(BEGIN_POOLED).await
        } else {
            self.pool.begin().await
        };
        self.measures.waited(since);
        Ok(self.held(On::Transaction(self.link.note(begun)?)))
    }

    fn held(&self, on: On) -> HeldConnection {
        HeldConnection {
            on,
            link: self.link.clone(),
            commits: self.commits.clone(),
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// The fault that stops writes, as the server reports it or recent writes have shown.
    pub(super) async fn check(&self) -> Result<Option<Fault>, StoreError> {
        self.measures.count(self.pool.size(), self.pool.num_idle());
        let mut held = self.hold().await?;
        let writable = health::is_writable(held.connection()).await;
        if self.link.note(writable)? {
            return Ok(self.link.health.fault());
        }
        // It may be only this session that is read-only; the next check uses another one.
        self.link.health.failed(Fault::ReadOnly);
        Ok(Some(Fault::ReadOnly))
    }
}

impl HeldConnection {
    pub(super) fn conn(&mut self) -> Conn<'_> {
        let connection = match &mut self.on {
            On::Connection(connection) => &mut **connection,
            On::Transaction(transaction) => &mut **transaction,
        };
        Conn::Postgres(connection, &self.link)
    }

    fn connection(&mut self) -> &mut PgConnection {
        match &mut self.on {
            On::Connection(connection) => connection,
            On::Transaction(transaction) => transaction,
        }
    }

    /// Commits the transaction, so that its writes are durable.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        if let On::Transaction(transaction) = self.on {
            let since = Instant::now();
            self.link.note(transaction.commit().await)?;
            self.commits.took(since);
        }
        self.link.health.wrote();
        Ok(())
    }
}
