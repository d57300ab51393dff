//! Opens the pools and brings the schema up to date.

use std::{
    path::Path,
    str::FromStr as _,
    sync::{Arc, LazyLock},
    time::Duration,
};

use carillon_domain::clock::SharedClock;
use sqlx::{
    Connection as _, PgConnection, PgPool, Row as _, SqliteConnection, SqlitePool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    Db, Health, Inner, Pools, checkpoint,
    health::{self, Verdict},
    measures::{Commits, PoolMeasures},
    postgres::Database,
    writer::Writer,
};
use crate::{
    config::{DatabaseAddress, READ_MODEL, StoreConfig},
    error::StoreError,
};

static SQLITE_MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| beside_newer(sqlx::migrate!("./migrations/sqlite")));
static READ_MODEL_MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| beside_newer(sqlx::migrate!("./migrations/sqlite-read-model")));
static POSTGRES_MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = beside_newer(sqlx::migrate!("./migrations/postgres"));
    // sqlx's own lock belongs to a session, which a pooler shares; see `migrate_postgres`.
    migrations.set_locking(false);
    migrations
});

/// Migrations beside those of a newer release. During an upgrade, roles of the release before restart on the newer schema;
/// see `warn_of_newer_schema`. Newer migrations only add (`tests/store/upgrade.rs`).
fn beside_newer(mut migrations: Migrator) -> Migrator {
    migrations.set_ignore_missing(true);
    migrations
}

/// Begins a migration step. A migration has no time limit; the number names the advisory lock.
const BEGIN_MIGRATION: &str = "BEGIN; SET LOCAL client_min_messages = warning; SET LOCAL statement_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0; \
    SELECT pg_advisory_xact_lock(7162236113812580717)";

/// The longest wait of SQLite for another process that writes. A post is then answered 503, in less time than clients
/// wait for an answer.
const BUSY: Duration = Duration::from_millis(1_500);
/// Rows that SQLite's thread reads ahead of the caller.
const ROW_BUFFER: usize = 1_024;
/// Prepared statements that a connection caches. Each batch statement occurs with several numbers of rows.
const STATEMENTS: usize = 300;
/// Idle time after which a connection is checked before it is used.
const STALE: Duration = Duration::from_secs(1);

impl Db {
    /// Connects and migrates. Returns the database of decisions and claims, and that of the read model; on PostgreSQL
    /// they are the same. Processes that start together take turns there under an advisory lock.
    pub(crate) async fn connect(
        config: &StoreConfig,
        clock: SharedClock,
    ) -> Result<(Self, Self), StoreError> {
        let db = |pools| {
            let clock = Arc::clone(&clock);
            Self(Arc::new(Inner { pools, clock }))
        };
        match config.address()? {
            DatabaseAddress::Sqlite(path) => {
                let (store, model) = open_sqlite(&path, config).await?;
                let (store, model) = (db(store), db(model));
                for Self(inner) in [&store, &model] {
                    tokio::spawn(checkpoint::again_and_again(Arc::downgrade(inner)));
                }
                Ok((store, model))
            }
            DatabaseAddress::Postgres(url) => {
                let all = db(open_postgres(url, config).await?);
                Ok((all.clone(), all))
            }
        }
    }
}

/// The settings with which a SQLite file is opened.
struct SqliteFile<'a> {
    path: &'a Path,
    migrations: &'static Migrator,
    synchronous: SqliteSynchronous,
    /// The size of the writer's page cache as SQLite's pragma takes it: kibibytes if negative. Unordered keys touch
    /// pages all over an index, and pages that do not fit are read and written again and again.
    cache: &'static str,
}

async fn open_sqlite(path: &Path, config: &StoreConfig) -> Result<(Pools, Pools), StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|error| StoreError::from(sqlx::Error::Io(error)))?;
    }
    let store = SqliteFile {
        path,
        migrations: &SQLITE_MIGRATIONS,
        synchronous: SqliteSynchronous::Full,
        cache: "-16384",
    };
    let (store_write, store_read) = open_file(&store, config).await?;
    let model = path.with_extension(READ_MODEL);
    // After a power failure the read model may be slightly older than the log; it is projected from there.
    let file = SqliteFile {
        path: &model,
        migrations: &READ_MODEL_MIGRATIONS,
        synchronous: SqliteSynchronous::Normal,
        cache: "-16384",
    };
    let (model_write, model_read) = open_file(&file, config).await?;
    let pools = |write, read, file: &Path, names: [&'static str; 3]| {
        let [name, writer, readers] = names;
        let commits = Commits::new("sqlite", name);
        Pools::Sqlite {
            write: Writer::spawn(write, config.acquire_timeout, commits),
            read,
            file: file.to_owned(),
            writer: PoolMeasures::new(writer),
            readers: PoolMeasures::new(readers),
        }
    };
    let store = ["store", "store writer", "store readers"];
    let read_model = ["read model", "read model writer", "read model readers"];
    Ok((
        pools(store_write, store_read, path, store),
        pools(model_write, model_read, &model, read_model),
    ))
}

/// Opens the file; returns the writer's connection and the readers' pool.
async fn open_file(
    file: &SqliteFile<'_>,
    config: &StoreConfig,
) -> Result<(SqliteConnection, SqlitePool), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(file.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(file.synchronous)
        .busy_timeout(BUSY)
        .row_buffer_size(ROW_BUFFER)
        .statement_cache_capacity(STATEMENTS)
        .foreign_keys(true)
        // Without this, SQLite might build an index of the batch, scan a whole table, and look up each of its rows in
        // that index.
        .pragma("automatic_index", "off")
        // The number of pages in the write-ahead log at which a commit copies the pages that [`checkpoint`] has not
        // copied. The log then starts over.
        .pragma("wal_autocheckpoint", "16000");
    let writer = options
        .clone()
        .pragma("cache_size", file.cache)
        .pragma("temp_store", "memory");
    let mut write = SqliteConnection::connect_with(&writer).await?;
    file.migrations.run(&mut write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(
            options
                .create_if_missing(false)
                .pragma("cache_size", "-1024")
                .pragma("query_only", "on"),
        );
    Ok((write, read))
}

async fn open_postgres(url: &str, config: &StoreConfig) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::Config("expected a PostgreSQL URL that can be read"))?
        .application_name("carillon");
    let options = if config.transaction_pooling {
        // A pooler refuses start-up parameters that it does not know, and may run a prepared statement on
        // another server session.
        options.extra_float_digits(None).statement_cache_capacity(0)
    } else {
        options.options([
            // The planner takes batches for expensive, but compiling them costs more than running them.
            ("jit", "off"),
            (
                "statement_timeout",
                &config.statement_timeout.as_millis().to_string(),
            ),
            // A process that froze inside a transaction must not hold its locks for long.
            ("idle_in_transaction_session_timeout", "10s"),
        ])
    };
    let health = Health::default();
    let known = health.clone();
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let verdict = known.verdict(meta.age);
            Box::pin(async move {
                Ok(match verdict {
                    Verdict::Use => meta.idle_for < STALE || connection.ping().await.is_ok(),
                    Verdict::Ask => health::is_writable(connection).await.unwrap_or(false),
                    Verdict::Close => false,
                })
            })
        })
        .connect_with(options)
        .await?;
    migrate_postgres(&pool, config.transaction_pooling).await?;
    Ok(Pools::Postgres(Database::new(
        pool,
        health,
        config.transaction_pooling,
        config.statement_timeout,
    )))
}

/// Brings the schema up to date. Each step is a transaction under a lock that ends with it, because a longer
/// lock would belong to a session, which a pooler shares. Processes that start together take turns.
async fn migrate_postgres(pool: &PgPool, is_pooled: bool) -> Result<(), StoreError> {
    for migration in POSTGRES_MIGRATIONS.iter() {
        let mut step = pool.begin_with(BEGIN_MIGRATION).await?;
        forget_statements(&mut step, is_pooled).await?;
        POSTGRES_MIGRATIONS.run_to(migration.version, &mut *step).await?;
        forget_statements(&mut step, is_pooled).await?;
        step.commit().await?;
    }
    warn_of_newer_schema(pool).await
}

/// Warns if the schema is that of a newer release. Such a schema only adds to this release's (`ARCHITECTURE.md`), so
/// this release goes on working during an upgrade.
async fn warn_of_newer_schema(pool: &PgPool) -> Result<(), StoreError> {
    let own = POSTGRES_MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max();
    // A raw statement takes one message and one answer. A prepared one would take several, which a pooler may run on
    // different sessions.
    let row = sqlx::raw_sql("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(pool)
        .await?;
    let newest: Option<i64> = row.try_get(0)?;
    if newest > own {
        tracing::warn!(
            newest,
            own,
            "the database's schema is that of a newer release; this one works on it, but should be upgraded"
        );
    }
    Ok(())
}

/// Migrations prepare statements with names. These are removed so that they do not collide with those of
/// another process on the same server session.
async fn forget_statements(step: &mut PgConnection, is_pooled: bool) -> Result<(), StoreError> {
    if is_pooled {
        sqlx::raw_sql("DEALLOCATE ALL").execute(step).await?;
    }
    Ok(())
}
