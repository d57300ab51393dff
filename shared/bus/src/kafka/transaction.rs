//! The atomic step: records and offsets in one Kafka transaction, fenced by the group's metadata (KIP-447), so that
//! members need no fixed names.

use std::{
    collections::VecDeque,
    sync::Arc,
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
    classify, classify_for,
    client::{self, TRANSACTION_TIMEOUT},
    describe, is_forbidden, native_headers,
    poller::{Callbacks, Shared},
};
use crate::{
    error::BusError,
    record::{OutRecord, Partition},
};

type Native = ThreadedProducer<Brokers>;

/// How long aborting may take; then the producer is given up, and the broker aborts by itself.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries of a call.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks at whether everything was delivered.
const LOOK: Duration = Duration::from_micros(500);
/// A coordinator that still writes the end of a producer's transaction refuses its next one for that long: two take turns.
const PRODUCERS: usize = 2;

/// A transactional producer.
struct Producer {
    native: Native,
    brokers: Brokers,
}

/// A member's transactional producers, made when they are first needed, and anew after a fatal error.
pub(super) struct Transactions {
    base: ClientConfig,
    group: String,
    /// The one that has rested longest comes first.
    producers: VecDeque<Producer>,
    /// A transaction that was begun and perhaps not waited for.
    running: Option<JoinHandle<Ended>>,
}

/// A transaction's result, and its producer if that is still good.
struct Ended {
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

    /// Begins to write the records and to commit the offsets, or neither, when the transaction before has succeeded;
    /// if it has not, that is what is returned, and nothing is begun.
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
        self.running = Some(tokio::task::spawn_blocking(move || {
            match step(&producer.native, &out, &offsets, &fence) {
                Ok(()) => Ended {
                    producer: Some(producer),
                    result: Ok(()),
                },
                Err(Failure::Aborted(error)) => Ended {
                    producer: Some(producer),
                    result: Err(error),
                },
                // The producer is fenced or broken: another takes its place.
                Err(Failure::Fatal(error)) => Ended {
                    producer: None,
                    result: Err(error),
                },
            }
        }));
        Ok(())
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Waits for a transaction that was begun. Cancel-safe.
    pub(super) async fn settle(&mut self) -> Option<Result<(), BusError>> {
        let joined = self.running.as_mut()?.await;
        self.running = None;
        let Ok(ended) = joined else {
            return Some(Err(BusError::Closed));
        };
        match ended.producer {
            Some(producer) if !producer.brokers.are_lost() => self.producers.push_back(producer),
            // Leaving it may take a moment.
            lost => drop(tokio::task::spawn_blocking(move || drop(lost))),
        }
        Some(ended.result)
    }

    async fn start(&self) -> Result<Producer, BusError> {
        let id = format!("{}-{}", self.group, Uuid::now_v7());
        let config = client::transactional(&self.base, &id);
        blocking(move || {
            let brokers = Brokers::default();
            let native: Native = config.create_with_context(brokers.clone()).map_err(classify)?;
            native.init_transactions(TRANSACTION_TIMEOUT).map_err(classify)?;
            Ok(Producer { native, brokers })
        })
        .await
    }
}

/// What tells whether the member may still commit.
pub(super) struct Fence {
    pub(super) consumer: Arc<BaseConsumer<Callbacks>>,
    pub(super) shared: Arc<Shared>,
    /// The partitions of the offsets, as they were assigned.
    pub(super) assignments: Vec<(Partition, u64)>,
}

/// Why a transaction did not come about.
enum Cause {
    Revoked,
    /// A record is perhaps not written.
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
    producer: &Native,
    out: &[OutRecord],
    offsets: &TopicPartitionList,
    fence: &Fence,
) -> Result<(), Failure> {
    let cause = match attempt(producer, out, offsets, fence) {
        Ok(()) => return Ok(()),
        Err(cause) => cause,
    };
    let (error, fatal) = match cause {
        Cause::Revoked => (BusError::Revoked, false),
        Cause::Doubtful => {
            let text = "a record of a transaction is perhaps not written";
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
    producer: &Native,
    out: &[OutRecord],
    offsets: &TopicPartitionList,
    fence: &Fence,
) -> Result<(), Cause> {
    // After that the broker has aborted it.
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
        // The metadata first: partitions that are lost after the check have a newer generation, which fences us.
        let group = fence.consumer.group_metadata().ok_or(Cause::Revoked)?;
        if !fence.shared.owns(&fence.assignments) {
            return Err(Cause::Revoked);
        }
        retrying(producer, deadline, |left| {
            producer.send_offsets_to_transaction(offsets, &group, left)
        })?;
    }
    // The commit would wait for deliveries too, but in steps of 100 ms.
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        // The producer's own thread polls; a poll of less than a millisecond would not wait at all.
        #[expect(clippy::disallowed_methods, reason = "no runtime's thread")]
        std::thread::sleep(LOOK);
    }
    if brokers.take_doubt() {
        return Err(Cause::Doubtful);
    }
    retrying(producer, deadline, |left| producer.commit_transaction(left))?;
    Ok(())
}

fn send(producer: &Native, record: &OutRecord) -> Result<(), KafkaError> {
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

/// librdkafka says which of its calls may simply be made again.
fn retrying(
    producer: &Native,
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

/// After an abort, reading the batch again is always right, but neither a record that is too large nor one that is
/// forbidden passes by that.
fn verdict(out: &[OutRecord], error: KafkaError) -> BusError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            // A broker does not say which one it was.
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
