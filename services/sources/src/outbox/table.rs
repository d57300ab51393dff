//! The outbox table in the customer's database. Rows are claimed with SKIP LOCKED, so several sources share them.

use std::time::Duration;

use carillon_runtime::Secret;
use secrecy::ExposeSecret as _;
use sqlx::{
    AssertSqlSafe, PgPool, Row as _,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::sync::mpsc;

use super::TableName;

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The pause before a listener that lost its connection connects again.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// The longest text of the column `error`, in characters.
const MAX_ERROR: usize = 2_000;

/// The error of the customer's database.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The address is none of PostgreSQL.
    #[error("--database-url: expected postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// The table is missing, or lacks a column.
    #[error("expected the table {0} with the columns that `carillon source outbox --ddl` prints")]
    NoTable(String),
    /// The database does not answer, or refuses a statement.
    #[error("the database of the outbox cannot be used")]
    Database(#[from] sqlx::Error),
}

/// A claimed row.
#[derive(Debug)]
pub(super) struct ClaimedRow {
    pub(super) position: i64,
    pub(super) id: String,
    /// The event as JSON.
    pub(super) event: String,
    /// RFC 3339.
    pub(super) created_at: String,
    /// Seconds since `created_at`, by the database's clock.
    pub(super) age: f64,
}

/// The table.
pub(super) struct Table {
    pool: PgPool,
    name: TableName,
    lease: Duration,
}

/// Notifications of new rows.
pub(super) struct Notified(mpsc::Receiver<()>);

impl Notified {
    /// Waits for the next notification.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Table {
    pub(super) async fn connect(
        url: &Secret,
        name: &TableName,
        lease: Duration,
    ) -> Result<Self, OutboxError> {
        let url = url.expose_secret();
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(OutboxError::Url);
        }
        let options = url.parse().map_err(|_| OutboxError::Url)?;
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(CONNECT)
            .connect_with(options)
            .await?;
        let table = Self {
            pool,
            name: name.clone(),
            lease,
        };
        table.check().await?;
        Ok(table)
    }

    pub(super) fn name(&self) -> &TableName {
        &self.name
    }

    /// Checks that the table has all columns.
    async fn check(&self) -> Result<(), OutboxError> {
        let sql = format!(
            "SELECT position, id, event, created_at, claimed_until, failed_at, error FROM {} LIMIT 0",
            self.name.sql()
        );
        match sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await {
            Ok(_) => Ok(()),
            // Undefined table, schema and column.
            Err(sqlx::Error::Database(error))
                if error
                    .code()
                    .is_some_and(|code| ["42P01", "3F000", "42703"].contains(&&*code)) =>
            {
                Err(OutboxError::NoTable(self.name.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Claims the oldest rows that no other source has claimed.
    pub(super) async fn claim(&self, rows: i64) -> Result<Vec<ClaimedRow>, OutboxError> {
        let table = self.name.sql();
        let sql = format!(
            r#"UPDATE {table} SET claimed_until = now() + make_interval(secs => $1)
            WHERE position IN (
                SELECT position FROM {table}
                WHERE failed_at IS NULL AND (claimed_until IS NULL OR claimed_until < now())
                ORDER BY position LIMIT $2 FOR UPDATE SKIP LOCKED)
            RETURNING position, id, event::text AS event,
                to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
                extract(epoch FROM now() - created_at)::double precision AS age"#
        );
        let found = sqlx::query(AssertSqlSafe(sql))
            .bind(self.lease.as_secs_f64())
            .bind(rows)
            .fetch_all(&self.pool)
            .await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in found {
            rows.push(ClaimedRow {
                position: row.try_get("position")?,
                id: row.try_get("id")?,
                event: row.try_get("event")?,
                created_at: row.try_get("created_at")?,
                age: row.try_get("age")?,
            });
        }
        rows.sort_by_key(|row| row.position);
        Ok(rows)
    }

    /// Gives claimed rows back.
    pub(super) async fn release(&self, positions: &[i64]) -> Result<(), OutboxError> {
        let sql = format!(
            "UPDATE {} SET claimed_until = NULL WHERE position = ANY($1) AND failed_at IS NULL",
            self.name.sql()
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(positions)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Deletes rows that the gateway has.
    pub(super) async fn delete(&self, positions: &[i64]) -> Result<(), OutboxError> {
        if positions.is_empty() {
            return Ok(());
        }
        let sql = format!("DELETE FROM {} WHERE position = ANY($1)", self.name.sql());
        sqlx::query(AssertSqlSafe(sql))
            .bind(positions)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Moves a row aside: it stays in the table with the reason, and is not claimed again.
    pub(super) async fn fail(&self, position: i64, error: &str) -> Result<(), OutboxError> {
        // PostgreSQL's text has no NUL.
        let error: String = error.chars().filter(|c| *c != '\0').take(MAX_ERROR).collect();
        let sql = format!(
            "UPDATE {} SET failed_at = now(), error = $2, claimed_until = NULL WHERE position = $1",
            self.name.sql()
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(position)
            .bind(error)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Listens for notifications, on a connection of its own, until the receiver is dropped. While the connection is away,
    /// new rows are found by polling.
    pub(super) fn listen(&self) -> Notified {
        let (told, receiver) = mpsc::channel(1);
        let (pool, channel) = (self.pool.clone(), self.name.table().to_owned());
        tokio::spawn(async move {
            while !told.is_closed() {
                let listening = listen_on(&pool, &channel, &told);
                let ended = tokio::select! {
                    ended = listening => ended,
                    () = told.closed() => return,
                };
                if let Err(error) = ended {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "the outbox is not listened to; it is polled"
                    );
                }
                tokio::select! {
                    () = tokio::time::sleep(LISTEN_AGAIN) => {}
                    () = told.closed() => return,
                }
            }
        });
        Notified(receiver)
    }
}

async fn listen_on(pool: &PgPool, channel: &str, told: &mpsc::Sender<()>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(channel).await?;
    // Rows that came before are looked for once.
    loop {
        // A full channel has a notification that is not read yet.
        let _ = told.try_send(());
        listener.recv().await?;
    }
}

/// The statements that create the table.
pub(super) fn ddl(name: &TableName) -> String {
    let (sql, prefix, table) = (name.sql(), name.prefix(), name.table());
    format!(
        r#"-- The outbox of `carillon source outbox --table {name}`. Write a row in the transaction whose result it reports:
--   INSERT INTO {name} (event) VALUES ('{{"type":"OrderShipped","recipients":["c-42"],"data":{{"order_id":1001}}}}');
CREATE TABLE {sql} (
    -- The order in which rows are posted.
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The event's id, unless the event names one. With the same id, a repeated event is sent once.
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    -- The event in Carillon's plain form (docs/events.md).
    event jsonb NOT NULL,
    -- The event's time, unless the event names one.
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Until then, the row is being posted.
    claimed_until timestamptz,
    -- Since then, the row is set aside, because the gateway refuses its event; `error` says why. Once the event is mended, the
    -- row is posted after: UPDATE {name} SET failed_at = NULL, error = NULL WHERE position = …
    failed_at timestamptz,
    error text
);
CREATE INDEX "{table}_waiting" ON {sql} (position) WHERE failed_at IS NULL;

-- Wakes the source. Without the trigger, new rows are found by polling.
CREATE FUNCTION {prefix}"{table}_wake"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('{table}', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER "{table}_wake" AFTER INSERT ON {sql}
    FOR EACH STATEMENT EXECUTE FUNCTION {prefix}"{table}_wake"();
"#
    )
}
