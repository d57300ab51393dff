//! Account holds (table `account_holds`): the provider accounts through which a worker sends nothing at present, each
//! with its cause. `carillon doctor` reads them. A channel is held only while all its accounts are held
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
}

#[derive(sqlx::FromRow)]
struct Row {
    account: String,
    channel: String,
    cause: String,
    ends_at: Option<Timestamp>,
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

    /// Writes or renews the hold of a process, and removes rows of processes that have ended.
    pub async fn put(&self, process: Uuid, hold: &AccountHold) -> Result<(), StoreError> {
        let now = self.db.now();
        write_one!(
            self.db,
            "INSERT INTO account_holds (account, process, channel, cause, ends_at, noted_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (account, process) DO UPDATE SET channel = excluded.channel, cause = excluded.cause,
                ends_at = excluded.ends_at, noted_at = excluded.noted_at",
            hold.account.as_str(),
            process,
            hold.channel.as_str(),
            hold.cause.as_str(),
            hold.ends_at,
            now
        )?;
        write_one!(
            self.db,
            "DELETE FROM account_holds WHERE noted_at < $1",
            now - KEPT
        )?;
        Ok(())
    }

    /// Removes the hold of a process: it sends through the account again.
    pub async fn remove(&self, process: Uuid, account: &str) -> Result<(), StoreError> {
        write_one!(
            self.db,
            "DELETE FROM account_holds WHERE account = $1 AND process = $2",
            account,
            process
        )?;
        Ok(())
    }

    /// The present holds of all processes.
    pub async fn all(&self) -> Result<Vec<AccountHold>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => Row,
            "SELECT account, channel, cause, ends_at FROM account_holds WHERE noted_at >= $1
            ORDER BY account, process",
            self.db.now() - KEPT
        )?;
        let holds = rows.into_iter().map(|row| {
            Ok(AccountHold {
                account: row.account,
                channel: columns::parse(&row.channel, "a channel")?,
                cause: row.cause,
                ends_at: row.ends_at,
            })
        });
        holds.collect()
    }
}
