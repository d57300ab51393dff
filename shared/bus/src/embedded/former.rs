//! Conversion of logs of an earlier format, which had a row for each record.

use std::sync::Arc;

use bytes::Bytes;
use carillon_domain::Timestamp;
use futures::TryStreamExt as _;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{frames, writer};
use crate::{headers::Headers, record::Record};

/// Rows that are converted at a time.
const STEP: i64 = 5_000;

/// Converts the records to batches. A conversion that is interrupted goes on at the next start.
pub(super) async fn convert(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'records'";
    if sqlx::query_scalar::<_, i64>(table)
        .fetch_one(&mut *connection)
        .await?
        == 0
    {
        return Ok(());
    }
    tracing::info!("the embedded log has the format of an earlier version and is converted");
    while step(connection).await? {}
    sqlx::query("DROP TABLE records").execute(connection).await?;
    Ok(())
}

/// Converts the first records of the first partition that has any.
async fn step(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let slot: Option<i64> = sqlx::query_scalar("SELECT min(slot) FROM records")
        .fetch_one(&mut *transaction)
        .await?;
    let Some(slot) = slot else { return Ok(false) };
    let mut rows = Vec::new();
    let mut last = None;
    {
        let mut records = sqlx::query(
            "SELECT offset, written_at, key, value, headers FROM records WHERE slot = $1 ORDER BY offset LIMIT $2",
        )
        .bind(slot)
        .bind(STEP)
        .fetch(&mut *transaction);
        while let Some(row) = records.try_next().await? {
            let record = Record {
                topic: Arc::from(""),
                partition: 0,
                offset: row.try_get("offset")?,
                key: row.try_get::<Option<Vec<u8>>, _>("key")?.map(Bytes::from),
                value: Bytes::from(row.try_get::<Vec<u8>, _>("value")?),
                headers: Headers::decode(&Bytes::from(row.try_get::<Vec<u8>, _>("headers")?)),
                timestamp: Timestamp::from_timestamp_micros(row.try_get("written_at")?).unwrap_or_default(),
                unreadable: None,
            };
            last = Some(record.offset);
            let mut frames = Vec::new();
            frames::push(&mut frames, &record);
            rows.push(writer::Row {
                slot,
                first: record.offset,
                last: record.offset,
                written_at: record.timestamp,
                frames,
            });
        }
    }
    writer::insert(&mut transaction, rows, writer::push_rows).await?;
    sqlx::query("DELETE FROM records WHERE slot = $1 AND offset <= $2")
        .bind(slot)
        .bind(last)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

    use super::*;
    use crate::embedded::schema;

    const FORMER: &str = "CREATE TABLE records (
        slot INTEGER NOT NULL, offset INTEGER NOT NULL, written_at INTEGER NOT NULL, key BLOB, value BLOB NOT NULL,
        headers BLOB NOT NULL, PRIMARY KEY (slot, offset)) STRICT, WITHOUT ROWID;
        INSERT INTO records VALUES (1, 7, 1000, x'6b', x'61', x''), (1, 9, 2000, NULL, x'62', x''),
            (2, 0, 3000, NULL, x'63', x'0100000061020000006262')";

    #[tokio::test]
    async fn records_of_a_former_log_are_in_the_new_one_in_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let mut former = options.connect().await.unwrap();
        sqlx::raw_sql(FORMER).execute(&mut former).await.unwrap();
        former.close().await.unwrap();

        for _ in 0..2 {
            let mut log = schema::open(&path).await.unwrap().write;
            let rows: Vec<(i64, i64, i64, i64, Vec<u8>)> = sqlx::query_as(
                "SELECT slot, first_offset, last_offset, written_at, frames FROM batches ORDER BY slot, last_offset",
            )
            .fetch_all(&mut log)
            .await
            .unwrap();
            let places: Vec<_> = rows.iter().map(|row| (row.0, row.1, row.2, row.3)).collect();
            assert_eq!(places, [(1, 7, 7, 1000), (1, 9, 9, 2000), (2, 0, 0, 3000)]);
            let frames: Vec<_> = rows
                .into_iter()
                .flat_map(|row| frames::frames(Bytes::from(row.4)))
                .collect();
            assert_eq!(
                (frames[0].key.as_deref(), &*frames[0].value),
                (Some(&b"k"[..]), &b"a"[..])
            );
            assert_eq!((&frames[1].key, &*frames[1].value), (&None, &b"b"[..]));
            assert_eq!(frames[2].headers.get("a"), Some(&b"bb"[..]));
            log.close().await.unwrap();
        }
    }
}
