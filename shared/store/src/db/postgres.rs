//! Connections to PostgreSQL, directly or through a pooler in transaction mode.
//!
//! Each wait for the server's answer is bounded, because a server or a network that hangs says nothing for many minutes. A
//! connection whose answer did not come in time is closed; a connection that is given back in the middle of a statement is
//! used again only after the server has answered.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::runtime::Handle;

use super::{
    Conn, Health, PostgresLink, health,
    measures::{Commits, PoolMeasures},
};
use crate::{error::StoreError, fault::Fault};

/// The longest time that a client waits for an answer after the server's own time limit of a statement.
const LONGEST_WAY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Database {
    pool: PgPool,
    health: Health,
    is_pooled: bool,
    /// The longest wait for an answer.
    limit: Duration,
    /// The statement that begins a transaction.
    begin: String,
    measures: PoolMeasures,
    commits: Commits,
}

/// A connection, and the transaction on it if there is one. The transaction is rolled back on drop.
pub(crate) struct HeldConnection {
    /// Present until the drop.
    connection: Option<PoolConnection<Postgres>>,
    /// Whether a transaction has begun and not ended.
    in_transaction: bool,
    link: PostgresLink,
    commits: Commits,
}

/// The longest wait for the answer to a statement that the server ends after `statement_timeout`.
pub(super) fn limit(statement_timeout: Duration) -> Duration {
    statement_timeout + statement_timeout.min(LONGEST_WAY)
}

impl Database {
    pub(super) fn new(pool: PgPool, health: Health, is_pooled: bool, statement_timeout: Duration) -> Self {
        // Behind a pooler a session keeps no settings. `connect.rs` explains them.
        let begin = if is_pooled {
            format!(
                "BEGIN; SET LOCAL jit = off; SET LOCAL statement_timeout = {}; \
                 SET LOCAL idle_in_transaction_session_timeout = '10s'",
                statement_timeout.as_millis()
            )
        } else {
            "BEGIN".to_owned()
        };
        Self {
            pool,
            health,
            is_pooled,
            limit: limit(statement_timeout),
            begin,
            measures: PoolMeasures::new("postgresql"),
            commits: Commits::new("postgresql", ""),
        }
    }

    /// A connection for statements, each of which is a transaction of its own.
    pub(super) async fn hold(&self) -> Result<HeldConnection, StoreError> {
        if self.is_pooled {
            // Outside a transaction, a pooler may prepare a statement on one server and run it on another.
            return self.begin().await;
        }
        self.acquire().await
    }

    /// Begins a transaction, read committed.
    pub(super) async fn begin(&self) -> Result<HeldConnection, StoreError> {
        let mut held = self.acquire().await?;
        // From now on a drop has to roll back, whatever the answer.
        held.in_transaction = true;
        held.run(&self.begin).await?;
        Ok(held)
    }

    async fn acquire(&self) -> Result<HeldConnection, StoreError> {
        let since = Instant::now();
        let connection = self.pool.acquire().await;
        self.measures.waited(since);
        Ok(HeldConnection {
            connection: Some(self.health.note(connection)?),
            in_transaction: false,
            link: PostgresLink::new(self.health.clone(), self.is_pooled, self.limit),
            commits: self.commits.clone(),
        })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// The fault that stops writes, as the server reports it or recent writes have shown.
    pub(super) async fn check(&self) -> Result<Option<Fault>, StoreError> {
        self.measures.count(self.pool.size(), self.pool.num_idle());
        let mut held = self.hold().await?;
        let (connection, link) = held.parts();
        if link.answer(health::is_writable(connection)).await? {
            return Ok(self.health.fault());
        }
        // It may be only this session that is read-only; the next check uses another one.
        self.health.failed(Fault::ReadOnly);
        Ok(Some(Fault::ReadOnly))
    }
}

impl HeldConnection {
    pub(super) fn conn(&mut self) -> Conn<'_> {
        let (connection, link) = self.parts();
        Conn::Postgres(connection, link)
    }

    #[expect(clippy::expect_used, reason = "the connection is taken by the drop alone")]
    fn parts(&mut self) -> (&mut PgConnection, &PostgresLink) {
        let connection = self.connection.as_mut().expect("a held connection");
        (&mut **connection, &self.link)
    }

    /// Runs a statement without values in one round trip.
    async fn run(&mut self, statement: &str) -> Result<(), StoreError> {
        let (connection, link) = self.parts();
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        link.answer(statement.execute(connection)).await?;
        Ok(())
    }

    /// Commits the transaction, so that its writes are durable.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.in_transaction {
            let since = Instant::now();
            self.run("COMMIT").await?;
            self.in_transaction = false;
            self.commits.took(since);
        }
        self.link.health.wrote();
        Ok(())
    }
}

impl Drop for HeldConnection {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if self.link.is_hung() {
            connection.close_on_drop();
            return;
        }
        if !self.in_transaction && !self.link.is_waiting() {
            return;
        }
        // The pool itself would wait for the server without a limit, and meanwhile lack this connection.
        let Ok(runtime) = Handle::try_current() else {
            connection.close_on_drop();
            return;
        };
        let ends = if self.in_transaction {
            "ROLLBACK"
        } else {
            "SELECT 1"
        };
        let limit = self.link.limit;
        runtime.spawn(async move {
            let ended = sqlx::raw_sql(ends).execute(&mut *connection);
            if !matches!(tokio::time::timeout(limit, ended).await, Ok(Ok(_))) {
                connection.close_on_drop();
            }
        });
    }
}
