//! Retention: old records are deleted between two writes, a few hundred rows at a time.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use carillon_domain::{Timestamp, clock::earlier};
use sqlx::{Connection as _, SqliteConnection};

use super::{Slot, Topic};
use crate::topics::TopicSpec;

/// The interval between two looks at a partition.
const INTERVAL: Duration = Duration::from_secs(5);
/// The most rows deleted at a time; a row is a batch of records.
const ROWS: i64 = 500;

/// The retention of each partition, and the next one to prune.
pub(super) struct Retention {
    rules: Vec<(Arc<Slot>, Duration)>,
    next: usize,
    timer: tokio::time::Interval,
}

/// Builds the rules from the topics' settings. Records of a topic that is no longer listed are kept.
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

    /// Prunes partitions one after another, until one had rows to delete.
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
