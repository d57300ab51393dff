//! A member of a Kafka consumer group.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use super::{
    CALL_TIMEOUT,
    admin::blocking,
    classify_offsets,
    client::MemberConfig,
    describe,
    exchange::{Loss, PollerEvent, Seek, SeekTarget, native},
    fetching::Fetching,
    link::ConsumerLink,
    logs,
    transaction::{Fence, Transactions},
};
use crate::{
    error::BusError,
    member::{Member, Polled},
    record::{OutRecord, Partition, Record},
};
use async_trait::async_trait;
use rdkafka::{
    ClientConfig, Offset,
    consumer::{CommitMode, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

/// The longest wait for the polling thread.
const THREAD_TIMEOUT: Duration = Duration::from_secs(15);

/// The state of an assigned partition.
struct Assignment {
    number: u64,
    /// The number of the last seek, until it has succeeded. Until then the partition's records are discarded, since
    /// they are from before the seek.
    seeking: Option<u64>,
}

pub(super) struct KafkaMember {
    base: ClientConfig,
    membership: MemberConfig,
    link: ConsumerLink,
    last_seek: u64,
    /// The partitions that are assigned and not released, by the events that the member has received.
    assigned: HashMap<Partition, Assignment>,
    /// Records that were received and not handed out.
    ready: VecDeque<Record>,
    /// Events received after those records and not handled, in order.
    pending: VecDeque<PollerEvent>,
    /// Answered once the partitions revoked last are released.
    releasing: Option<mpsc::SyncSender<()>>,
    /// Set after the client was lost: once all partitions are released, the member needs a new link.
    relinking: bool,
    transactions: Transactions,
}

impl KafkaMember {
    pub(super) fn join(base: &ClientConfig, membership: MemberConfig) -> Result<Self, BusError> {
        Ok(Self {
            base: base.clone(),
            link: ConsumerLink::new(base, &membership, Fetching::new(membership.reading_patience))?,
            transactions: Transactions::new(base.clone(), &membership.group),
            membership,
            last_seek: 0,
            assigned: HashMap::new(),
            ready: VecDeque::new(),
            pending: VecDeque::new(),
            releasing: None,
            relinking: false,
        })
    }

    /// Simulates the loss of all brokers by two reports that name none.
    #[cfg(test)]
    pub(super) fn lose_brokers(&self) {
        for _ in 0..2 {
            self.link.shared.report(b"{}");
        }
    }

    /// Makes the client stop reading its partitions, although the member still owns them, and the watch notice it.
    #[cfg(test)]
    pub(super) fn stop_reading(&self) {
        let owned: Vec<Partition> = self.assigned.keys().cloned().collect();
        let list = native(owned.into_iter().map(|partition| (partition, None)));
        self.link.consumer.incremental_unassign(&list).unwrap();
        self.link.shared.fetching.declare_still();
    }

    /// Handles the loss of the client: the member releases its partitions and then joins again through a new one.
    fn lost(&mut self, loss: Loss) -> Option<Polled> {
        let group = &self.membership.group;
        match loss {
            Loss::Brokers => {
                tracing::warn!(%group, "a consumer has lost all brokers; it joins again through a new client");
            }
            Loss::Reading => {
                tracing::warn!(%group, "a consumer does not read its partitions; it joins again through a new client");
            }
        }
        metrics::counter!("carillon_bus_rejoins_total", "group" => group.clone()).increment(1);
        self.relinking = true;
        self.link.shared.disown();
        self.ready.clear();
        self.pending.clear();
        self.releasing = None;
        let partitions: Vec<Partition> = self.assigned.keys().cloned().collect();
        (!partitions.is_empty()).then_some(Polled::Revoked(partitions))
    }

    /// The next event, or the error of a step that was begun and not awaited. Cancel-safe.
    async fn next_event(&mut self) -> Result<PollerEvent, BusError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            tokio::select! {
                event = self.link.events.recv() => return Ok(self.heard(event.ok_or(BusError::Closed)?)),
                Some(ended) = self.transactions.settle(), if self.transactions.is_running() => ended?,
            }
        }
    }

    /// Takes the events that are available, so that a member that has fallen behind gets larger batches and catches
    /// up.
    fn gather(&mut self, max: usize) {
        while self.ready.len() < max {
            match self.pending.pop_front() {
                Some(PollerEvent::Records(records)) => self.ready.extend(records),
                Some(event) => return self.pending.push_front(event),
                None => match self.link.events.try_recv() {
                    Ok(event) => {
                        let event = self.heard(event);
                        self.pending.push_back(event);
                    }
                    Err(_) => return,
                },
            }
        }
    }

    fn hand_out(&mut self, max: usize) -> Polled {
        let count = max.min(self.ready.len());
        Polled::Records(self.ready.drain(..count).collect())
    }

    /// Counts an error of the client. The client recovers by itself from every error that it does not call fatal,
    /// once a broker is back, a topic is created or a permission is granted. Many such errors may be queued by then,
    /// and they must not delay the records that were read since. An error of one partition does not affect the
    /// others. Fatal errors are returned.
    fn failed(&mut self, error: KafkaError) -> Result<(), BusError> {
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
            || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        if is_fatal {
            return Err(BusError::Kafka(error));
        }
        let text = describe(&error);
        metrics::counter!("carillon_bus_poll_errors_total", "group" => self.membership.group.clone())
            .increment(1);
        if let Some(left_out) = logs::admit(&format!("{} {text}", self.membership.group)) {
            tracing::warn!(group = %self.membership.group, error = text, left_out, "polling failed; the client tries again");
        }
        Ok(())
    }

    fn forget(&mut self, partition: &Partition) {
        self.ready
            .retain(|record| record.topic != partition.topic || record.partition != partition.index);
    }

    /// The next event from the thread, without records from before a seek. Cancel-safe.
    async fn receive(&mut self) -> Result<PollerEvent, BusError> {
        let event = self.link.events.recv().await.ok_or(BusError::Closed)?;
        Ok(self.heard(event))
    }

    fn heard(&self, mut event: PollerEvent) -> PollerEvent {
        if let PollerEvent::Records(records) = &mut event {
            self.link
                .shared
                .waiting
                .fetch_sub(records.iter().map(Record::size).sum(), Ordering::AcqRel);
            let assigned = &self.assigned;
            records.retain(|record| !is_seeking(assigned, record));
        }
        event
    }

    /// Whether partitions have to be released before anything else: the thread, or a new client, waits for that.
    fn is_leaving(&self) -> bool {
        self.releasing.is_some()
            || self.relinking
            || self.link.is_lost()
            || self
                .pending
                .iter()
                .any(|event| matches!(event, PollerEvent::Revoked(..)))
    }

    /// Moves partitions to other offsets. After an error or a cancellation, none of their records are handed out
    /// until another seek succeeds or the partitions are assigned again.
    async fn seek_all(&mut self, targets: &[(Partition, Option<i64>)]) -> Result<(), BusError> {
        self.last_seek += 1;
        let number = self.last_seek;
        let mut known = Vec::with_capacity(targets.len());
        for (partition, offset) in targets {
            if let Some(assignment) = self.assigned.get_mut(partition) {
                assignment.seeking = Some(number);
                known.push(SeekTarget {
                    partition: partition.clone(),
                    assignment: assignment.number,
                    offset: *offset,
                });
            }
        }
        if known.is_empty() {
            return Ok(());
        }
        let assigned = &self.assigned;
        self.ready.retain(|record| !is_seeking(assigned, record));
        if self.is_leaving() {
            return Err(BusError::Revoked);
        }
        for event in &mut self.pending {
            if let PollerEvent::Records(records) = event {
                records.retain(|record| !is_seeking(assigned, record));
            }
        }
        let seek = Seek {
            number,
            targets: known,
        };
        self.link.seeks.send(seek).map_err(|_| BusError::Closed)?;
        let deadline = tokio::time::Instant::now() + THREAD_TIMEOUT;
        loop {
            let Ok(event) = tokio::time::timeout_at(deadline, self.receive()).await else {
                return Err(BusError::Unavailable("the polling thread is busy".to_owned()));
            };
            match event? {
                PollerEvent::Sought(ended, results) if ended == number => return self.sought(ended, results),
                PollerEvent::Sought(earlier, results) => drop(self.sought(earlier, results)),
                event => {
                    self.pending.push_back(event);
                    if self.is_leaving() {
                        return Err(BusError::Revoked);
                    }
                }
            }
        }
    }

    /// Takes in the result of a seek: its partitions are at their targets, except those for which it failed.
    fn sought(
        &mut self,
        number: u64,
        results: Vec<(Partition, Result<(), KafkaError>)>,
    ) -> Result<(), BusError> {
        let mut ended = Ok(());
        for (partition, result) in results {
            match (result, self.assigned.get_mut(&partition)) {
                (Ok(()), Some(assignment)) if assignment.seeking == Some(number) => assignment.seeking = None,
                (Err(error), _) => {
                    tracing::debug!(group = %self.membership.group, ?partition, %error, "a seek failed");
                    // The partition is still assigned, so the seek can be tried again after any error.
                    ended = Err(BusError::Unavailable(format!("seek: {}", describe(&error))));
                }
                _ => {}
            }
        }
        ended
    }

    /// The assignments on which a commit relies.
    fn assignments(&self, offsets: &[(Partition, i64)]) -> Result<Vec<(Partition, u64)>, BusError> {
        offsets
            .iter()
            .map(|(partition, _)| match self.assigned.get(partition) {
                Some(assignment) => Ok((partition.clone(), assignment.number)),
                None => Err(BusError::Revoked),
            })
            .collect()
    }
}

fn is_seeking(assigned: &HashMap<Partition, Assignment>, record: &Record) -> bool {
    assigned
        .get(&record.position().partition())
        .is_some_and(|assignment| assignment.seeking.is_some())
}

#[async_trait]
impl Member for KafkaMember {
    async fn poll(&mut self, max: usize) -> Result<Polled, BusError> {
        loop {
            if !self.ready.is_empty() {
                self.gather(max);
                return Ok(self.hand_out(max));
            }
            if self.relinking && self.assigned.is_empty() {
                let fetching = self.link.shared.fetching.of_the_next();
                self.link = ConsumerLink::new(&self.base, &self.membership, fetching)?;
                self.relinking = false;
            }
            match self.next_event().await? {
                PollerEvent::Records(records) => self.ready.extend(records),
                PollerEvent::Assigned(partitions, number) => {
                    self.link.shared.let_go(&partitions);
                    for partition in &partitions {
                        let assignment = Assignment {
                            number,
                            seeking: None,
                        };
                        self.assigned.insert(partition.clone(), assignment);
                    }
                    return Ok(Polled::Assigned(partitions));
                }
                PollerEvent::Revoked(partitions, drained) => {
                    for partition in &partitions {
                        self.forget(partition);
                    }
                    self.releasing = Some(drained);
                    return Ok(Polled::Revoked(partitions));
                }
                // The caller of this seek was cancelled, or has already received the error.
                PollerEvent::Sought(number, results) => drop(self.sought(number, results)),
                PollerEvent::Failed(error) => self.failed(error)?,
                PollerEvent::Lost(loss) => {
                    if let Some(revoked) = self.lost(loss) {
                        return Ok(revoked);
                    }
                }
            }
        }
    }

    async fn release(&mut self, partitions: &[Partition]) {
        self.link.shared.let_go(partitions);
        for partition in partitions {
            self.assigned.remove(partition);
        }
        if let Some(drained) = self.releasing.take() {
            // The receiver is gone if the thread has stopped waiting.
            let _ = drained.try_send(());
        }
    }

    async fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        if self.link.is_lost() || !self.link.shared.owns(&self.assignments(offsets)?) {
            return Err(BusError::Revoked);
        }
        let list = offset_list(offsets);
        let consumer = Arc::clone(&self.link.consumer);
        blocking(move || consumer.commit(&list, CommitMode::Sync).map_err(classify_offsets)).await
    }

    async fn begin(&mut self, out: Vec<OutRecord>, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        let fence = Fence {
            consumer: Arc::clone(&self.link.consumer),
            shared: Arc::clone(&self.link.shared),
            assignments: self.assignments(offsets)?,
        };
        self.transactions.begin(out, offset_list(offsets), fence).await
    }

    async fn settle(&mut self) -> Result<(), BusError> {
        self.transactions.settle().await.unwrap_or(Ok(()))
    }

    async fn commit_with(
        &mut self,
        out: Vec<OutRecord>,
        offsets: &[(Partition, i64)],
    ) -> Result<(), BusError> {
        self.begin(out, offsets).await?;
        self.settle().await
    }

    fn pause(&mut self, partition: &Partition) -> Result<(), BusError> {
        self.link.shared.hold(partition);
        Ok(())
    }

    fn resume(&mut self, partition: &Partition) -> Result<(), BusError> {
        self.link.shared.let_go([partition]);
        Ok(())
    }

    async fn seek(&mut self, partition: &Partition, offset: i64) -> Result<(), BusError> {
        self.seek_all(&[(partition.clone(), Some(offset))]).await
    }

    async fn rewind(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        // A step that was not awaited still moves the committed offsets.
        self.transactions.settle().await;
        if self.is_leaving() {
            return Err(BusError::Revoked);
        }
        if partitions.is_empty() {
            return Ok(());
        }
        let (consumer, asked) = (
            Arc::clone(&self.link.consumer),
            native(partitions.iter().map(|partition| (partition.clone(), None))),
        );
        let committed = blocking(move || {
            consumer
                .committed_offsets(asked, CALL_TIMEOUT)
                .map_err(classify_offsets)
        })
        .await?;
        let mut targets = Vec::with_capacity(partitions.len());
        for element in committed.elements() {
            element.error().map_err(classify_offsets)?;
            let partition = Partition {
                topic: Arc::from(element.topic()),
                index: element.partition(),
            };
            let offset = if let Offset::Offset(offset) = element.offset() {
                Some(offset)
            } else {
                None
            };
            targets.push((partition, offset));
        }
        self.seek_all(&targets).await?;
        tracing::debug!(group = %self.membership.group, "rewound to the committed offsets");
        Ok(())
    }
}

fn offset_list(offsets: &[(Partition, i64)]) -> rdkafka::TopicPartitionList {
    native(
        offsets
            .iter()
            .map(|(partition, next)| (partition.clone(), Some(*next))),
    )
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        if let Some(drained) = self.releasing.take() {
            let _ = drained.try_send(());
        }
    }
}
