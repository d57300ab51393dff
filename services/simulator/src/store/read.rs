//! Reading the received messages.

use std::time::Duration;

use chrono::DateTime;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row as _, Sqlite};
use tokio::sync::watch;

use crate::{Channel, Duplicate, Message, MessageFilter, Provider, SimulatorError, Stats, StoredMessage};

/// Reads the simulator's memory; cheap to clone.
#[derive(Clone)]
pub struct Messages {
    pool: SqlitePool,
    commits: watch::Receiver<u64>,
}

impl Messages {
    pub(super) fn new(pool: SqlitePool, commits: watch::Receiver<u64>) -> Self {
        Self { pool, commits }
    }

    /// The matching messages, newest first.
    pub async fn list(&self, filter: &MessageFilter) -> Result<Vec<Message>, SimulatorError> {
        Ok(self
            .list_stored(filter)
            .await?
            .into_iter()
            .map(|stored| stored.message)
            .collect())
    }

    /// Like [`list`](Self::list), with each message's position and the number of times that its delivery was
    /// received.
    pub async fn list_stored(&self, filter: &MessageFilter) -> Result<Vec<StoredMessage>, SimulatorError> {
        let rows = select(filter).build().fetch_all(&self.pool).await?;
        rows.iter().map(stored_message).collect()
    }

    /// Waits until at least `at_least` messages match, or until `patience` is over; returns the matching ones, newest
    /// first.
    pub async fn wait_for(
        &self,
        filter: &MessageFilter,
        at_least: usize,
        patience: Duration,
    ) -> Result<Vec<Message>, SimulatorError> {
        let mut commits = self.commits.clone();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            commits.mark_unchanged();
            let found = self.list(filter).await?;
            if found.len() >= at_least {
                return Ok(found);
            }
            match tokio::time::timeout_at(deadline, commits.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return self.list(filter).await,
            }
        }
    }

    /// Counts since the memory was last cleared.
    pub async fn stats(&self) -> Result<Stats, SimulatorError> {
        let totals = sqlx::query("SELECT provider, total FROM received")
            .fetch_all(&self.pool)
            .await?;
        let mut received = Provider::ALL
            .map(|provider| (provider, 0))
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>();
        for row in totals {
            received.insert(provider(&row)?, unsigned(row.try_get("total")?));
        }
        Ok(Stats {
            received,
            kept: self.count("SELECT COUNT(*) FROM messages").await?,
            delivery_ids: self.count("SELECT COUNT(*) FROM deliveries").await?,
            duplicated_delivery_ids: self
                .count("SELECT COUNT(*) FROM deliveries WHERE received > 1")
                .await?,
        })
    }

    /// Deliveries received more than once, ordered by id, after `after`.
    pub async fn duplicates(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Duplicate>, SimulatorError> {
        let rows = sqlx::query(
            "SELECT delivery_id, received FROM deliveries \
             WHERE received > 1 AND delivery_id > $1 ORDER BY delivery_id LIMIT $2",
        )
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Duplicate {
                    delivery_id: row.try_get("delivery_id")?,
                    count: unsigned(row.try_get("received")?),
                })
            })
            .collect()
    }

    async fn count(&self, statement: &'static str) -> Result<u64, SimulatorError> {
        Ok(unsigned(
            sqlx::query_scalar(statement).fetch_one(&self.pool).await?,
        ))
    }
}

fn select(filter: &MessageFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT m.*, COALESCE(d.received, 0) AS copies FROM messages m \
         LEFT JOIN deliveries d ON d.delivery_id = m.delivery_id WHERE TRUE",
    );
    if let Some(id) = &filter.delivery_id {
        query.push(" AND m.delivery_id = ").push_bind(id.clone());
    }
    if let Some(id) = &filter.event_id {
        query.push(" AND m.event_id = ").push_bind(id.clone());
    }
    if let Some(provider) = filter.provider {
        query.push(" AND m.provider = ").push_bind(provider.as_str());
    }
    if let Some(channel) = filter.channel {
        query.push(" AND m.channel = ").push_bind(channel.as_str());
    }
    if let Some(to) = &filter.to {
        query.push(" AND m.recipient = ").push_bind(to.clone());
    }
    if let Some(part) = &filter.to_contains {
        query
            .push(" AND instr(lower(m.recipient), lower(")
            .push_bind(part.clone())
            .push(")) > 0");
    }
    if let Some(id) = &filter.provider_message_id {
        query.push(" AND m.provider_message_id = ").push_bind(id.clone());
    }
    if let Some(from) = filter.received_from {
        query
            .push(" AND m.received_at >= ")
            .push_bind(from.timestamp_micros());
    }
    if let Some(before) = filter.received_before {
        query
            .push(" AND m.received_at < ")
            .push_bind(before.timestamp_micros());
    }
    if let Some(place) = filter.older_than {
        query.push(" AND m.place < ").push_bind(place);
    }
    query.push(" ORDER BY m.place DESC");
    if let Some(limit) = filter.limit {
        query.push(" LIMIT ").push_bind(limit);
    }
    query
}

fn stored_message(row: &SqliteRow) -> Result<StoredMessage, SimulatorError> {
    let channel: String = row.try_get("channel")?;
    let Json(data) = row.try_get("data")?;
    let Json(headers) = row.try_get("headers")?;
    let message = Message {
        provider: provider(row)?,
        channel: Channel::parse(&channel).ok_or(SimulatorError::Unreadable { column: "channel" })?,
        to: row.try_get("recipient")?,
        delivery_id: row.try_get("delivery_id")?,
        event_id: row.try_get("event_id")?,
        subject: row.try_get("subject")?,
        text: row.try_get("body_text")?,
        html: row.try_get("body_html")?,
        data,
        headers,
        received_at: DateTime::from_timestamp_micros(row.try_get("received_at")?).ok_or(
            SimulatorError::Unreadable {
                column: "received_at",
            },
        )?,
        provider_message_id: row.try_get("provider_message_id")?,
    };
    Ok(StoredMessage {
        place: row.try_get("place")?,
        copies: unsigned(row.try_get("copies")?),
        message,
    })
}

fn provider(row: &SqliteRow) -> Result<Provider, SimulatorError> {
    let name: String = row.try_get("provider")?;
    Provider::parse(&name).ok_or(SimulatorError::Unreadable { column: "provider" })
}

/// Counts are never negative.
fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
