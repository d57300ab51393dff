//! Releasing due rows, and the claims of released records.

use std::collections::{HashMap, HashSet};

use carillon_domain::{Timestamp, status::Origin};
use uuid::Uuid;

use super::{WaitingRecords, counter, event_key};
use crate::{
    config::Dialect,
    counters::Changes,
    db::{Input, again, fetch},
    error::StoreError,
    events::EventKey,
};

/// The most rows and bytes of values that one transaction releases.
const MAX_ROWS: i64 = 1_000;
const MAX_BYTES: i64 = 8 << 20;

macro_rules! due {
    ($lock:literal) => {
        concat!(
            "WITH free AS (
                SELECT id, kind, due, LENGTH(value) AS size FROM waiting
                WHERE state = 'waiting' AND due <= $1 ORDER BY due, id LIMIT $2",
            $lock,
            "), summed AS (SELECT id, kind, due, SUM(size) OVER (ORDER BY due, id) - size AS so_far FROM free)
            SELECT id, kind, due FROM summed WHERE so_far < $3"
        )
    };
}

#[derive(sqlx::FromRow)]
struct DueRow {
    id: Uuid,
    kind: String,
    due: Timestamp,
}

/// The rows that one transaction has released.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleasedBatch {
    /// The due times of the rows, oldest first.
    pub due: Vec<Timestamp>,
}

/// A router's claim of a released record that it is about to route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseClaim {
    /// The id of the row that waited.
    pub id: Uuid,
    /// The released record.
    pub origin: Origin,
}

/// The verdict on a router's claim of a released record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseVerdict {
    /// Decide the event with this key: no other record of the release came before.
    First(EventKey),
    /// Another record of the release came first.
    Duplicate(EventKey),
    /// The event or its deliveries were cancelled after the release.
    Cancelled,
    /// The scheduler has not released it: the record is a foreign producer's.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct ClaimedRow {
    id: Uuid,
    tenant: String,
    event_id: String,
    source: String,
    topic: String,
    partition_id: i32,
    record_offset: i64,
}

impl WaitingRecords {
    /// Moves the rows that are due first to the outbox, in one transaction. Several processes release different rows.
    pub async fn release(&self) -> Result<ReleasedBatch, StoreError> {
        let released = again(|| self.try_release()).await?;
        if !released.due.is_empty() {
            self.outbox.wake();
        }
        Ok(released)
    }

    async fn try_release(&self) -> Result<ReleasedBatch, StoreError> {
        let now = self.db.now();
        if self.next_due().await?.is_none_or(|due| due > now) {
            return Ok(ReleasedBatch::default());
        }
        let statement = match self.db.dialect() {
            Dialect::Sqlite => due!(""),
            Dialect::Postgres => due!(" FOR UPDATE SKIP LOCKED"),
        };
        let mut tx = self.db.begin_batch(256).await?;
        let mut rows = fetch!(all, tx => DueRow, statement, now, MAX_ROWS, MAX_BYTES)?;
        if rows.is_empty() {
            return Ok(ReleasedBatch::default());
        }
        rows.sort_by_key(|row| (row.due, row.id));
        let ids = || {
            Input::new(rows.len())
                .uuid("released", rows.iter().map(|row| row.id))
                .big("place", 0..i64::try_from(rows.len()).unwrap_or(i64::MAX))
                .time("at", rows.iter().map(|_| now))
        };
        ids()
            .execute(
                tx.conn(),
                "INSERT INTO outbox (topic, record_key, headers, value, created_at)
                SELECT w.out_topic, w.record_key, w.headers, w.value, i.at
                FROM input i JOIN waiting w ON w.id = i.released ORDER BY i.place",
            )
            .await?;
        ids()
            .execute(
                tx.conn(),
                "UPDATE waiting AS w SET state = 'released', changed_at = i.at, out_topic = NULL, record_key = NULL,
                    headers = NULL, value = NULL
                FROM input AS i WHERE w.id = i.released",
            )
            .await?;
        let mut changes = Changes::default();
        for row in &rows {
            changes.add(counter(&row.kind), -1);
        }
        changes.write(&mut tx, self.shard).await?;
        tx.commit().await?;
        Ok(ReleasedBatch {
            due: rows.into_iter().map(|row| row.due).collect(),
        })
    }

    /// Claims released records for routing; returns one verdict for each, in order. The first record of a release puts its
    /// coordinates into the row, so that the same record, read again after an aborted transaction, is no duplicate.
    pub async fn claim_releases(&self, claims: &[ReleaseClaim]) -> Result<Vec<ReleaseVerdict>, StoreError> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let mut seen = HashSet::with_capacity(claims.len());
        let mut first: Vec<&ReleaseClaim> = claims.iter().filter(|claim| seen.insert(claim.id)).collect();
        // Rows in one order cannot deadlock.
        first.sort_by_key(|claim| claim.id);
        let rows: Vec<ClaimedRow> = again(|| async {
            let mut write = self.db.write_batch(first.len()).await?;
            let rows = Input::new(first.len())
                .uuid("claimed", first.iter().map(|claim| claim.id))
                .text("of_topic", first.iter().map(|claim| &*claim.origin.topic))
                .int("of_partition", first.iter().map(|claim| claim.origin.partition))
                .big("of_offset", first.iter().map(|claim| claim.origin.offset))
                .fetch(
                    write.conn(),
                    "UPDATE waiting AS w SET topic = COALESCE(w.topic, i.of_topic),
                        partition_id = COALESCE(w.partition_id, i.of_partition),
                        record_offset = COALESCE(w.record_offset, i.of_offset)
                    FROM input AS i WHERE w.id = i.claimed AND w.state = 'released'
                    RETURNING id, tenant, event_id, source, topic, partition_id, record_offset",
                )
                .await?;
            write.commit().await?;
            Ok::<_, StoreError>(rows)
        })
        .await?;
        let claimed: HashMap<Uuid, (EventKey, Origin)> = rows.into_iter().map(ClaimedRow::parts).collect();
        let missing: Vec<Uuid> = first
            .iter()
            .map(|claim| claim.id)
            .filter(|id| !claimed.contains_key(id))
            .collect();
        let cancelled = self.cancelled(&missing).await?;
        Ok(claims
            .iter()
            .map(|claim| match claimed.get(&claim.id) {
                Some((key, origin)) if *origin == claim.origin => ReleaseVerdict::First(key.clone()),
                Some((key, _)) => ReleaseVerdict::Duplicate(key.clone()),
                None if cancelled.contains(&claim.id) => ReleaseVerdict::Cancelled,
                None => ReleaseVerdict::Unknown,
            })
            .collect())
    }

    async fn cancelled(&self, ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
        let mut session = self.db.read().await?;
        let rows: Vec<(Uuid,)> = Input::new(ids.len())
            .uuid("asked", ids.iter().copied())
            .fetch(
                session.conn(),
                "SELECT w.id FROM input i JOIN waiting w ON w.id = i.asked WHERE w.state = 'cancelled'",
            )
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}

impl ClaimedRow {
    fn parts(self) -> (Uuid, (EventKey, Origin)) {
        let origin = Origin {
            topic: self.topic.into(),
            partition: self.partition_id,
            offset: self.record_offset,
        };
        (
            self.id,
            (event_key(self.tenant, self.event_id, self.source), origin),
        )
    }
}
