//! Partitions whose next record may not be handed out yet: it waits in a retry tier, or the partition rests after a record
//! was dropped.

use std::collections::{HashMap, VecDeque};

use carillon_domain::Timestamp;

use crate::record::{Partition, Record};

/// A partition that is held until a time.
pub(super) struct HeldPartition {
    pub(super) wake: Timestamp,
    pub(super) records: VecDeque<Record>,
    /// The offset from which the partition has to be read again. Until the seek succeeds, its records are ignored.
    pub(super) restart: Option<i64>,
}

/// The held partitions of a member.
#[derive(Default)]
pub(super) struct HeldPartitions(HashMap<Partition, HeldPartition>);

impl HeldPartitions {
    /// Keeps the record if its partition is held, and otherwise returns it.
    pub(super) fn admit(&mut self, partition: &Partition, record: Record) -> Option<Record> {
        let Some(held) = self.0.get_mut(partition) else {
            return Some(record);
        };
        if held.restart.is_none() {
            held.records.push_back(record);
        }
        None
    }

    /// Holds a partition from its record on, until the record is due.
    pub(super) fn wait(&mut self, partition: Partition, record: Record, wake: Timestamp) {
        let held = HeldPartition {
            wake,
            records: [record].into(),
            restart: None,
        };
        self.0.insert(partition, held);
    }

    /// Holds a partition that is to be read again from an offset.
    pub(super) fn rest(&mut self, partition: Partition, wake: Timestamp, restart: i64) {
        let held = HeldPartition {
            wake,
            records: VecDeque::new(),
            restart: Some(restart),
        };
        self.0.insert(partition, held);
    }

    /// Holds a partition again that could not be released.
    pub(super) fn put_back(&mut self, partition: Partition, held: HeldPartition) {
        self.0.insert(partition, held);
    }

    /// The time of the first partition that is due.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.0.values().map(|held| held.wake).min()
    }

    /// Releases the partitions that are due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<(Partition, HeldPartition)> {
        self.0.extract_if(|_, held| held.wake <= now).collect()
    }

    pub(super) fn holds(&self, partition: &Partition) -> bool {
        self.0.contains_key(partition)
    }

    pub(super) fn remove(&mut self, partition: &Partition) {
        self.0.remove(partition);
    }
}
