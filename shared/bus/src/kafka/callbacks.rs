//! The consumer's callbacks, which run on its polling thread: assignments and revocations, and the member's seeks.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
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
/// The longest time for which the coordinator is asked for the committed offsets of an assignment, and the pause
/// between two requests. The coordinator refuses while a transaction of the group is open, which lasts at most ten
/// seconds.
const STARTS_TIMEOUT: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The consumer's callbacks.
pub(super) struct Callbacks {
    pub(super) shared: Arc<Shared>,
    pub(super) events: UnboundedSender<PollerEvent>,
}

impl ClientContext for Callbacks {
    fn stats_raw(&self, statistics: &[u8]) {
        self.shared.report(statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        logs::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        logs::error(&error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let taken_in = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, list)
        } else {
            self.revoke(list);
            consumer.incremental_unassign(list)
        };
        if let Err(error) = taken_in {
            let _ = self.events.send(PollerEvent::Failed(error));
        }
    }
}

impl Callbacks {
    /// Waits until the member has released the partitions, for a bounded time.
    fn revoke(&self, list: &TopicPartitionList) {
        if list.count() == 0 {
            return;
        }
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

    /// Assigns the partitions to the client, with the offsets at which it begins to read.
    ///
    /// The client would ask for the offsets itself. If the coordinator refuses one such request, it never asks again and
    /// reads none of the partitions ([librdkafka#5586](https://github.com/confluentinc/librdkafka/issues/5586), in 2.12).
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), KafkaError> {
        if list.count() == 0 {
            return consumer.incremental_assign(list);
        }
        // If the coordinator did not return the offsets in time, the client asks for them itself. If the client then
        // reads nothing, it is replaced (`fetching`).
        let starts = self.starts(consumer, list).unwrap_or_else(|| list.clone());
        // Only this thread changes `flow.all`, so the value stays current after the lock is released.
        let rests = self.shared.flow.lock().all;
        // The client keeps a partition's pause even if the partition is lost and returns, so each new one is set to the
        // state of the others. A resume before the start does not make the client start the partition twice.
        let resumed = if rests { Ok(()) } else { consumer.resume(list) };
        let assigned = consumer.incremental_assign(&starts);
        let told = if rests { consumer.pause(list) } else { resumed };
        self.assigned(list, rests == told.is_ok(), told.is_err());
        assigned
    }

    /// The offsets at which the group reads on; `None` if the coordinator does not return them in time.
    fn starts(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Option<TopicPartitionList> {
        let deadline = Instant::now() + STARTS_TIMEOUT;
        while !self.shared.closing.load(Ordering::Acquire) {
            let left = deadline.checked_duration_since(Instant::now())?;
            match consumer.committed_offsets(list.clone(), left).and_then(begin) {
                Ok(starts) => return Some(starts),
                Err(error) => {
                    tracing::debug!(%error, "the coordinator did not name the committed offsets; asking again");
                    #[expect(clippy::disallowed_methods, reason = "no runtime's thread")]
                    std::thread::sleep(ASK_AGAIN);
                }
            }
        }
        None
    }

    /// Records an assignment. `paused` is the state in which its partitions are recorded. After a failed pause or
    /// resume (`again`), it is the opposite of the wanted state, so that the call is repeated.
    fn assigned(&self, list: &TopicPartitionList, paused: bool, again: bool) {
        let partitions = partitions(list);
        let number = self.shared.assignments.fetch_add(1, Ordering::Relaxed);
        self.shared
            .sought
            .lock()
            .retain(|partition, _| !partitions.contains(partition));
        {
            let mut flow = self.shared.flow.lock();
            for partition in &partitions {
                flow.held.remove(partition);
                flow.paused.remove(partition);
            }
            if paused {
                flow.paused.extend(partitions.iter().cloned());
            }
            flow.changed |= again;
        }
        self.shared
            .owned
            .lock()
            .extend(partitions.iter().map(|partition| (partition.clone(), number)));
        self.shared.fetching.assigned();
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

/// Replaces each missing offset by the start of its partition. Returns the first error of a partition, if one has an
/// error.
fn begin(committed: TopicPartitionList) -> Result<TopicPartitionList, KafkaError> {
    for mut element in committed.elements() {
        element.error()?;
        if element.offset() == Offset::Invalid {
            element.set_offset(Offset::Beginning)?;
        }
    }
    Ok(committed)
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
