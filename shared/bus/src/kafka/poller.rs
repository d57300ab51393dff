//! The thread that polls a consumer. Where too many bytes wait for the member, the thread waits for room. If the
//! member takes little, the thread pauses its partitions instead, so that it keeps polling and hears of rebalances. A
//! revocation waits in the callback until the member has committed the records that it finished.
//!
//! A pause is the last resort because it is expensive: the client discards the records that it has fetched, and its
//! fetching thread, which a resume does not wake, may sleep for another second.
//!
//! Each call that moves a partition's position (seek, pause, resume) is made on this thread, between two polls. Thus
//! the records already polled and those that the client will fetch next fit together, and the member receives both in
//! one order.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use carillon_domain::Timestamp;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    brokers::Brokers,
    logs,
    pressure::{HIGH_WATER, Pressure},
    unreadable,
};
use crate::{
    headers::Headers,
    record::{Partition, Record},
};

/// A report of the polling thread to the member.
pub(super) enum Event {
    Records(Vec<Record>),
    /// The assigned partitions and the number of this assignment.
    Assigned(Vec<Partition>, u64),
    /// The revoked partitions; the channel is answered once they are drained.
    Revoked(Vec<Partition>, mpsc::SyncSender<()>),
    /// The seek of this number has ended. For partitions on which it succeeded, all later records are from behind the
    /// seek.
    Sought(u64, Vec<(Partition, Result<(), KafkaError>)>),
    Failed(KafkaError),
    /// The client has lost its brokers and does not recover: no further event follows.
    Lost,
}

/// A request of the member, answered by [`Event::Sought`].
pub(super) struct Seek {
    pub(super) number: u64,
    pub(super) targets: Vec<Target>,
}

/// The new position of a partition; without an offset: its start.
pub(super) struct Target {
    pub(super) partition: Partition,
    /// The assignment that is meant. In a later one the partition is not moved.
    pub(super) assignment: u64,
    pub(super) offset: Option<i64>,
}

/// The subscription of the polling thread.
pub(super) struct Reading {
    /// The properties that every client has.
    pub(super) base: ClientConfig,
    pub(super) group: String,
    pub(super) topics: Vec<Arc<str>>,
}

/// The longest wait for a record.
const LONG_POLL: Duration = Duration::from_millis(50);
/// The interval at which a full member is checked for room.
const LOOK: Duration = Duration::from_millis(5);
/// The longest wait of a revocation for the member.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);
/// The longest time of a seek, which waits for librdkafka's threads, not for a broker.
pub(super) const SEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// The most records, and the most bytes, in one piece.
const PIECE: usize = 500;
const PIECE_BYTES: usize = HIGH_WATER / 8;

/// State shared by thread and member.
#[derive(Default)]
pub(super) struct Shared {
    /// Bytes that are handed over and not yet taken by the member.
    pub(super) waiting: AtomicUsize,
    /// The member is gone, so the thread has to end.
    pub(super) closing: AtomicBool,
    /// The state of the client's brokers.
    pub(super) brokers: Brokers,
    /// Partitions that belong to the member, each with the number of its assignment.
    owned: Mutex<HashMap<Partition, u64>>,
    /// The number of the next assignment.
    assignments: AtomicU64,
    /// The offset of the last seek of each partition. After a seek the client reports a position only once it has
    /// handed out a record.
    pub(super) sought: Mutex<HashMap<Partition, i64>>,
    flow: Mutex<Flow>,
    pub(super) piece: Mutex<Piece>,
}

/// Records that the thread has polled and not handed over yet.
#[derive(Default)]
pub(super) struct Piece {
    records: Vec<Record>,
    bytes: usize,
}

/// The partitions that have to be paused, and those that are.
#[derive(Default)]
struct Flow {
    /// Partitions that the member has asked to pause.
    held: HashSet<Partition>,
    /// Set while all partitions have to be paused, because too many bytes have waited too long for the member.
    all: bool,
    /// Partitions that the client has paused.
    paused: HashSet<Partition>,
    /// Whether the client has to be told of a change.
    changed: bool,
}

impl Piece {
    /// Adds a record; returns whether the piece is full.
    pub(super) fn push(&mut self, record: Record) -> bool {
        self.bytes += record.size();
        self.records.push(record);
        self.records.len() >= PIECE || self.bytes >= PIECE_BYTES
    }

    fn retain(&mut self, keep: impl FnMut(&Record) -> bool) {
        self.records.retain(keep);
        self.bytes = self.records.iter().map(Record::size).sum();
    }
}

impl Shared {
    /// Whether each partition still belongs to the member by the same assignment. Brokers check the generation of a
    /// commit, not its partitions. This check therefore tells a member that drained too slowly that the partitions
    /// belong to another.
    pub(super) fn owns(&self, partitions: &[(Partition, u64)]) -> bool {
        let owned = self.owned.lock();
        partitions
            .iter()
            .all(|(partition, assignment)| owned.get(partition) == Some(assignment))
    }

    /// Clears the assignment: no partition belongs to the member any more.
    pub(super) fn disown(&self) {
        self.owned.lock().clear();
    }

    /// Whether the thread has to wait for room.
    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > HIGH_WATER && !self.flow.lock().all
    }

    /// Requests that all partitions be paused until there is room.
    fn rest(&self) {
        let mut flow = self.flow.lock();
        flow.all = true;
        flow.changed = true;
    }

    /// The partitions that the client fetches.
    pub(super) fn fetched(&self) -> Vec<Partition> {
        let owned = self.owned.lock();
        let flow = self.flow.lock();
        owned
            .keys()
            .filter(|partition| !flow.paused.contains(*partition))
            .cloned()
            .collect()
    }

    /// Requests that the thread pause a partition.
    pub(super) fn hold(&self, partition: &Partition) {
        let mut flow = self.flow.lock();
        flow.changed |= flow.held.insert(partition.clone());
    }

    /// Requests that the thread resume partitions that were held.
    pub(super) fn let_go<'a>(&self, partitions: impl IntoIterator<Item = &'a Partition>) {
        let mut flow = self.flow.lock();
        for partition in partitions {
            flow.changed |= flow.held.remove(partition);
        }
    }
}

/// The consumer's callbacks.
pub(super) struct Callbacks {
    pub(super) shared: Arc<Shared>,
    pub(super) events: UnboundedSender<Event>,
}

impl ClientContext for Callbacks {
    fn stats_raw(&self, statistics: &[u8]) {
        self.shared.brokers.report(statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        logs::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        logs::error(&error, reason);
    }
}

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
            let mut flow = self.shared.flow.lock();
            for partition in partitions(list) {
                owned.remove(&partition);
                flow.held.remove(&partition);
                flow.paused.remove(&partition);
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if list.count() > 0 => self.assigned(consumer, list),
            Rebalance::Error(error) => {
                let _ = self.events.send(Event::Failed(error.clone()));
            }
            Rebalance::Assign(_) | Rebalance::Revoke(_) => {}
        }
    }
}

impl Callbacks {
    /// Takes in an assignment. The client keeps a partition's pause even if the partition is lost and returns, so
    /// each new one is set to the state of the others.
    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = partitions(list);
        let number = self.shared.assignments.fetch_add(1, Ordering::Relaxed);
        let all = {
            let mut flow = self.shared.flow.lock();
            for partition in &partitions {
                flow.held.remove(partition);
                flow.paused.remove(partition);
            }
            flow.all
        };
        self.shared
            .sought
            .lock()
            .retain(|partition, _| !partitions.contains(partition));
        let told = if all {
            consumer.pause(list)
        } else {
            consumer.resume(list)
        };
        {
            let mut flow = self.shared.flow.lock();
            // After an error the partitions are recorded in the opposite state, so that the call is repeated.
            if all == told.is_ok() {
                flow.paused.extend(partitions.iter().cloned());
            }
            flow.changed |= told.is_err();
        }
        self.shared
            .owned
            .lock()
            .extend(partitions.iter().map(|partition| (partition.clone(), number)));
        // Fails only if the member is gone; the thread then ends soon.
        let _ = self.events.send(Event::Assigned(partitions, number));
    }

    /// Hands over the polled records.
    pub(super) fn flush(&self) {
        let piece = std::mem::take(&mut *self.shared.piece.lock());
        if !piece.records.is_empty() {
            self.shared.waiting.fetch_add(piece.bytes, Ordering::AcqRel);
            // Fails only if the member is gone; the thread then ends soon.
            let _ = self.events.send(Event::Records(piece.records));
        }
    }

    /// Seeks as the member asked, and reports the result after all records from before the seek and before all from
    /// behind it.
    fn seek(&self, consumer: &BaseConsumer<Self>, seek: &Seek) {
        let targets: Vec<&Target> = {
            let owned = self.shared.owned.lock();
            seek.targets
                .iter()
                .filter(|target| owned.get(&target.partition) == Some(&target.assignment))
                .collect()
        };
        self.shared.piece.lock().retain(|record| {
            !targets.iter().any(|target| {
                *record.topic == *target.partition.topic && record.partition == target.partition.index
            })
        });
        let mut list = TopicPartitionList::new();
        for target in &targets {
            let offset = target.offset.map_or(Offset::Beginning, Offset::Offset);
            // The only possible error is an offset below zero, which cannot occur here.
            let _ = list.add_partition_offset(&target.partition.topic, target.partition.index, offset);
        }
        let mut results = Vec::new();
        if !targets.is_empty() {
            match consumer.seek_partitions(list, SEEK_TIMEOUT) {
                Ok(list) => results.extend(targets.iter().map(|target| {
                    let partition = &target.partition;
                    let ended = list
                        .find_partition(&partition.topic, partition.index)
                        .map_or(Ok(()), |element| element.error());
                    (partition.clone(), ended)
                })),
                Err(error) => results.extend(
                    targets
                        .iter()
                        .map(|target| (target.partition.clone(), Err(error.clone()))),
                ),
            }
        }
        let mut sought = self.shared.sought.lock();
        for target in targets {
            match target.offset {
                Some(offset) => sought.insert(target.partition.clone(), offset),
                None => sought.remove(&target.partition),
            };
        }
        drop(sought);
        // Fails only if the member is gone; the thread then ends soon.
        let _ = self.events.send(Event::Sought(seek.number, results));
    }
}

impl Reading {
    /// The topic's name, as the shared string of the subscription if it is in it.
    pub(super) fn topic(&self, name: &str) -> Arc<str> {
        let topic = self.topics.iter().find(|topic| &***topic == name);
        topic.map_or_else(|| Arc::from(name), Arc::clone)
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
        // The only possible error is an offset below zero, which cannot occur here.
        let _ = list.add_partition_offset(&partition.topic, partition.index, offset);
    }
    list
}

/// The thread's loop.
pub(super) fn run(
    consumer: &BaseConsumer<Callbacks>,
    callbacks: &Callbacks,
    seeks: &mpsc::Receiver<Seek>,
    reading: &Reading,
) {
    let shared = &callbacks.shared;
    let mut wait = LONG_POLL;
    let mut pressure = Pressure::default();
    let mut lost = false;
    while !shared.closing.load(Ordering::Acquire) {
        while let Ok(seek) = seeks.try_recv() {
            callbacks.seek(consumer, &seek);
        }
        if shared.is_full() {
            if pressure.is_too_slow(Instant::now()) {
                shared.rest();
            } else if let Ok(seek) = seeks.recv_timeout(LOOK) {
                callbacks.seek(consumer, &seek);
            }
        } else {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    let record = owned(&message, reading);
                    pressure.polled(record.size());
                    let is_full = shared.piece.lock().push(record);
                    if is_full {
                        callbacks.flush();
                    }
                    wait = Duration::ZERO;
                }
                Some(Err(error)) => {
                    callbacks.flush();
                    let is_passed =
                        unreadable::of(&error).is_some() && callbacks.pass_over(consumer, reading);
                    if !is_passed && callbacks.events.send(Event::Failed(error)).is_err() {
                        break;
                    }
                    wait = LONG_POLL;
                }
                None => {
                    callbacks.flush();
                    pressure.eased();
                    wait = LONG_POLL;
                }
            }
        }
        regulate(consumer, shared);
        if shared.brokers.are_lost() && !std::mem::replace(&mut lost, true) {
            // Fails only if the member is gone; the thread then ends soon.
            let _ = callbacks.events.send(Event::Lost);
        }
    }
    consumer.unsubscribe();
}

/// Pauses and resumes partitions: all are paused while the whole member rests, otherwise those that it holds.
fn regulate(consumer: &BaseConsumer<Callbacks>, shared: &Shared) {
    let (pause, resume) = {
        let owned = shared.owned.lock();
        let mut flow = shared.flow.lock();
        if flow.all && shared.waiting.load(Ordering::Acquire) <= HIGH_WATER / 2 {
            flow.all = false;
            flow.changed = true;
        }
        if !std::mem::take(&mut flow.changed) {
            return;
        }
        let all = flow.all;
        let differs = |partition: &&Partition| {
            flow.paused.contains(*partition) != (all || flow.held.contains(*partition))
        };
        owned
            .keys()
            .filter(differs)
            .cloned()
            .partition::<Vec<_>, _>(|partition| !flow.paused.contains(partition))
    };
    let told = |partitions: &[Partition], result: Result<(), KafkaError>, paused: bool| {
        let mut flow = shared.flow.lock();
        match result {
            Ok(()) if paused => flow.paused.extend(partitions.iter().cloned()),
            Ok(()) => flow.paused.retain(|partition| !partitions.contains(partition)),
            Err(error) => {
                flow.changed = true;
                tracing::debug!(%error, "partitions were not paused or resumed; trying again");
            }
        }
    };
    let list =
        |partitions: &[Partition]| native(partitions.iter().map(|partition| (partition.clone(), None)));
    if !pause.is_empty() {
        told(&pause, consumer.pause(&list(&pause)), true);
    }
    if !resume.is_empty() {
        told(&resume, consumer.resume(&list(&resume)), false);
    }
}

fn owned(message: &BorrowedMessage<'_>, reading: &Reading) -> Record {
    let mut headers = Headers::default();
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        // A null header has no value; an empty header has an empty one.
        if let Some(value) = header.value {
            headers.push(header.key.to_owned(), Bytes::copy_from_slice(value));
        }
    }
    Record {
        topic: reading.topic(message.topic()),
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
        unreadable: None,
    }
}
