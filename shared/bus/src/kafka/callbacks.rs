//! The consumer's callbacks, which run on its polling thread: assignments and revocations, and the member's seeks.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    exchange::{PollerEvent, Seek, SeekTarget, Shared},
    logs,
};
use crate::record::Partition;

/// The longest wait of a revocation for the member.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);
/// The longest time of a seek, which waits for librdkafka's threads, not for a broker.
pub(super) const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// The consumer's callbacks.
pub(super) struct Callbacks {
    pub(super) shared: Arc<Shared>,
    pub(super) events: UnboundedSender<PollerEvent>,
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
                .send(PollerEvent::Revoked(partitions(list), drained))
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
                let _ = self.events.send(PollerEvent::Failed(error.clone()));
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
        let _ = self.events.send(PollerEvent::Assigned(partitions, number));
    }

    /// Hands over the polled records.
    pub(super) fn flush(&self) {
        let piece = std::mem::take(&mut *self.shared.piece.lock());
        if !piece.records.is_empty() {
            self.shared.waiting.fetch_add(piece.bytes, Ordering::AcqRel);
            // Fails only if the member is gone; the thread then ends soon.
            let _ = self.events.send(PollerEvent::Records(piece.records));
        }
    }

    /// Seeks as the member asked, and reports the result after all records from before the seek and before all from
    /// behind it.
    pub(super) fn seek(&self, consumer: &BaseConsumer<Self>, seek: &Seek) {
        let targets: Vec<&SeekTarget> = {
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
        let _ = self.events.send(PollerEvent::Sought(seek.number, results));
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
