//! The thread that polls a consumer. It never stops polling, so that the member stays in its group; backpressure
//! pauses partitions instead. A revocation waits in the callback until the member has committed what it finished.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use carillon_domain::Timestamp;
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    headers::Headers,
    record::{Partition, Record},
};

/// What the thread tells the member.
pub(super) enum Event {
    Records(Vec<Record>),
    Assigned(Vec<Partition>),
    /// To be answered when the partitions are drained.
    Revoked(Vec<Partition>, mpsc::SyncSender<()>),
    Failed(KafkaError),
}

/// At most this many bytes wait for the member; then every partition is paused.
const HIGH_WATER: usize = 4 * 1024 * 1024;
/// How long a revocation waits for the member.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);
/// Records handed over in one piece.
const PIECE: usize = 500;

/// What thread and member share.
#[derive(Default)]
pub(super) struct Shared {
    /// Bytes that wait for the member.
    pub(super) waiting: AtomicUsize,
    /// The member is gone: end the thread.
    pub(super) closing: AtomicBool,
    /// Partitions that belong to the member.
    owned: Mutex<std::collections::HashSet<Partition>>,
    /// Partitions that the member holds back.
    pub(super) held: Mutex<std::collections::HashSet<Partition>>,
    /// Records that the thread has polled and not handed over.
    piece: Mutex<Vec<Record>>,
}

impl Shared {
    /// Whether every partition still belongs to the member. Brokers check a commit's generation, not its partitions: a
    /// member that was too slow to drain is told here that they are another's.
    pub(super) fn owns(&self, list: &TopicPartitionList) -> bool {
        let owned = self.owned.lock();
        partitions(list).iter().all(|partition| owned.contains(partition))
    }
}

/// The consumer's callbacks.
pub(super) struct Callbacks {
    pub(super) shared: Arc<Shared>,
    pub(super) events: UnboundedSender<Event>,
}

impl ClientContext for Callbacks {}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance
            && list.count() > 0
        {
            self.flush();
            let (drained, wait) = mpsc::sync_channel(1);
            if self
                .events
                .send(Event::Revoked(partitions(list), drained))
                .is_ok()
                && wait.recv_timeout(DRAIN_TIMEOUT).is_err()
            {
                tracing::warn!("partitions were revoked before they were drained");
            }
            let mut owned = self.shared.owned.lock();
            for partition in partitions(list) {
                owned.remove(&partition);
            }
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if list.count() > 0 => {
                self.shared.owned.lock().extend(partitions(list));
                // The member is gone only when the thread is about to end.
                let _ = self.events.send(Event::Assigned(partitions(list)));
            }
            Rebalance::Error(error) => {
                let _ = self.events.send(Event::Failed(error.clone()));
            }
            Rebalance::Assign(_) | Rebalance::Revoke(_) => {}
        }
    }
}

impl Callbacks {
    /// Hands over what was polled.
    fn flush(&self) {
        let piece = std::mem::take(&mut *self.shared.piece.lock());
        if !piece.is_empty() {
            self.shared
                .waiting
                .fetch_add(piece.iter().map(Record::size).sum(), Ordering::AcqRel);
            // As above.
            let _ = self.events.send(Event::Records(piece));
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements()
        .iter()
        .map(|element| Partition {
            topic: Arc::from(element.topic()),
            index: element.partition(),
        })
        .collect()
}

pub(super) fn native(partitions: impl IntoIterator<Item = (Partition, Option<i64>)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let offset = offset.map_or(Offset::Invalid, Offset::Offset);
        // An offset below zero is the only error, and there is none.
        let _ = list.add_partition_offset(&partition.topic, partition.index, offset);
    }
    list
}

/// The thread's loop.
pub(super) fn run(consumer: &BaseConsumer<Callbacks>, callbacks: &Callbacks, topics: &[Arc<str>]) {
    let shared = &callbacks.shared;
    let mut paused = false;
    let mut wait = Duration::from_millis(50);
    while !shared.closing.load(Ordering::Acquire) {
        match consumer.poll(wait) {
            Some(Ok(message)) => {
                let record = owned(&message, topics);
                let mut piece = shared.piece.lock();
                piece.push(record);
                let full = piece.len() >= PIECE;
                drop(piece);
                if full {
                    callbacks.flush();
                }
                wait = Duration::ZERO;
            }
            Some(Err(error)) => {
                if callbacks.events.send(Event::Failed(error)).is_err() {
                    break;
                }
                wait = Duration::from_millis(50);
            }
            None => {
                callbacks.flush();
                wait = Duration::from_millis(50);
            }
        }
        paused = regulate(consumer, shared, paused);
    }
    consumer.unsubscribe();
}

/// Pauses everything while too much waits for the member, and resumes what it does not hold back when it has caught up.
fn regulate(consumer: &BaseConsumer<Callbacks>, shared: &Shared, paused: bool) -> bool {
    let waiting = shared.waiting.load(Ordering::Acquire);
    let change = if paused {
        waiting < HIGH_WATER / 2
    } else {
        waiting > HIGH_WATER
    };
    if !change {
        return paused;
    }
    let Ok(assigned) = consumer.assignment() else {
        return paused;
    };
    let result = if paused {
        let held = shared.held.lock();
        let free = partitions(&assigned)
            .into_iter()
            .filter(|partition| !held.contains(partition));
        consumer.resume(&native(free.map(|partition| (partition, None))))
    } else {
        consumer.pause(&assigned)
    };
    match result {
        Ok(()) => !paused,
        Err(error) => {
            tracing::debug!(%error, "partitions were not paused or resumed; trying again");
            paused
        }
    }
}

fn owned(message: &BorrowedMessage<'_>, topics: &[Arc<str>]) -> Record {
    let topic = topics.iter().find(|topic| &***topic == message.topic());
    let mut headers = Headers::default();
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        headers.push(
            header.key.to_owned(),
            Bytes::copy_from_slice(header.value.unwrap_or_default()),
        );
    }
    Record {
        topic: topic.map_or_else(|| Arc::from(message.topic()), Arc::clone),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
        headers,
        timestamp: message
            .timestamp()
            .to_millis()
            .and_then(Timestamp::from_timestamp_millis)
            .unwrap_or_default(),
    }
}
