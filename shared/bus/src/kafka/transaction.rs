//! The atomic step: records and offsets in one Kafka transaction, fenced by the group's metadata (KIP-447), so that
//! members need no fixed names.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    admin::blocking,
    brokers::Brokers,
    callbacks::Callbacks,
    classify, classify_for,
    client::{self, TRANSACTION_TIMEOUT},
    describe,
    exchange::Shared,
    is_forbidden, native_headers,
};
use crate::{
    error::BusError,
    record::{OutRecord, Partition},
};

type TransactionProducer = ThreadedProducer<Brokers>;

/// The longest time of an abort. After it the producer is given up, and the broker aborts the transaction by itself.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which a transaction is given up, unless it is being committed. librdkafka's call that adds the offsets
/// may block for minutes past its timeout after the group's coordinator has gone
/// ([librdkafka#5456](https://github.com/confluentinc/librdkafka/issues/5456), 1.4 to 2.14 at least).
const PATIENCE: Duration = TRANSACTION_TIMEOUT.saturating_add(Duration::from_secs(1));
/// The pause between two tries of a call.
const PAUSE: Duration = Duration::from_millis(10);
/// The interval at which the producer's queue is checked for undelivered records.
const LOOK: Duration = Duration::from_micros(500);
/// The number of producers, which take turns: a coordinator that is still writing the end of a producer's transaction
/// refuses the next one of that producer.
const PRODUCERS: usize = 2;

/// A transactional producer.
struct Producer {
    native: TransactionProducer,
    brokers: Brokers,
}

/// The transactional producers of a member. They are created on first use, and replaced after a fatal error.
pub(super) struct Transactions {
    base: ClientConfig,
    group: String,
    /// The producers at rest, the one longest at rest first.
    producers: VecDeque<Producer>,
    /// A transaction that was begun and may not have been awaited.
    running: Option<Running>,
}

struct Running {
    task: JoinHandle<EndedTransaction>,
    fate: Arc<Fate>,
    /// The time at which it is given up.
    until: tokio::time::Instant,
}

impl Running {
    fn new(task: JoinHandle<EndedTransaction>, fate: Arc<Fate>) -> Self {
        Self {
            task,
            fate,
            until: tokio::time::Instant::now() + PATIENCE,
        }
    }
}

/// Whether a transaction is committed or given up. Its own thread and the member that waits for it each may decide, and the
/// first decision holds: a transaction whose records are read again is never committed.
#[derive(Default)]
struct Fate(AtomicU8);

impl Fate {
    const OPEN: u8 = 0;
    const COMMITTED: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Decides for the commit; false if the transaction was given up.
    fn commit(&self) -> bool {
        self.decide(Self::COMMITTED)
    }

    /// Gives the transaction up; false if it is being committed.
    fn give_up(&self) -> bool {
        self.decide(Self::GIVEN_UP)
    }

    fn decide(&self, fate: u8) -> bool {
        self.0
            .compare_exchange(Self::OPEN, fate, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

/// The result of a transaction, and its producer if it is still usable.
struct EndedTransaction {
    producer: Option<Producer>,
    result: Result<(), BusError>,
}

impl Transactions {
    pub(super) fn new(base: ClientConfig, group: &str) -> Self {
        Self {
            base,
            group: group.to_owned(),
            producers: VecDeque::with_capacity(PRODUCERS),
            running: None,
        }
    }

    /// Begins to write the records and to commit the offsets, as one transaction. If the transaction before has
    /// failed, its error is returned and nothing is begun.
    pub(super) async fn begin(
        &mut self,
        out: Vec<OutRecord>,
        offsets: TopicPartitionList,
        fence: Fence,
    ) -> Result<(), BusError> {
        self.settle().await.unwrap_or(Ok(()))?;
        let producer = if self.producers.len() < PRODUCERS {
            self.start().await?
        } else {
            self.producers.pop_front().ok_or(BusError::Closed)?
        };
        let fate = Arc::new(Fate::default());
        let decided = Arc::clone(&fate);
        let task = tokio::task::spawn_blocking(move || {
            match step(&producer.native, &out, &offsets, fence, &decided) {
                Ok(()) => EndedTransaction {
                    producer: Some(producer),
                    result: Ok(()),
                },
                Err(Failure::Aborted(error)) => EndedTransaction {
                    producer: Some(producer),
                    result: Err(error),
                },
                // The producer is fenced or broken; another one replaces it.
                Err(Failure::Fatal(error)) => EndedTransaction {
                    producer: None,
                    result: Err(error),
                },
            }
        });
        self.running = Some(Running::new(task, fate));
        Ok(())
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Waits for the end of the transaction that was begun, if there is one; gives it up after [`PATIENCE`]. Cancel-safe.
    pub(super) async fn settle(&mut self) -> Option<Result<(), BusError>> {
        let running = self.running.as_mut()?;
        let joined = match tokio::time::timeout_at(running.until, &mut running.task).await {
            Ok(joined) => joined,
            Err(_) if running.fate.give_up() => {
                // Its thread and its producer end when librdkafka's call returns. The broker has aborted the transaction.
                self.running = None;
                let text = "a transaction took longer than its time limit and was given up";
                return Some(Err(BusError::Unavailable(text.to_owned())));
            }
            Err(_) => (&mut running.task).await,
        };
        self.running = None;
        let Ok(ended) = joined else {
            return Some(Err(BusError::Closed));
        };
        match ended.producer {
            Some(producer) if !producer.brokers.are_lost() => self.producers.push_back(producer),
            // Dropping a producer may block for a moment.
            lost => drop(tokio::task::spawn_blocking(move || drop(lost))),
        }
        Some(ended.result)
    }

    async fn start(&self) -> Result<Producer, BusError> {
        let id = format!("{}-{}", self.group, Uuid::now_v7());
        let config = client::transactional(&self.base, &id);
        blocking(move || {
            let brokers = Brokers::default();
            let native: TransactionProducer =
                config.create_with_context(brokers.clone()).map_err(classify)?;
            native.init_transactions(TRANSACTION_TIMEOUT).map_err(classify)?;
            Ok(Producer { native, brokers })
        })
        .await
    }
}

/// The check that the member may still commit.
pub(super) struct Fence {
    pub(super) consumer: Arc<BaseConsumer<Callbacks>>,
    pub(super) shared: Arc<Shared>,
    /// The partitions of the offsets, each with the number of its assignment.
    pub(super) assignments: Vec<(Partition, u64)>,
}

/// The reason for which a transaction failed.
enum Cause {
    Revoked,
    /// The transaction was given up.
    GivenUp,
    /// A record may not have been written.
    Doubtful,
    TooLarge(BusError),
    Kafka(KafkaError),
}

impl From<KafkaError> for Cause {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

enum Failure {
    Aborted(BusError),
    Fatal(BusError),
}

fn step(
    producer: &TransactionProducer,
    out: &[OutRecord],
    offsets: &TopicPartitionList,
    fence: Fence,
    fate: &Fate,
) -> Result<(), Failure> {
    let cause = match attempt(producer, out, offsets, fence, fate) {
        Ok(()) => return Ok(()),
        Err(cause) => cause,
    };
    let (error, fatal) = match cause {
        Cause::Revoked => (BusError::Revoked, false),
        // The transaction was given up, so the result has no receiver.
        Cause::GivenUp => (BusError::Closed, false),
        Cause::Doubtful => {
            let text = "a record of a transaction may not have been written";
            (BusError::Unavailable(text.to_owned()), false)
        }
        Cause::TooLarge(error) => (error, false),
        Cause::Kafka(error) => {
            let fatal = is_fatal(&error);
            (verdict(out, error), fatal)
        }
    };
    if fatal || producer.abort_transaction(ABORT_TIMEOUT).is_err() {
        return Err(Failure::Fatal(error));
    }
    Err(Failure::Aborted(error))
}

fn attempt(
    producer: &TransactionProducer,
    out: &[OutRecord],
    offsets: &TopicPartitionList,
    fence: Fence,
    fate: &Fate,
) -> Result<(), Cause> {
    // After this time the broker has aborted the transaction.
    let deadline = Instant::now() + TRANSACTION_TIMEOUT;
    let brokers = &**producer.client().context();
    brokers.take_doubt();
    producer.begin_transaction()?;
    for record in out {
        send(producer, record).map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Cause::TooLarge(classify_for(record, error)),
            _ => Cause::Kafka(error),
        })?;
    }
    if offsets.count() > 0 {
        // The metadata is read first: if a partition is lost after the check, the group has a newer generation, which
        // fences this commit.
        let group = fence.consumer.group_metadata().ok_or(Cause::Revoked)?;
        if !fence.shared.owns(&fence.assignments) {
            return Err(Cause::Revoked);
        }
        // The consumer can then be closed while the next call hangs.
        drop(fence);
        retrying(producer, deadline, |left| {
            producer.send_offsets_to_transaction(offsets, &group, left)
        })?;
    }
    // The commit would wait for deliveries too, but in steps of 100 ms.
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        // The producer's own thread polls. A poll of less than a millisecond would not wait at all.
        #[expect(clippy::disallowed_methods, reason = "no runtime's thread")]
        std::thread::sleep(LOOK);
    }
    if brokers.take_doubt() {
        return Err(Cause::Doubtful);
    }
    if !fate.commit() {
        return Err(Cause::GivenUp);
    }
    retrying(producer, deadline, |left| producer.commit_transaction(left))?;
    Ok(())
}

fn send(producer: &TransactionProducer, record: &OutRecord) -> Result<(), KafkaError> {
    let mut native = BaseRecord::<[u8], [u8]>::to(&record.topic)
        .payload(&record.value)
        .headers(native_headers(record));
    native.key = record.key.as_deref();
    loop {
        match producer.send(native) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                native = returned;
                producer.flush(Duration::from_millis(50)).ok();
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Repeats a call as long as librdkafka says that it may be repeated and the deadline is not reached.
fn retrying(
    producer: &TransactionProducer,
    deadline: Instant,
    mut call: impl FnMut(Duration) -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
        match call(left) {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && !error.txn_requires_abort() && Instant::now() < deadline =>
            {
                producer.poll(PAUSE);
            }
            ended => return ended,
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}

/// Turns an error into that of the step. After an abort the caller may read the batch again, except after an error
/// that would recur: a record that is too large, or a missing permission.
fn verdict(out: &[OutRecord], error: KafkaError) -> BusError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            // A broker does not name the record, so the largest one is named.
            match out.iter().max_by_key(|record| record.size()) {
                Some(largest) => classify_for(largest, error),
                None => classify(error),
            }
        }
        Some(code) if is_forbidden(code) => classify(error),
        _ => match classify(error) {
            BusError::Kafka(error) => {
                BusError::Unavailable(format!("the transaction was aborted: {}", describe(&error)))
            }
            other => other,
        },
    }
}

#[cfg(test)]
mod tests;
