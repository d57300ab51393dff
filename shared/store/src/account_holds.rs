//! Account holds (table `account_holds`): the provider accounts through which a worker sends nothing at present, each
//! with its cause. `carillon doctor` reads them, and workers when they start, so that a restart forgets no pause. A channel is held only while all its accounts are held
//! (`channel_holds.rs`).

use carillon_domain::{Channel, Timestamp};
use uuid::Uuid;

use crate::{
    channel_holds::KEPT,
    columns,
    db::{Db, fetch, write_one},
    error::StoreError,
};

/// An account through which a process sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountHold {
    /// The account's name.
    pub account: String,
    /// Its channel.
    pub channel: Channel,
    /// The cause, a sentence without a full stop.
    pub cause: String,
    /// The time at which the next message is sent; `None` if a probe, a single message, may be sent now.
    pub ends_at: Option<Timestamp>,
    /// Why the account is parked, as a stable word; `None` if the provider asked for a pause.
    pub park: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    account: String,
    channel: String,
    cause: String,
    ends_at: Option<Timestamp>,
    park: Option<String>,
}

impl TryFrom<Row> for AccountHold {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.account,
            channel: columns::parse(&row.channel, "a channel")?,
            cause: row.cause,
            ends_at: row.ends_at,
            park: row.park,
        })
    }
}

/// The account holds.
#[derive(Debug, Clone)]
pub struct AccountHolds {
    db: Db,
}

impl AccountHolds {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Writes or renews the hold of a process, and removes rows of processes that have ended, once their holds are over.
    pub async fn put(&self, process: Uuid, hold: &AccountHold) -> Result<(), StoreError> {
        let now = self.db.now();
        write_one!(
            self.db,
            "INSERT INTO account_holds (account, process, channel, cause, ends_at, noted_at, park)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (account, process) DO UPDATE SET channel = excluded.channel, cause = excluded.cause,
                ends_at = excluded.ends_at, noted_at = excluded.noted_at, park = excluded.park",
            hold.account.as_str(),
            process,
            hold.channel.as_str(),
            hold.cause.as_str(),
            hold.ends_at,
            now,
            hold.park.as_deref()
        )?;
        write_one!(
            self.db,
            "DELETE FROM account_holds WHERE noted_at < $1 AND (ends_at IS NULL OR ends_at <= $2)",
            now - KEPT,
            now
        )?;
        Ok(())
    }

    /// Removes the hold of a process, which sends through the account again, and those of processes that have ended.
    pub async fn remove(&self, process: Uuid, account: &str) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "DELETE FROM account_holds WHERE account = $1 AND (process = $2 OR noted_at < $3)",
            account,
            process,
            self.db.now() - KEPT
        )?;
        Ok(())
    }

    /// The present holds of all processes.
    pub async fn all(&self) -> Result<Vec<AccountHold>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => Row,
            "SELECT account, channel, cause, ends_at, park FROM account_holds WHERE noted_at >= $1
            ORDER BY account, process",
            self.db.now() - KEPT
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The holds that a process takes over when it starts: the present ones, and those of ended processes that are not
    /// over.
    pub async fn to_resume(&self) -> Result<Vec<AccountHold>, StoreError> {
        let now = self.db.now();
        let rows = fetch!(
            all, self.db.read().await? => Row,
            "SELECT account, channel, cause, ends_at, park FROM account_holds WHERE noted_at >= $1 OR ends_at > $2
            ORDER BY account, process",
            now - KEPT,
            now
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
