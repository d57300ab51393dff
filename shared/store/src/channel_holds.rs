//! Channel holds (table `channel_holds`): the reasons for which workers send nothing on a channel at present, for
//! processes that show waiting deliveries.

use std::time::Duration;

use carillon_domain::{Channel, Timestamp};
use uuid::Uuid;

use crate::{
    columns,
    db::{Db, fetch, write_one},
    error::StoreError,
};

/// A row that was not renewed for this long belongs to a process that has ended.
pub(crate) const KEPT: Duration = Duration::from_secs(30);

/// A channel on which a process sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelHold {
    /// The channel.
    pub channel: Channel,
    /// The cause, a sentence without a full stop.
    pub cause: String,
    /// The time at which the next message is sent; `None` if a probe, a single message, may be sent now.
    pub ends_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    channel: String,
    cause: String,
    ends_at: Option<Timestamp>,
}

/// The channel holds.
#[derive(Debug, Clone)]
pub struct ChannelHolds {
    db: Db,
}

impl ChannelHolds {
    /// The interval at which a process renews its rows, here and in `account_holds`.
    pub const RENEW: Duration = Duration::from_secs(10);

    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Writes or renews the hold of a process, and removes rows of processes that have ended.
    pub async fn put(&self, process: Uuid, hold: &ChannelHold) -> Result<(), StoreError> {
        let now = self.db.now();
        write_one!(
            self.db,
            "INSERT INTO channel_holds (channel, process, cause, ends_at, noted_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (channel, process) DO UPDATE SET cause = excluded.cause, ends_at = excluded.ends_at,
                noted_at = excluded.noted_at",
            hold.channel.as_str(),
            process,
            hold.cause.as_str(),
            hold.ends_at,
            now
        )?;
        write_one!(
            self.db,
            "DELETE FROM channel_holds WHERE noted_at < $1",
            now - KEPT
        )?;
        Ok(())
    }

    /// Removes the hold of a process: it sends again.
    pub async fn remove(&self, process: Uuid, channel: Channel) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "DELETE FROM channel_holds WHERE channel = $1 AND process = $2",
            channel.as_str(),
            process
        )?;
        Ok(())
    }

    /// The present holds of all processes.
    pub async fn all(&self) -> Result<Vec<ChannelHold>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => Row,
            "SELECT channel, cause, ends_at FROM channel_holds WHERE noted_at >= $1
            ORDER BY channel, process",
            self.db.now() - KEPT
        )?;
        let holds = rows.into_iter().map(|row| {
            Ok(ChannelHold {
                channel: columns::parse(&row.channel, "a channel")?,
                cause: row.cause,
                ends_at: row.ends_at,
            })
        });
        holds.collect()
    }
}
