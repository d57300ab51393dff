//! Holds of parts of accounts (table `account_part_holds`): the domains, platforms and countries to which a worker sends
//! nothing through a provider account at present. `carillon doctor` reads them, and workers when they start, so that a
//! restart forgets no park.

use carillon_domain::{Channel, Timestamp};
use uuid::Uuid;

use crate::{
    channel_holds::KEPT,
    columns,
    db::{Db, fetch, write_one},
    error::StoreError,
};

/// A part of an account to which a process sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPartHold {
    /// The account's name.
    pub account: String,
    /// The part: its kind and its name, such as `platform:ios`.
    pub part: String,
    /// The account's channel.
    pub channel: Channel,
    /// The cause, a sentence without a full stop.
    pub cause: String,
    /// The time at which the next message is sent; `None` if a probe, a single message, may be sent now.
    pub ends_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    account: String,
    part: String,
    channel: String,
    cause: String,
    ends_at: Option<Timestamp>,
}

impl TryFrom<Row> for AccountPartHold {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.account,
            part: row.part,
            channel: columns::parse(&row.channel, "a channel")?,
            cause: row.cause,
            ends_at: row.ends_at,
        })
    }
}

/// The holds of parts of accounts.
#[derive(Debug, Clone)]
pub struct AccountPartHolds {
    db: Db,
}

impl AccountPartHolds {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Writes or renews the hold of a process, and removes rows of processes that have ended, once their holds are over.
    pub async fn put(&self, process: Uuid, hold: &AccountPartHold) -> Result<(), StoreError> {
        let now = self.db.now();
        write_one!(
            self.db,
            "INSERT INTO account_part_holds (account, part, process, channel, cause, ends_at, noted_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (account, part, process) DO UPDATE SET channel = excluded.channel, cause = excluded.cause,
                ends_at = excluded.ends_at, noted_at = excluded.noted_at",
            hold.account.as_str(),
            hold.part.as_str(),
            process,
            hold.channel.as_str(),
            hold.cause.as_str(),
            hold.ends_at,
            now
        )?;
        write_one!(
            self.db,
            "DELETE FROM account_part_holds WHERE noted_at < $1 AND (ends_at IS NULL OR ends_at <= $2)",
            now - KEPT,
            now
        )?;
        Ok(())
    }

    /// Removes the hold of a process, which sends to the part again, and those of processes that have ended.
    pub async fn remove(&self, process: Uuid, account: &str, part: &str) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "DELETE FROM account_part_holds WHERE account = $1 AND part = $2 AND (process = $3 OR noted_at < $4)",
            account,
            part,
            process,
            self.db.now() - KEPT
        )?;
        Ok(())
    }

    /// The present holds of all processes.
    pub async fn all(&self) -> Result<Vec<AccountPartHold>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => Row,
            "SELECT account, part, channel, cause, ends_at FROM account_part_holds WHERE noted_at >= $1
            ORDER BY account, part, process",
            self.db.now() - KEPT
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The holds that a process takes over when it starts: the present ones, and those of ended processes that are not
    /// over.
    pub async fn to_resume(&self) -> Result<Vec<AccountPartHold>, StoreError> {
        let now = self.db.now();
        let rows = fetch!(
            all, self.db.read().await? => Row,
            "SELECT account, part, channel, cause, ends_at FROM account_part_holds WHERE noted_at >= $1 OR ends_at > $2
            ORDER BY account, part, process",
            now - KEPT,
            now
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
