//! The schema and the connections of the log's file.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Slot, Tail, Topic};
use crate::{error::BusError, record::Partition, topics::TopicSpec};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS slots (
        id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, start_offset INTEGER NOT NULL,
        UNIQUE (topic, partition)) STRICT;
    CREATE TABLE IF NOT EXISTS batches (
        id INTEGER PRIMARY KEY, slot INTEGER NOT NULL, first_offset INTEGER NOT NULL, last_offset INTEGER NOT NULL,
        written_at INTEGER NOT NULL, frames BLOB NOT NULL) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS batches_by_offset ON batches (slot, last_offset);
    CREATE TABLE IF NOT EXISTS committed (
        member_group TEXT NOT NULL, slot INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        PRIMARY KEY (member_group, slot)) STRICT, WITHOUT ROWID;
";

/// The connections: one writes, one copies the write-ahead log into the database, a few read.
pub(super) struct Connections {
    pub(super) write: SqliteConnection,
    pub(super) checkpoint: SqliteConnection,
    pub(super) read: SqlitePool,
}

/// The longest wait for another process that writes. A post is then answered 503, in less time than clients wait for an
/// answer.
const BUSY: Duration = Duration::from_millis(1_500);

/// Opens the file.
pub(super) async fn open(path: &Path) -> Result<Connections, BusError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .pragma("cache_size", "-4096")
        // The number of pages in the write-ahead log from which a commit copies the rest itself, so that the log starts
        // over.
        .pragma("wal_autocheckpoint", "8000")
        .statement_cache_capacity(160)
        .disable_statement_logging();
    let mut write = options.connect().await?;
    sqlx::raw_sql(TABLES).execute(&mut write).await?;
    let checkpoint = options.clone().connect().await?;
    let read = SqlitePoolOptions::new()
        .max_connections(3)
        .connect_with(options.read_only(true))
        .await?;
    Ok(Connections {
        write,
        checkpoint,
        read,
    })
}

/// Creates missing topics and finds the start and the end of each partition. A topic never loses partitions.
pub(super) async fn load_topics(
    write: &mut SqliteConnection,
    specs: &[TopicSpec],
) -> Result<HashMap<Arc<str>, Topic>, BusError> {
    let mut transaction = write.begin().await?;
    for spec in specs {
        for partition in 0..spec.partitions {
            sqlx::query(
                "INSERT INTO slots (topic, partition, start_offset) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
            )
            .bind(&*spec.name)
            .bind(partition)
            .execute(&mut *transaction)
            .await?;
        }
    }
    transaction.commit().await?;
    let rows = sqlx::query(
        "SELECT id, topic, partition, start_offset,
            (SELECT max(last_offset) FROM batches WHERE slot = slots.id) AS last
        FROM slots ORDER BY topic, partition",
    )
    .fetch_all(write)
    .await?;
    let mut topics: HashMap<Arc<str>, Topic> = HashMap::new();
    for row in rows {
        let name: Arc<str> = Arc::from(row.try_get::<String, _>("topic")?);
        let start: i64 = row.try_get("start_offset")?;
        let next = row
            .try_get::<Option<i64>, _>("last")?
            .map_or(start, |last| last + 1)
            .max(start);
        let slot = Slot {
            id: row.try_get("id")?,
            partition: Partition {
                topic: Arc::clone(&name),
                index: row.try_get("partition")?,
            },
            next: AtomicI64::new(next),
            start: AtomicI64::new(start),
            tail: Mutex::new(Tail::starting_at(next)),
        };
        let topic = topics.entry(name).or_insert_with(|| Topic {
            slots: Vec::new(),
            round_robin: AtomicU32::new(0),
            waiting: Mutex::new(Vec::new()),
        });
        topic.slots.push(Arc::new(slot));
    }
    Ok(topics)
}
