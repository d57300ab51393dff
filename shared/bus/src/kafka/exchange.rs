//! The exchange between a member and its polling thread: reports, requests, and their shared state.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::Instant,
};

use parking_lot::Mutex;
use rdkafka::{ClientConfig, Offset, TopicPartitionList, error::KafkaError};

use super::{brokers::Brokers, fetching::Fetching, pressure::HIGH_WATER};
use crate::record::{Partition, Record};

/// The most records, and the most bytes, in one piece.
const PIECE: usize = 500;
const PIECE_BYTES: usize = HIGH_WATER / 8;

/// A report of the polling thread to the member.
pub(super) enum PollerEvent {
    Records(Vec<Record>),
    /// The assigned partitions and the number of this assignment.
    Assigned(Vec<Partition>, u64),
    /// The revoked partitions; the channel is answered once they are drained.
    Revoked(Vec<Partition>, mpsc::SyncSender<()>),
    /// The seek of this number has ended. For partitions on which it succeeded, all later records are from behind the
    /// seek.
    Sought(u64, Vec<(Partition, Result<(), KafkaError>)>),
    Failed(KafkaError),
    /// The client has to be replaced; no further event of it follows.
    Lost(Loss),
}

/// The reason for which a client is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It has lost all brokers and does not find them again.
    Brokers,
    /// It does not read a partition that is assigned to it.
    Reading,
}

/// A request of the member, answered by [`PollerEvent::Sought`].
pub(super) struct Seek {
    pub(super) number: u64,
    pub(super) targets: Vec<SeekTarget>,
}

/// The new position of a partition; without an offset: its start.
pub(super) struct SeekTarget {
    pub(super) partition: Partition,
    /// The assignment for which the seek is requested. In a later one the partition is not moved.
    pub(super) assignment: u64,
    pub(super) offset: Option<i64>,
}

/// The subscription of the polling thread.
pub(super) struct PollerConfig {
    /// The properties that every client has.
    pub(super) base: ClientConfig,
    pub(super) group: String,
    pub(super) topics: Vec<Arc<str>>,
}

/// State shared by thread and member.
#[derive(Default)]
pub(super) struct Shared {
    /// Bytes that are handed over and not yet taken by the member.
    pub(super) waiting: AtomicUsize,
    /// The member is gone, so the thread has to end.
    pub(super) closing: AtomicBool,
    /// The state of the client's brokers.
    pub(super) brokers: Brokers,
    /// Whether the client reads its partitions.
    pub(super) fetching: Fetching,
    /// Partitions that belong to the member, each with the number of its assignment.
    pub(super) owned: Mutex<HashMap<Partition, u64>>,
    /// The number of the next assignment.
    pub(super) assignments: AtomicU64,
    /// The offset of the last seek of each partition. After a seek the client reports a position only once it has
    /// handed out a record.
    pub(super) sought: Mutex<HashMap<Partition, i64>>,
    pub(super) flow: Mutex<Flow>,
    pub(super) piece: Mutex<Piece>,
}

/// Records that the thread has polled and not handed over yet.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
}

/// The partitions that have to be paused, and those that are.
#[derive(Default)]
pub(super) struct Flow {
    /// Partitions that the member has asked to pause.
    pub(super) held: HashSet<Partition>,
    /// Set while all partitions have to be paused, because too many bytes have waited too long for the member.
    pub(super) all: bool,
    /// Partitions that the client has paused.
    pub(super) paused: HashSet<Partition>,
    /// Whether a change has to be passed on to the client.
    pub(super) changed: bool,
}

impl Piece {
    /// Adds a record; returns whether the piece is full.
    pub(super) fn push(&mut self, record: Record) -> bool {
        self.bytes += record.size();
        self.records.push(record);
        self.records.len() >= PIECE || self.bytes >= PIECE_BYTES
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Record) -> bool) {
        self.records.retain(keep);
        self.bytes = self.records.iter().map(Record::size).sum();
    }
}

impl Shared {
    /// The state of a new client, which is watched by `fetching`.
    pub(super) fn new(fetching: Fetching) -> Self {
        Self {
            fetching,
            ..Self::default()
        }
    }

    /// Evaluates a statistics report of the client.
    pub(super) fn report(&self, statistics: &[u8]) {
        self.brokers.report(statistics);
        let owned = self.owned.lock();
        self.fetching.report(statistics, owned.keys(), Instant::now());
    }

    /// The reason for which the client has to be replaced; `None` while it works.
    pub(super) fn loss(&self) -> Option<Loss> {
        if self.brokers.are_lost() {
            Some(Loss::Brokers)
        } else {
            self.fetching.stands().then_some(Loss::Reading)
        }
    }

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
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > HIGH_WATER && !self.flow.lock().all
    }

    /// Requests that all partitions be paused until there is room.
    pub(super) fn rest(&self) {
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

impl PollerConfig {
    /// The topic's name, as the shared string of the subscription if it is in it.
    pub(super) fn topic(&self, name: &str) -> Arc<str> {
        let topic = self.topics.iter().find(|topic| &***topic == name);
        topic.map_or_else(|| Arc::from(name), Arc::clone)
    }
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
