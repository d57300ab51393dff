//! The atomic step: records and offsets in one Kafka transaction, fenced by the group's metadata (KIP-447), so that
//! members need no fixed names.

use std::sync::Arc;

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    admin::blocking,
    classify, classify_for,
    client::{self, TRANSACTION_TIMEOUT},
    describe, is_forbidden, native_headers,
    poller::{Callbacks, Shared},
};
use crate::{
    error::BusError,
    record::{OutRecord, Partition},
};

type Native = ThreadedProducer<DefaultProducerContext>;

/// A member's transactional producer, made when it is first needed, and anew after a fatal error.
pub(super) struct Transactions {
    base: ClientConfig,
    group: String,
    producer: Option<Arc<Native>>,
    /// A transaction that was begun and perhaps not waited for.
    running: Option<JoinHandle<Ended>>,
}

/// A transaction's result, and its producer if that is still good.
struct Ended {
    producer: Option<Arc<Native>>,
    result: Result<(), BusError>,
}

impl Transactions {
    pub(super) fn new(base: ClientConfig, group: &str) -> Self {
        Self {
            base,
            group: group.to_owned(),
            producer: None,
            running: None,
        }
    }

    /// Writes the records and commits the offsets, or neither.
    pub(super) async fn run(
        &mut self,
        out: Vec<OutRecord>,
        offsets: TopicPartitionList,
        fence: Fence,
    ) -> Result<(), BusError> {
        self.settle().await;
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.start().await?,
        };
        self.running = Some(tokio::task::spawn_blocking(move || {
            match step(&producer, &out, &offsets, &fence) {
                Ok(()) => Ended {
                    producer: Some(producer),
                    result: Ok(()),
                },
                Err(Failure::Aborted(error)) => Ended {
                    producer: Some(producer),
                    result: Err(error),
                },
                // The producer is fenced or broken: the next transaction gets a new one.
                Err(Failure::Fatal(error)) => Ended {
                    producer: None,
                    result: Err(error),
                },
            }
        }));
        self.settle().await.unwrap_or(Err(BusError::Closed))
    }

    /// Waits for a transaction that was begun. Cancel-safe.
    pub(super) async fn settle(&mut self) -> Option<Result<(), BusError>> {
        let joined = self.running.as_mut()?.await;
        self.running = None;
        let Ok(ended) = joined else {
            return Some(Err(BusError::Closed));
        };
        self.producer = ended.producer;
        Some(ended.result)
    }

    async fn start(&self) -> Result<Arc<Native>, BusError> {
        let id = format!("{}-{}", self.group, Uuid::now_v7());
        let config = client::transactional(&self.base, &id);
        blocking(move || {
            let producer: Native = config.create().map_err(classify)?;
            producer
                .init_transactions(TRANSACTION_TIMEOUT)
                .map_err(classify)?;
            Ok(Arc::new(producer))
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
        Cause::TooLarge(error) => (error, false),
        Cause::Kafka(error) => {
            let fatal = is_fatal(&error);
            (verdict(out, error), fatal)
        }
    };
    if fatal || producer.abort_transaction(TRANSACTION_TIMEOUT).is_err() {
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
        retrying(|| producer.send_offsets_to_transaction(offsets, &group, TRANSACTION_TIMEOUT))?;
    }
    retrying(|| producer.commit_transaction(TRANSACTION_TIMEOUT))?;
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
                producer.flush(std::time::Duration::from_millis(50)).ok();
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// librdkafka says which of its calls may simply be made again.
fn retrying(mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    for _ in 0..5 {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !error.txn_requires_abort() => {}
            ended => return ended,
        }
    }
    call()
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
