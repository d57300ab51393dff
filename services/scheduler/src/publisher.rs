//! The publisher: outbox → bus, then delete. A crash in between publishes records again. This is harmless for each kind
//! of record: a doubled delivery finds its attempt claimed in the send ledger, a doubled event is a duplicate to the
//! router, and statuses are applied once.

use std::time::Duration;

use bytes::Bytes;
use carillon_bus::{BusError, Headers, OutRecord, Queue, Record, TopicKind, dead_letter, headers};
use carillon_domain::{
    clock::later,
    dead_letter::{DeadLetter, FailureClass},
};
use carillon_store::{Lease, outbox::ClaimedRecord};
use uuid::Uuid;

use crate::{LEASE, SchedulerDeps, SchedulerError};

/// The interval at which an empty outbox is checked for records of other processes.
pub(crate) const POLL: Duration = Duration::from_millis(500);

/// Publishes the outbox.
pub struct Publisher {
    deps: SchedulerDeps,
}

impl Publisher {
    /// A publisher with these dependencies.
    #[must_use]
    pub fn new(deps: SchedulerDeps) -> Self {
        Self { deps }
    }

    /// Publishes the oldest records and deletes them. Returns their number.
    pub async fn step(&self) -> Result<usize, SchedulerError> {
        let outbox = self.deps.store.outbox();
        let lease = Lease {
            owner: Uuid::now_v7(),
            until: later(self.deps.clock.now(), LEASE),
        };
        let claimed = outbox.claim(lease, self.deps.only_process).await?;
        if claimed.is_empty() {
            return Ok(0);
        }
        let ids: Vec<i64> = claimed.iter().map(|record| record.id).collect();
        let records: Vec<OutRecord> = claimed.into_iter().map(out_record).collect();
        self.publish(records).await?;
        outbox.published(lease.owner, &ids).await?;
        metrics::counter!("carillon_outbox_published_total").increment(ids.len() as u64);
        Ok(ids.len())
    }

    /// Publishes records. A record that its topic does not take would stay for ever and keep those behind it waiting: it
    /// becomes a new dead letter.
    async fn publish(&self, mut records: Vec<OutRecord>) -> Result<(), SchedulerError> {
        loop {
            let refused = match self.deps.bus.publish(records.clone()).await {
                Ok(_) => return Ok(()),
                Err(BusError::TooLarge { topic, size }) => {
                    let is_refused = |record: &OutRecord| *record.topic == *topic && record.size() == size;
                    records
                        .iter()
                        .position(is_refused)
                        .ok_or(BusError::TooLarge { topic, size })?
                }
                Err(error) => return Err(error.into()),
            };
            let record = records.remove(refused);
            tracing::error!(topic = %record.topic, size = record.size(), "a record of the outbox is too large for its topic");
            records.extend(self.returned(record));
        }
    }

    /// The dead letter of a record that its topic refuses; `None` for a status.
    fn returned(&self, record: OutRecord) -> Option<OutRecord> {
        let topics = self.deps.bus.topics();
        let queue = match topics.kind_of(&record.topic)? {
            TopicKind::Events(_) => Queue::Events,
            TopicKind::Channel(channel, _) => Queue::Channel(channel),
            _ => return None,
        };
        let now = self.deps.clock.now();
        let letter = DeadLetter {
            class: FailureClass::Invalid,
            provider: None,
            code: "too-large".to_owned(),
            reason: format!("the record is too large for {}", record.topic),
            attempts: 0,
            first_failed_at: now,
        };
        let from = Record {
            topic: record.topic,
            // It was never on the topic.
            partition: -1,
            offset: -1,
            key: record.key,
            value: record.value,
            headers: record.headers,
            timestamp: now,
            unreadable: None,
        };
        let mut letter = dead_letter::record(topics, &from, queue, &topics.group("scheduler"), &letter);
        if letter.size() > dead_letter::MAX_BYTES {
            letter
                .headers
                .insert(headers::TRUNCATED, from.value.len().to_string());
            letter.value = Bytes::new();
        }
        Some(letter)
    }
}

fn out_record(claimed: ClaimedRecord) -> OutRecord {
    let record = claimed.record;
    OutRecord {
        topic: record.topic,
        key: record.key.map(Bytes::from),
        value: Bytes::from(record.value),
        headers: Headers::decode(&Bytes::from(record.headers)),
    }
}
