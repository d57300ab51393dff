//! Old records are deleted a few hundred batches at a time, between two writes.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use carillon_domain::{Timestamp, clock::earlier};
use sqlx::{Connection as _, SqliteConnection};

use super::{Slot, Topic};
use crate::topics::TopicSpec;

/// How often the next partition is looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// How many rows are deleted at a time; each is a batch of records.
const ROWS: i64 = 500;

/// Which records go when.
pub(super) struct Retention {
    rules: Vec<(Arc<Slot>, Duration)>,
    next: usize,
    timer: tokio::time::Interval,
}

/// Makes the rules from the topics' settings. A topic that is no longer in the list keeps its records.
pub(super) fn rules(topics: &HashMap<Arc<str>, Topic>, specs: &[TopicSpec]) -> Retention {
    let mut rules = Vec::new();
    for spec in specs {
        if let Some(topic) = topics.get(&spec.name) {
            rules.extend(topic.slots.iter().map(|slot| (Arc::clone(slot), spec.retention)));
        }
    }
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    Retention {
        rules,
        next: 0,
        timer,
    }
}

impl Retention {
    pub(super) async fn due(&mut self) {
        self.timer.tick().await;
    }

    /// Prunes one partition after the other, until one had something to delete.
    pub(super) async fn prune(
        &mut self,
        connection: &mut SqliteConnection,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        for _ in 0..self.rules.len() {
            let (slot, keep) = &self.rules[self.next % self.rules.len()];
            self.next += 1;
            if prune_slot(connection, slot, earlier(now, *keep)).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

async fn prune_slot(
    connection: &mut SqliteConnection,
    slot: &Slot,
    oldest: Timestamp,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT max(last_offset) FROM
            (SELECT last_offset, written_at FROM batches WHERE slot = $1 ORDER BY last_offset LIMIT $2)
        WHERE written_at < $3",
    )
    .bind(slot.id)
    .bind(ROWS)
    .bind(oldest.timestamp_micros())
    .fetch_one(&mut *transaction)
    .await?;
    let Some(last) = last else { return Ok(false) };
    sqlx::query("DELETE FROM batches WHERE slot = $1 AND last_offset <= $2")
        .bind(slot.id)
        .bind(last)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("UPDATE slots SET start_offset = $2 WHERE id = $1")
        .bind(slot.id)
        .bind(last + 1)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    slot.start.store(last + 1, Ordering::Release);
    Ok(true)
}
