//! The only writer: commits waiting transmissions as one batch, then answers each sender.

use std::collections::BTreeMap;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{QueryBuilder, Sqlite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Command, Transmission};
use crate::{Message, Provider, SimulatorError};

/// The most commands in one commit.
const BATCH: usize = 1_024;

/// The most rows in one statement: well below SQLite's limit of bound values, and few enough different statements to
/// stay prepared.
const ROWS: usize = 64;

/// Writes messages; see [`run`](Self::run).
pub(crate) struct Writer {
    pool: SqlitePool,
    readers: SqlitePool,
    inbox: mpsc::Receiver<Command>,
    committed: watch::Sender<u64>,
    kept: i64,
}

impl Writer {
    pub(super) fn new(
        pool: SqlitePool,
        readers: SqlitePool,
        inbox: mpsc::Receiver<Command>,
        committed: watch::Sender<u64>,
        kept: i64,
    ) -> Self {
        Self {
            pool,
            readers,
            inbox,
            committed,
            kept,
        }
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Writes until all senders are gone or `stop` is cancelled, then writes the transmissions sent so far and closes
    /// the database.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                received = self.inbox.recv_many(&mut batch, BATCH) => received,
                () = stop.cancelled(), if !self.inbox.is_closed() => {
                    self.inbox.close();
                    continue;
                }
            };
            if received == 0 {
                break;
            }
            let mut transmissions = Vec::with_capacity(batch.len());
            let mut senders = Vec::with_capacity(batch.len());
            for command in batch.drain(..) {
                match command {
                    Command::Record {
                        transmission,
                        recorded,
                    } => {
                        transmissions.push(transmission);
                        senders.push(recorded);
                    }
                    Command::Clear { cleared } => {
                        self.commit(std::mem::take(&mut transmissions), std::mem::take(&mut senders))
                            .await;
                        answer(cleared, clear(&self.pool).await);
                    }
                }
            }
            self.commit(transmissions, senders).await;
        }
        self.readers.close().await;
        self.pool.close().await;
    }

    async fn commit(
        &self,
        transmissions: Vec<Transmission>,
        senders: Vec<oneshot::Sender<Result<(), SimulatorError>>>,
    ) {
        if transmissions.is_empty() {
            return;
        }
        match write(&self.pool, &transmissions, self.kept).await {
            Ok(()) => {
                for sender in senders {
                    answer(sender, Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(error = %error, lost = senders.len(), "a batch of messages could not be written");
                for sender in senders {
                    answer(sender, Err(SimulatorError::NotRecorded));
                }
            }
        }
        self.committed.send_modify(|commits| *commits += 1);
    }
}

/// Answers a sender. A sender that has gone away gets no answer, but its message was received.
fn answer(sender: oneshot::Sender<Result<(), SimulatorError>>, result: Result<(), SimulatorError>) {
    if sender.send(result).is_err() {
        tracing::debug!("a sender did not wait for its message to be recorded");
    }
}

async fn clear(pool: &SqlitePool) -> Result<(), SimulatorError> {
    let mut tx = pool.begin().await?;
    sqlx::query("DELETE FROM messages").execute(&mut *tx).await?;
    sqlx::query("DELETE FROM deliveries").execute(&mut *tx).await?;
    sqlx::query("DELETE FROM received").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

async fn write(pool: &SqlitePool, transmissions: &[Transmission], kept: i64) -> Result<(), SimulatorError> {
    let messages: Vec<&Message> = transmissions
        .iter()
        .flat_map(|transmission| &transmission.0)
        .collect();
    let mut tx = pool.begin().await?;
    for rows in messages.chunks(ROWS) {
        insert(&mut tx, rows).await?;
    }
    count_deliveries(&mut tx, transmissions).await?;
    count_received(&mut tx, &messages).await?;
    sqlx::query("DELETE FROM messages WHERE place <= (SELECT MAX(place) FROM messages) - $1")
        .bind(kept)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, messages: &[&Message]) -> Result<(), SimulatorError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO messages (provider, channel, recipient, delivery_id, event_id, subject, body_text, body_html, \
         data, headers, received_at, provider_message_id) ",
    );
    query.push_values(messages, |mut row, message| {
        row.push_bind(message.provider.as_str())
            .push_bind(message.channel.as_str())
            .push_bind(message.to.as_str())
            .push_bind(message.delivery_id.as_deref())
            .push_bind(message.event_id.as_deref())
            .push_bind(message.subject.as_deref())
            .push_bind(message.text.as_deref())
            .push_bind(message.html.as_deref())
            .push_bind(sqlx::types::Json(&message.data))
            .push_bind(sqlx::types::Json(&message.headers))
            .push_bind(message.received_at.timestamp_micros())
            .push_bind(message.provider_message_id.as_str());
    });
    query.build().execute(connection).await?;
    Ok(())
}

/// Counts the deliveries of a batch. A transmission to several receivers counts as one receipt of its delivery.
async fn count_deliveries(
    connection: &mut SqliteConnection,
    transmissions: &[Transmission],
) -> Result<(), SimulatorError> {
    let mut counts = BTreeMap::<&str, i64>::new();
    for delivery_id in transmissions
        .iter()
        .filter_map(|sent| sent.0.first()?.delivery_id.as_deref())
    {
        *counts.entry(delivery_id).or_default() += 1;
    }
    let counts: Vec<(&str, i64)> = counts.into_iter().collect();
    for rows in counts.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO deliveries (delivery_id, received) ");
        query.push_values(rows, |mut row, (delivery_id, count)| {
            row.push_bind(*delivery_id).push_bind(*count);
        });
        query.push(" ON CONFLICT (delivery_id) DO UPDATE SET received = received + excluded.received");
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn count_received(
    connection: &mut SqliteConnection,
    messages: &[&Message],
) -> Result<(), SimulatorError> {
    let mut totals = BTreeMap::<Provider, i64>::new();
    for message in messages {
        *totals.entry(message.provider).or_default() += 1;
    }
    for (provider, total) in totals {
        sqlx::query(
            "INSERT INTO received (provider, total) VALUES ($1, $2) \
             ON CONFLICT (provider) DO UPDATE SET total = total + excluded.total",
        )
        .bind(provider.as_str())
        .bind(total)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
