//! Opening the pools and bringing the schema up to date.

use std::{path::Path, str::FromStr as _, sync::Arc, time::Duration};

use carillon_domain::clock::SharedClock;
use sqlx::{
    Connection as _, PgPool, SqlitePool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Db, Inner, Pools};
use crate::{
    config::{Place, StoreConfig},
    error::StoreError,
};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// How long SQLite waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// Rows that SQLite's thread hands over before it waits for whoever takes them.
const ROW_BUFFER: usize = 1_024;
/// A connection that lay idle for longer is asked for a sign of life before it is used.
const STALE: Duration = Duration::from_secs(1);

impl Db {
    /// Connects and migrates. On PostgreSQL, processes that start together take turns under an advisory lock.
    pub(crate) async fn connect(config: &StoreConfig, clock: SharedClock) -> Result<Self, StoreError> {
        let pools = match config.place()? {
            Place::Sqlite(path) => open_sqlite(&path, config).await?,
            Place::Postgres(url) => open_postgres(url, config).await?,
        };
        Ok(Self(Arc::new(Inner { pools, clock })))
    }
}

async fn open_sqlite(path: &Path, config: &StoreConfig) -> Result<Pools, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|error| StoreError::from(sqlx::Error::Io(error)))?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .row_buffer_size(ROW_BUFFER)
        .foreign_keys(true)
        // Pages between checkpoints: a page that many transactions touch is copied to the database once.
        .pragma("wal_autocheckpoint", "16000");
    let write: SqlitePool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        // Kibibytes when negative. Keys in no order touch pages all over their indexes: what does not fit is read and
        // written again and again.
        .connect_with(
            options
                .clone()
                .pragma("cache_size", "-32768")
                .pragma("temp_store", "memory"),
        )
        .await?;
    SQLITE_MIGRATIONS.run(&write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(
            options
                .create_if_missing(false)
                .pragma("cache_size", "-4096")
                .pragma("query_only", "on"),
        );
    Ok(Pools::Sqlite { write, read })
}

async fn open_postgres(url: &str, config: &StoreConfig) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::Config("expected a PostgreSQL URL that can be read"))?
        .application_name("carillon")
        .options([
            // Batches look expensive to the planner; compiling them costs more than running them.
            ("jit", "off"),
            ("statement_timeout", "60s"),
            // A process that froze inside a transaction must not hold its locks for long.
            ("idle_in_transaction_session_timeout", "10s"),
        ]);
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < STALE || connection.ping().await.is_ok()) })
        })
        .connect_with(options)
        .await?;
    POSTGRES_MIGRATIONS.run(&pool).await?;
    Ok(Pools::Postgres(pool))
}
