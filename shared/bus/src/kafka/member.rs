//! A member of a Kafka consumer group.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use super::{
    CALL_TIMEOUT,
    admin::blocking,
    classify_offsets, describe,
    link::Link,
    logs,
    poller::{Event, Seek, Target, native},
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

/// How long the polling thread is waited for.
const THREAD_TIMEOUT: Duration = Duration::from_secs(15);

/// A partition of the member's.
struct Assignment {
    number: u64,
    /// The seek that has not succeeded yet: until then, what comes of the partition is not what was asked for.
    seeking: Option<u64>,
}

/// Of which group, and how.
pub(super) struct Membership {
    pub(super) group: String,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) session_timeout: Duration,
    /// Records may wait for others for a moment: fewer fetches.
    pub(super) gathers: bool,
}

pub(super) struct KafkaMember {
    base: ClientConfig,
    membership: Membership,
    link: Link,
    last_seek: u64,
    /// What was assigned and not released, as far as the member has heard.
    assigned: HashMap<Partition, Assignment>,
    /// Records that were received and not handed out.
    ready: VecDeque<Record>,
    /// Events behind those records that were received and not handed out, in order.
    pending: VecDeque<Event>,
    /// To be answered when the partitions last revoked are released.
    releasing: Option<mpsc::SyncSender<()>>,
    /// The link is lost: when everything is released there has to be a new one.
    relinking: bool,
    transactions: Transactions,
}

impl KafkaMember {
    pub(super) fn join(base: &ClientConfig, membership: Membership) -> Result<Self, BusError> {
        Ok(Self {
            base: base.clone(),
            link: Link::new(base, &membership)?,
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

    /// Two reports that name no broker.
    #[cfg(test)]
    pub(super) fn lose_brokers(&self) {
        for _ in 0..2 {
            self.link.shared.brokers.report(b"{}");
        }
    }

    /// The client will bring nothing more: all is given up, then the member joins anew.
    fn lost(&mut self) -> Option<Polled> {
        tracing::warn!(group = %self.membership.group, "a consumer had lost every broker; it joins anew");
        metrics::counter!("carillon_bus_rejoins_total", "group" => self.membership.group.clone())
            .increment(1);
        self.relinking = true;
        self.link.shared.disown();
        self.ready.clear();
        self.pending.clear();
        self.releasing = None;
        let partitions: Vec<Partition> = self.assigned.keys().cloned().collect();
        (!partitions.is_empty()).then_some(Polled::Revoked(partitions))
    }

    /// The next event; before it, that a step which nobody waits for has failed. Cancel-safe.
    async fn next_event(&mut self) -> Result<Event, BusError> {
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

    /// Takes what is there: who falls behind gets larger batches, and catches up.
    fn gather(&mut self, max: usize) {
        while self.ready.len() < max {
            match self.pending.pop_front() {
                Some(Event::Records(records)) => self.ready.extend(records),
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

    /// The client recovers by itself from every error that it does not call fatal: when a broker is back, a
    /// topic is created, a permission is granted. Many errors may be queued by then; they must not delay the
    /// records read since. An error of one partition does not affect the others. Fatal errors are passed on.
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
    async fn receive(&mut self) -> Result<Event, BusError> {
        let event = self.link.events.recv().await.ok_or(BusError::Closed)?;
        Ok(self.heard(event))
    }

    fn heard(&self, mut event: Event) -> Event {
        if let Event::Records(records) = &mut event {
            self.link
                .shared
                .waiting
                .fetch_sub(records.iter().map(Record::size).sum(), Ordering::AcqRel);
            let assigned = &self.assigned;
            records.retain(|record| !is_seeking(assigned, record));
        }
        event
    }

    /// Whether partitions are to be given up first: the thread, or its client, does nothing else until then.
    fn is_leaving(&self) -> bool {
        self.releasing.is_some()
            || self.relinking
            || self.link.is_lost()
            || self
                .pending
                .iter()
                .any(|event| matches!(event, Event::Revoked(..)))
    }

    /// Has partitions read from elsewhere. After an error, or when it is cancelled, nothing is handed out of them until
    /// another seek succeeds or they are assigned anew.
    async fn seek_all(&mut self, targets: &[(Partition, Option<i64>)]) -> Result<(), BusError> {
        self.last_seek += 1;
        let number = self.last_seek;
        let mut known = Vec::with_capacity(targets.len());
        for (partition, offset) in targets {
            if let Some(assignment) = self.assigned.get_mut(partition) {
                assignment.seeking = Some(number);
                known.push(Target {
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
            if let Event::Records(records) = event {
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
                Event::Sought(ended, results) if ended == number => return self.sought(ended, results),
                Event::Sought(earlier, results) => drop(self.sought(earlier, results)),
                event => {
                    self.pending.push_back(event);
                    if self.is_leaving() {
                        return Err(BusError::Revoked);
                    }
                }
            }
        }
    }

    /// A seek has ended: its partitions are where they ought to be, except for those where it failed.
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
                    // Whatever it is, the partition is ours and it can be tried again.
                    ended = Err(BusError::Unavailable(format!("seek: {}", describe(&error))));
                }
                _ => {}
            }
        }
        ended
    }

    /// The assignments that a commit relies on.
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
                self.link = Link::new(&self.base, &self.membership)?;
                self.relinking = false;
            }
            match self.next_event().await? {
                Event::Records(records) => self.ready.extend(records),
                Event::Assigned(partitions, number) => {
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
                Event::Revoked(partitions, drained) => {
                    for partition in &partitions {
                        self.forget(partition);
                    }
                    self.releasing = Some(drained);
                    return Ok(Polled::Revoked(partitions));
                }
                // Whoever asked for it went away, or was told of the failure.
                Event::Sought(number, results) => drop(self.sought(number, results)),
                Event::Failed(error) => self.failed(error)?,
                Event::Lost => {
                    if let Some(revoked) = self.lost() {
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
            // The thread waits only so long.
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
        // A step that nobody waited for still moves the committed offsets.
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
