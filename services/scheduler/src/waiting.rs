//! Waiting events and deliveries: records of `notifications.scheduled` are stored in the table `waiting`, and released
//! to the outbox once they are due. Members of digests are stored in tables of their own. A batch's offsets are
//! committed after its rows; a record that is read again is the same row.

use std::time::Duration;

use bytes::Bytes;
use carillon_bus::{
    BatchConsumer, BatchLimits, BusError, Headers, OutRecord, Queue, Record, Subscription, TopicKind,
    dead_letter, headers,
};
use carillon_domain::{
    DeliveryId, Lane, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
    waiting::Waiting,
};
use carillon_store::{Store, StoreError, outbox::OutboxRecord, waiting::NewWaiting};

use crate::{SchedulerDeps, SchedulerError};

/// The longest wait until due times are looked at again: another process may have stored an earlier one.
pub(crate) const POLL: Duration = Duration::from_millis(250);
/// The number of records in the outbox at which nothing more is released, so that the database does not fill while the bus
/// is away.
const FULL: u32 = 20_000;
const LIMITS: BatchLimits = BatchLimits {
    max_records: 500,
    max_bytes: 8 << 20,
    linger: Duration::ZERO,
};

/// The scheduler's consumer group.
#[must_use]
pub fn group(bus: &carillon_bus::Bus) -> String {
    bus.topics().group("scheduler")
}

/// Stores the records of events and deliveries that begin to wait.
pub struct Collector {
    deps: SchedulerDeps,
    consumer: BatchConsumer,
    /// Set after a batch failed: it has to be read again before any other.
    is_behind: bool,
}

impl Collector {
    /// A member of the scheduler's group.
    pub fn new(deps: SchedulerDeps) -> Result<Self, SchedulerError> {
        let subscription = Subscription {
            group: group(&deps.bus),
            topics: vec![deps.bus.topics().scheduled()],
        };
        Ok(Self {
            consumer: deps.bus.subscribe(&subscription)?,
            deps,
            is_behind: false,
        })
    }

    /// Waits for records and stores those that wait. Returns the number of new rows.
    pub async fn step(&mut self) -> Result<u64, SchedulerError> {
        if self.is_behind {
            match self.consumer.rewind().await {
                // Another member reads revoked partitions.
                Ok(()) | Err(BusError::Revoked) => self.is_behind = false,
                Err(error) => return Err(error.into()),
            }
        }
        let batch = self.consumer.next(&LIMITS).await?;
        self.is_behind = true;
        let new = self.store(&batch.records).await?;
        match self.consumer.commit(&batch).await {
            Ok(()) | Err(BusError::Revoked) => {}
            Err(error) => return Err(error.into()),
        }
        self.is_behind = false;
        Ok(new)
    }

    async fn store(&self, records: &[Record]) -> Result<u64, SchedulerError> {
        let (mut added, mut bad) = (Vec::new(), Vec::new());
        // Events that are held because limits cannot be counted are the router's.
        let waiting = records
            .iter()
            .filter(|record| record.headers.get(headers::WAITS).is_some());
        for record in waiting {
            match self.read(record) {
                Ok(new) => added.push((record, new)),
                Err(reason) => bad.push((record, reason)),
            }
        }
        let store = &self.deps.store;
        let followed: Vec<DeliveryId> = added
            .iter()
            .flat_map(|(_, new)| new.waiting.release.content.parts())
            .flat_map(|part| part.after.iter().copied())
            .collect();
        let all: Vec<NewWaiting> = added.iter().map(|(_, new)| new.clone()).collect();
        let new = match self.add(all).await {
            Err(error) if error.refuses_data() => {
                let mut new = 0;
                for (record, one) in added {
                    match self.add(vec![one]).await {
                        Ok(one) => new += one,
                        Err(error) if error.refuses_data() => {
                            bad.push((record, "the database refuses a value of it".to_owned()));
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                new
            }
            added => added?,
        };
        metrics::counter!("carillon_waiting_added_total").increment(new);
        // The outcomes of the deliveries that rows follow may have been reported before the rows were stored.
        store.fallbacks().hasten(&followed).await?;
        self.bury(&bad).await?;
        Ok(new)
    }

    /// Adds waiting rows and members of digests.
    async fn add(&self, added: Vec<NewWaiting>) -> Result<u64, StoreError> {
        let (members, waiting): (Vec<NewWaiting>, Vec<NewWaiting>) =
            added.into_iter().partition(|new| new.waiting.digest.is_some());
        let store = &self.deps.store;
        Ok(store.waiting().add(&waiting).await? + store.digests().add(&members).await?)
    }

    /// The row of a record, with the record that is published at its release.
    fn read(&self, record: &Record) -> Result<NewWaiting, String> {
        let header = record.headers.get(headers::WAITS).unwrap_or_default();
        let waiting =
            Waiting::parse(header).map_err(|error| format!("expected a waiting record's header: {error}"))?;
        let topics = self.deps.bus.topics();
        let lane = match topics.kind_of(&waiting.release.origin.topic) {
            Some(TopicKind::Events(lane)) => lane,
            // The prefix of the topics has changed.
            _ => Lane::Normal,
        };
        let mut out = Headers::default();
        for (name, value) in record.headers.iter() {
            if ![headers::WAITS, headers::HELD, headers::RELEASE].contains(&name) {
                out.push(name.to_owned(), value.clone());
            }
        }
        out.push(headers::RELEASE, waiting.release.to_wire());
        Ok(NewWaiting {
            record: OutboxRecord {
                topic: topics.events(lane),
                key: record.key.as_ref().map(|key| key.to_vec()),
                headers: out.encode(),
                value: record.value.to_vec(),
            },
            waiting,
        })
    }

    /// Publishes the dead letters of records that cannot be stored.
    async fn bury(&self, bad: &[(&Record, String)]) -> Result<(), SchedulerError> {
        let topics = self.deps.bus.topics();
        let now = self.deps.clock.now();
        let letters: Vec<OutRecord> = bad
            .iter()
            .map(|(record, reason)| {
                tracing::error!(topic = %record.topic, partition = record.partition, offset = record.offset, reason,
                    "a record that waits cannot be stored; it is a dead letter");
                let letter = DeadLetter {
                    class: FailureClass::Unparseable,
                    provider: None,
                    code: "not-waiting".to_owned(),
                    reason: reason.clone(),
                    attempts: 1,
                    first_failed_at: now,
                };
                let mut dead = dead_letter::record(topics, record, Queue::Events, &group(&self.deps.bus), &letter);
                if dead.size() > dead_letter::MAX_BYTES {
                    dead.headers
                        .insert(headers::TRUNCATED, record.value.len().to_string());
                    dead.value = Bytes::new();
                }
                dead
            })
            .collect();
        if !letters.is_empty() {
            self.deps.bus.publish(letters).await?;
        }
        Ok(())
    }
}

/// Releases due events and deliveries.
pub struct Releaser {
    deps: SchedulerDeps,
}

/// The result of one look at the due times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Something was released; more may be due.
    Released(usize),
    /// Nothing is due for this long, or the outbox is full.
    Wait(Duration),
}

impl Releaser {
    /// A releaser with these dependencies.
    #[must_use]
    pub fn new(deps: SchedulerDeps) -> Self {
        Self { deps }
    }

    /// Releases the rows with the earliest due times, if any is due.
    pub async fn step(&self) -> Result<Looked, SchedulerError> {
        let store = &self.deps.store;
        let due = store.waiting().next_due().await?;
        let now = self.deps.clock.now();
        if let Some(wait) = wait(store, due, now).await? {
            return Ok(Looked::Wait(wait));
        }
        let released = store.waiting().release().await?.due;
        if released.is_empty() {
            // Another process is releasing them.
            return Ok(Looked::Wait(POLL));
        }
        metrics::counter!("carillon_waiting_released_total").increment(released.len() as u64);
        let lateness = metrics::histogram!("carillon_waiting_lateness_seconds");
        for due in &released {
            lateness.record((now - *due).to_std().unwrap_or_default().as_secs_f64());
        }
        Ok(Looked::Released(released.len()))
    }
}

/// The wait before rows with this first due time can be released. `None` if they are due and the outbox has room.
pub(crate) async fn wait(
    store: &Store,
    due: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Duration>, StoreError> {
    let Some(due) = due else {
        return Ok(Some(POLL));
    };
    if due > now {
        return Ok(Some(until(due, now)));
    }
    let is_full = store.outbox().count_up_to(FULL).await? >= u64::from(FULL);
    Ok(is_full.then_some(POLL))
}

/// The wait until the next look. The clock counts microseconds and timers milliseconds; one more millisecond lets a single
/// wait suffice.
fn until(due: Timestamp, now: Timestamp) -> Duration {
    let wait = (due - now).to_std().unwrap_or_default();
    (wait + Duration::from_millis(1)).min(POLL)
}
