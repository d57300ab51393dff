//! Offsets of consumers (table `projection_offsets`), stored together with the rows that they have read, and the number
//! of rebuilds (table `projection_rebuilds`).

use std::sync::Arc;

use super::StoredOffset;
use crate::{
    db::{Db, Input, Session, Tx, execute, fetch, write_one},
    error::StoreError,
};

/// Moves a consumer's offsets forward, never back. This is the first step of a transaction. On PostgreSQL it locks the
/// rows. A member that has lost a partition without knowing it therefore never writes at the same time as the new owner.
pub(crate) async fn advance(tx: &mut Tx, consumer: &str, offsets: &[StoredOffset]) -> Result<(), StoreError> {
    let mut offsets: Vec<&StoredOffset> = offsets.iter().collect();
    offsets.sort_by(|a, b| (&a.topic, a.partition, b.next).cmp(&(&b.topic, b.partition, a.next)));
    offsets.dedup_by(|a, b| a.topic == b.topic && a.partition == b.partition);
    Input::new(offsets.len())
        .text("consumer", offsets.iter().map(|_| consumer))
        .text("topic", offsets.iter().map(|offset| &*offset.topic))
        .int("partition_id", offsets.iter().map(|offset| offset.partition))
        .big("next_offset", offsets.iter().map(|offset| offset.next))
        .execute(
            tx.conn(),
            "INSERT INTO projection_offsets AS o (consumer, topic, partition_id, next_offset)
            SELECT consumer, topic, partition_id, next_offset FROM input WHERE true
            ON CONFLICT (consumer, topic, partition_id) DO UPDATE SET next_offset =
                CASE WHEN excluded.next_offset > o.next_offset THEN excluded.next_offset ELSE o.next_offset END",
        )
        .await?;
    Ok(())
}

pub(super) async fn read(session: &mut Session, consumer: &str) -> Result<Vec<StoredOffset>, StoreError> {
    let rows = fetch!(
        all, session => (String, i32, i64),
        "SELECT topic, partition_id, next_offset FROM projection_offsets
        WHERE consumer = $1 ORDER BY topic, partition_id",
        consumer
    )?;
    Ok(rows
        .into_iter()
        .map(|(topic, partition, next)| StoredOffset {
            topic: Arc::from(topic),
            partition,
            next,
        })
        .collect())
}

/// The state of everything that consumers have written. It differs from an earlier one if a consumer has written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    partitions: i64,
    offsets: i64,
    rebuilds: i64,
}

/// Reads the [`Revision`]: a sum over one row for each partition.
pub(super) async fn revision(session: &mut Session) -> Result<Revision, StoreError> {
    let (partitions, offsets, rebuilds) = fetch!(
        one, session => (i64, i64, i64),
        "SELECT COUNT(*), CAST(COALESCE(SUM(next_offset), 0) AS BIGINT),
            CAST((SELECT COALESCE(SUM(rebuilds), 0) FROM projection_rebuilds) AS BIGINT)
        FROM projection_offsets"
    )?;
    Ok(Revision {
        partitions,
        offsets,
        rebuilds,
    })
}

pub(super) async fn forget(tx: &mut Tx, consumer: &str) -> Result<(), StoreError> {
    execute!(tx, "DELETE FROM projection_offsets WHERE consumer = $1", consumer)?;
    Ok(())
}

pub(super) async fn rebuilds(session: &mut Session, consumer: &str) -> Result<u32, StoreError> {
    let rebuilds = fetch!(
        optional, session => (i64,),
        "SELECT rebuilds FROM projection_rebuilds WHERE consumer = $1",
        consumer
    )?;
    Ok(rebuilds.map_or(0, |(rebuilds,)| u32::try_from(rebuilds).unwrap_or(u32::MAX)))
}

pub(super) async fn begin_rebuild(db: &Db, consumer: &str) -> Result<(), StoreError> {
    write_one!(
        db,
        "INSERT INTO projection_rebuilds AS r (consumer, rebuilds) VALUES ($1, 1)
        ON CONFLICT (consumer) DO UPDATE SET rebuilds = r.rebuilds + 1",
        consumer
    )?;
    Ok(())
}
