//! A member of a Kafka consumer group.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    CALL_TIMEOUT,
    admin::blocking,
    classify, client,
    poller::{self, Callbacks, Event, Shared, native},
    transaction::{Fence, Transactions},
};
use crate::{
    error::BusError,
    member::{Member, Polled},
    record::{OutRecord, Partition, Record},
};

/// How often it is said that polling fails.
const COMPLAINTS: Duration = Duration::from_secs(5);

pub(super) struct KafkaMember {
    consumer: Arc<BaseConsumer<Callbacks>>,
    shared: Arc<Shared>,
    events: UnboundedReceiver<Event>,
    /// Records that were received and not handed out.
    ready: VecDeque<Record>,
    /// Other events that were received and not handed out.
    pending: VecDeque<Event>,
    /// To be answered when the partitions last revoked are released.
    releasing: Option<mpsc::SyncSender<()>>,
    transactions: Transactions,
    group: String,
    /// When it was last said that polling fails.
    complained: Option<Instant>,
}

impl KafkaMember {
    pub(super) fn join(
        base: &ClientConfig,
        session_timeout: Duration,
        group: &str,
        topics: &[Arc<str>],
    ) -> Result<Self, BusError> {
        let shared = Arc::new(Shared::default());
        let (sender, events) = unbounded_channel();
        let callbacks = Callbacks {
            shared: Arc::clone(&shared),
            events: sender.clone(),
        };
        let consumer: BaseConsumer<Callbacks> = client::consumer(base, group, session_timeout)
            .create_with_context(callbacks)
            .map_err(classify)?;
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        consumer.subscribe(&names).map_err(classify)?;
        let consumer = Arc::new(consumer);
        let (polled, topics) = (Arc::clone(&consumer), topics.to_vec());
        let callbacks = Callbacks {
            shared: Arc::clone(&shared),
            events: sender,
        };
        std::thread::Builder::new()
            .name(format!("poll {group}"))
            .spawn(move || poller::run(&polled, &callbacks, &topics))
            .map_err(|error| BusError::Unavailable(error.to_string()))?;
        Ok(Self {
            consumer,
            shared,
            events,
            ready: VecDeque::new(),
            pending: VecDeque::new(),
            releasing: None,
            transactions: Transactions::new(base.clone(), group),
            group: group.to_owned(),
            complained: None,
        })
    }

    fn hand_out(&mut self, max: usize) -> Polled {
        let count = max.min(self.ready.len());
        Polled::Records(self.ready.drain(..count).collect())
    }

    /// The client goes on by itself when a broker is away: many such errors may have gathered by the time that it is
    /// back, and none may hold up what was read since. Only one from which no client recovers is passed on.
    fn failed(&mut self, error: KafkaError) -> Result<(), BusError> {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            return Err(classify(error));
        }
        metrics::counter!("carillon_bus_poll_errors_total", "group" => self.group.clone()).increment(1);
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINTS) {
            self.complained = Some(Instant::now());
            tracing::warn!(group = %self.group, error = describe(&error), "polling failed; the client tries again");
        }
        Ok(())
    }

    fn forget(&mut self, partition: &Partition) {
        self.ready
            .retain(|record| record.topic != partition.topic || record.partition != partition.index);
    }

    fn single(partition: &Partition) -> TopicPartitionList {
        native([(partition.clone(), None)])
    }
}

#[async_trait]
impl Member for KafkaMember {
    async fn poll(&mut self, max: usize) -> Result<Polled, BusError> {
        loop {
            if !self.ready.is_empty() {
                return Ok(self.hand_out(max));
            }
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None => self.events.recv().await.ok_or(BusError::Closed)?,
            };
            match event {
                Event::Records(records) => {
                    self.shared
                        .waiting
                        .fetch_sub(records.iter().map(Record::size).sum(), Ordering::AcqRel);
                    self.ready.extend(records);
                }
                Event::Assigned(partitions) => return Ok(Polled::Assigned(partitions)),
                Event::Revoked(partitions, drained) => {
                    for partition in &partitions {
                        self.forget(partition);
                    }
                    self.releasing = Some(drained);
                    return Ok(Polled::Revoked(partitions));
                }
                Event::Failed(error) => self.failed(error)?,
            }
        }
    }

    async fn release(&mut self, partitions: &[Partition]) {
        let mut held = self.shared.held.lock();
        for partition in partitions {
            held.remove(partition);
        }
        if let Some(drained) = self.releasing.take() {
            // The thread waits only so long.
            let _ = drained.try_send(());
        }
    }

    async fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        let list = native(
            offsets
                .iter()
                .map(|(partition, next)| (partition.clone(), Some(*next))),
        );
        if !self.shared.owns(&list) {
            return Err(BusError::Revoked);
        }
        let consumer = Arc::clone(&self.consumer);
        blocking(move || consumer.commit(&list, CommitMode::Sync).map_err(classify)).await
    }

    async fn commit_with(
        &mut self,
        out: Vec<OutRecord>,
        offsets: &[(Partition, i64)],
    ) -> Result<(), BusError> {
        let list = native(
            offsets
                .iter()
                .map(|(partition, next)| (partition.clone(), Some(*next))),
        );
        let fence = Fence {
            consumer: Arc::clone(&self.consumer),
            shared: Arc::clone(&self.shared),
        };
        self.transactions.run(out, list, fence).await
    }

    fn pause(&mut self, partition: &Partition) -> Result<(), BusError> {
        self.shared.held.lock().insert(partition.clone());
        ignore_unassigned(self.consumer.pause(&Self::single(partition)))
    }

    fn resume(&mut self, partition: &Partition) -> Result<(), BusError> {
        self.shared.held.lock().remove(partition);
        ignore_unassigned(self.consumer.resume(&Self::single(partition)))
    }

    async fn seek(&mut self, partition: &Partition, offset: i64) -> Result<(), BusError> {
        self.discard_until_now(partition);
        let (consumer, list) = (
            Arc::clone(&self.consumer),
            native([(partition.clone(), Some(offset))]),
        );
        blocking(move || {
            consumer
                .seek_partitions(list, CALL_TIMEOUT)
                .map(drop)
                .map_err(classify)
        })
        .await?;
        self.discard_until_now(partition);
        Ok(())
    }

    async fn rewind(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        let (consumer, asked) = (
            Arc::clone(&self.consumer),
            native(partitions.iter().map(|partition| (partition.clone(), None))),
        );
        let committed =
            blocking(move || consumer.committed_offsets(asked, CALL_TIMEOUT).map_err(classify)).await?;
        let committed: Vec<(Partition, Option<i64>)> = committed
            .elements()
            .iter()
            .map(|element| {
                let partition = Partition {
                    topic: Arc::from(element.topic()),
                    index: element.partition(),
                };
                (
                    partition,
                    if let Offset::Offset(offset) = element.offset() {
                        Some(offset)
                    } else {
                        None
                    },
                )
            })
            .collect();
        for (partition, offset) in committed {
            let offset = if let Some(offset) = offset {
                offset
            } else {
                let (consumer, partition) = (Arc::clone(&self.consumer), partition.clone());
                blocking(move || {
                    consumer
                        .fetch_watermarks(&partition.topic, partition.index, CALL_TIMEOUT)
                        .map(|(low, _)| low)
                        .map_err(classify)
                })
                .await?
            };
            self.seek(&partition, offset).await?;
        }
        tracing::debug!(group = %self.group, "rewound to the committed offsets");
        Ok(())
    }
}

impl KafkaMember {
    /// Throws away what was polled of a partition, here and on its way from the thread.
    fn discard_until_now(&mut self, partition: &Partition) {
        self.forget(partition);
        let mut kept = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            kept.push(event);
        }
        // Only records are filtered; other events are put back in their order behind them.
        let (mut records, mut others) = (Vec::new(), Vec::new());
        for event in kept {
            match event {
                Event::Records(batch) => records.extend(batch),
                other => others.push(other),
            }
        }
        self.shared
            .waiting
            .fetch_sub(records.iter().map(Record::size).sum(), Ordering::AcqRel);
        records.retain(|record| record.topic != partition.topic || record.partition != partition.index);
        self.ready.extend(records);
        for event in others {
            self.pending.push_back(event);
        }
    }
}

/// Pausing what is no longer ours is no error.
fn ignore_unassigned(result: Result<(), KafkaError>) -> Result<(), BusError> {
    match result {
        Err(error)
            if !matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::State)
            ) =>
        {
            Err(classify(error))
        }
        _ => Ok(()),
    }
}

fn describe(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"))
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(drained) = self.releasing.take() {
            let _ = drained.try_send(());
        }
    }
}
