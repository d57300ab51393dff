//! The outbox (table `outbox`): records that are on their way to the bus. They are written in the transaction that decides
//! on them, and deleted once the bus has them. A crash in between publishes them again; it loses none.

use std::sync::Arc;

use carillon_domain::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    columns::unsigned,
    config::Dialect,
    db::{Db, Input, Tx, again, fetch},
    error::StoreError,
    lease::Lease,
};

/// The most records and bytes of values that one claim takes.
const MAX_ROWS: i64 = 500;
const MAX_BYTES: i64 = 8 << 20;

macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "WITH free AS (
                SELECT id, LENGTH(value) AS size FROM outbox
                WHERE lease_until IS NULL OR lease_until < $3 OR $4 ORDER BY id LIMIT $5",
            $lock,
            "), summed AS (SELECT id, SUM(size) OVER (ORDER BY id) - size AS so_far FROM free)
            UPDATE outbox SET owner = $1, lease_until = $2 WHERE id IN (SELECT id FROM summed WHERE so_far < $6)
            RETURNING id, topic, record_key, headers, value"
        )
    };
}

/// A record to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Headers, in the bus's compact form.
    pub headers: Vec<u8>,
    /// The payload.
    pub value: Vec<u8>,
}

/// A record of the outbox that this process is publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRecord {
    /// Its number. Records of one transaction are numbered in order.
    pub id: i64,
    /// The record.
    pub record: OutboxRecord,
}

/// The fill of the outbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    /// The number of records.
    pub records: u64,
    /// The time of the oldest one.
    pub oldest: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    topic: String,
    record_key: Option<Vec<u8>>,
    headers: Vec<u8>,
    value: Vec<u8>,
}

/// The outbox.
#[derive(Debug, Clone)]
pub struct Outbox {
    db: Db,
    filled: Arc<Notify>,
}

impl Outbox {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            filled: Arc::default(),
        }
    }

    /// Wakes the publisher of this process.
    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// Waits for [`Self::wake`].
    pub async fn woken(&self) {
        self.filled.notified().await;
    }

    /// Claims the oldest records, in order. A lease of another process counts until its end, unless other processes are
    /// known to be dead.
    pub async fn claim(&self, lease: Lease, others_are_dead: bool) -> Result<Vec<ClaimedRecord>, StoreError> {
        // Usually it is empty; then nothing is written.
        let any = fetch!(optional, self.db.read().await? => (i32,), "SELECT 1 FROM outbox LIMIT 1")?;
        if any.is_none() {
            return Ok(Vec::new());
        }
        let statement = match self.db.dialect() {
            Dialect::Sqlite => claim!(""),
            Dialect::Postgres => claim!(" FOR UPDATE SKIP LOCKED"),
        };
        let now = self.db.now();
        let mut rows = again(|| async {
            let mut write = self.db.write().await?;
            let rows = fetch!(
                all, write => Row,
                statement, lease.owner, lease.until, now, others_are_dead, MAX_ROWS, MAX_BYTES
            )?;
            write.commit().await?;
            Ok::<_, StoreError>(rows)
        })
        .await?;
        rows.sort_by_key(|row| row.id);
        Ok(rows.into_iter().map(Row::claimed).collect())
    }

    /// Deletes records that the bus has. Those that another process has claimed meanwhile stay; it publishes them again.
    pub async fn published(&self, owner: Uuid, ids: &[i64]) -> Result<(), StoreError> {
        again(|| async {
            let mut write = self.db.write_batch(ids.len()).await?;
            Input::new(ids.len())
                .big("record", ids.iter().copied())
                .uuid("holder", ids.iter().map(|_| owner))
                .execute(
                    write.conn(),
                    "DELETE FROM outbox WHERE (id, owner) IN (SELECT record, holder FROM input)",
                )
                .await?;
            write.commit().await
        })
        .await
    }

    /// The number of records, counted up to `most`.
    pub async fn count_up_to(&self, most: u32) -> Result<u64, StoreError> {
        let (count,) = fetch!(
            one, self.db.read().await? => (i64,),
            "SELECT COUNT(*) FROM (SELECT id FROM outbox LIMIT $1) AS counted",
            i64::from(most)
        )?;
        Ok(unsigned(count))
    }

    /// Its fill.
    pub async fn depth(&self) -> Result<OutboxDepth, StoreError> {
        let (records, oldest) = fetch!(
            one, self.db.read().await? => (i64, Option<Timestamp>),
            "SELECT COUNT(*), MIN(created_at) FROM outbox"
        )?;
        Ok(OutboxDepth {
            records: unsigned(records),
            oldest,
        })
    }
}

/// Appends records, as a part of the transaction that decides on them.
pub(crate) async fn append<'a>(
    tx: &mut Tx,
    records: impl Iterator<Item = &'a OutboxRecord>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let records: Vec<&OutboxRecord> = records.collect();
    Input::new(records.len())
        .text("topic", records.iter().map(|record| &*record.topic))
        .bytes("record_key", records.iter().map(|record| record.key.as_deref()))
        .bytes("headers", records.iter().map(|record| Some(&*record.headers)))
        .bytes("value", records.iter().map(|record| Some(&*record.value)))
        .big("place", 0..i64::try_from(records.len()).unwrap_or(i64::MAX))
        .time("created_at", records.iter().map(|_| now))
        .execute(
            tx.conn(),
            "INSERT INTO outbox (topic, record_key, headers, value, created_at)
            SELECT topic, record_key, headers, value, created_at FROM input ORDER BY place",
        )
        .await?;
    Ok(())
}

impl Row {
    fn claimed(self) -> ClaimedRecord {
        ClaimedRecord {
            id: self.id,
            record: OutboxRecord {
                topic: Arc::from(self.topic),
                key: self.record_key,
                headers: self.headers,
                value: self.value,
            },
        }
    }
}
