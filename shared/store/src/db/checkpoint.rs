//! Copying SQLite's write-ahead log into its database beside the writer, so that commits have little to copy.

use std::{sync::Weak, time::Duration};

use super::{Inner, Pools};

/// The interval.
const EVERY: Duration = Duration::from_millis(500);

/// Copies until the database is closed or dropped.
pub(super) async fn again_and_again(db: Weak<Inner>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(db) = db.upgrade() else { return };
        let Pools::Sqlite { read, .. } = &db.pools else {
            return;
        };
        let mut connection = match read.acquire().await {
            Ok(connection) => connection,
            Err(sqlx::Error::PoolClosed) => return,
            // All connections are in use.
            Err(_) => continue,
        };
        // The rest is copied later, at the latest by the writer.
        let copied = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)");
        if let Err(error) = copied.execute(&mut *connection).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the write-ahead log was not copied"
            );
        }
    }
}
