//! Reading the log's file: committed offsets, and records older than the tail in memory.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use carillon_domain::Timestamp;
use sqlx::{Row as _, SqlitePool};

use super::{Slot, frames};
use crate::{error::BusError, record::Record};

/// The most bytes of one read, so that large records do not fill the memory.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// About `max` records of a partition from an offset on. A row is handed out whole, so there may be more.
pub(super) async fn records(
    read: &SqlitePool,
    slot: &Slot,
    from: i64,
    max: usize,
) -> Result<Vec<Record>, BusError> {
    use futures::TryStreamExt as _;

    let mut rows = sqlx::query(
        "SELECT first_offset, written_at, frames FROM batches
        WHERE slot = $1 AND last_offset >= $2 ORDER BY last_offset LIMIT $3",
    )
    .bind(slot.id)
    .bind(from)
    .bind(i64::try_from(max).unwrap_or(i64::MAX))
    .fetch(read);
    let (mut records, mut bytes) = (Vec::new(), 0);
    while bytes < MAX_BYTES
        && records.len() < max
        && let Some(row) = rows.try_next().await?
    {
        let first: i64 = row.try_get("first_offset")?;
        let timestamp = Timestamp::from_timestamp_micros(row.try_get("written_at")?).unwrap_or_default();
        let frames = frames::frames(Bytes::from(row.try_get::<Vec<u8>, _>("frames")?));
        for (offset, frame) in (first..).zip(frames).filter(|(offset, _)| *offset >= from) {
            let record = Record {
                topic: Arc::clone(&slot.partition.topic),
                partition: slot.partition.index,
                offset,
                key: frame.key,
                value: frame.value,
                headers: frame.headers,
                timestamp,
                unreadable: None,
            };
            bytes += record.size();
            records.push(record);
        }
    }
    Ok(records)
}

/// A group's next offset by slot.
pub(super) async fn committed(read: &SqlitePool, group: &str) -> Result<HashMap<i64, i64>, BusError> {
    let rows =
        sqlx::query_as::<_, (i64, i64)>("SELECT slot, next_offset FROM committed WHERE member_group = $1")
            .bind(group)
            .fetch_all(read)
            .await?;
    Ok(rows.into_iter().collect())
}
