//! Apache Kafka, through librdkafka.

mod admin;
mod client;
mod member;
mod poller;
mod transaction;

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
};

use crate::{
    config::KafkaConfig,
    error::BusError,
    lag::TopicLag,
    member::Member,
    record::{OutRecord, Position},
    topics::TopicSpec,
};

/// How long one call to a broker may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to Kafka.
pub(crate) struct Kafka {
    base: ClientConfig,
    producer: FutureProducer,
    delivery_timeout: Duration,
    session_timeout: Duration,
}

impl Kafka {
    /// Builds the producer; brokers need not answer yet.
    pub(crate) fn connect(config: &KafkaConfig) -> Result<Self, BusError> {
        let base = client::base(config)?;
        let producer = client::producer(&base, config.delivery_timeout)
            .create()
            .map_err(classify)?;
        Ok(Self {
            base,
            producer,
            delivery_timeout: config.delivery_timeout,
            session_timeout: config.session_timeout,
        })
    }

    pub(crate) async fn create_topics(&self, specs: &[TopicSpec]) -> Result<Vec<Arc<str>>, BusError> {
        admin::create_topics(&self.base, specs).await
    }

    pub(crate) async fn check(&self, specs: &[TopicSpec]) -> Result<(), BusError> {
        admin::check(self.producer.clone(), specs).await
    }

    pub(crate) async fn lag(&self, group: &str, specs: &[TopicSpec]) -> Result<Vec<TopicLag>, BusError> {
        admin::lag(&self.base, group, specs).await
    }

    pub(crate) fn join(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Member>, BusError> {
        Ok(Box::new(member::KafkaMember::join(
            &self.base,
            self.session_timeout,
            group,
            topics,
        )?))
    }

    /// Writes records and waits until every one is acknowledged by all in-sync replicas.
    pub(crate) async fn publish(&self, records: Vec<OutRecord>) -> Result<Vec<Position>, BusError> {
        let mut waiting = Vec::with_capacity(records.len());
        for record in &records {
            waiting.push(self.enqueue(record).await?);
        }
        let mut positions = Vec::with_capacity(records.len());
        for (record, delivery) in records.iter().zip(waiting) {
            match delivery.await {
                Ok(Ok(delivery)) => positions.push(Position {
                    topic: Arc::clone(&record.topic),
                    partition: delivery.partition,
                    offset: delivery.offset,
                }),
                Ok(Err((error, _))) => return Err(classify_for(record, error)),
                Err(_) => return Err(BusError::Closed),
            }
        }
        Ok(positions)
    }

    /// Puts a record into the producer's queue; a full queue is waited for.
    async fn enqueue(&self, record: &OutRecord) -> Result<DeliveryFuture, BusError> {
        let deadline = tokio::time::Instant::now() + self.delivery_timeout;
        loop {
            let mut future = FutureRecord::<[u8], [u8]>::to(&record.topic)
                .payload(&record.value)
                .headers(native_headers(record));
            future.key = record.key.as_deref();
            match self.producer.send_result(future) {
                Ok(delivery) => return Ok(delivery),
                Err((error, _)) if is_full(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err((error, _)) => return Err(classify_for(record, error)),
            }
        }
    }
}

fn is_full(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
}

fn native_headers(record: &OutRecord) -> OwnedHeaders {
    record.headers.iter().fold(
        OwnedHeaders::new_with_capacity(record.headers.len()),
        |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(&**value),
            })
        },
    )
}

fn classify_for(record: &OutRecord, error: KafkaError) -> BusError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => BusError::TooLarge {
            topic: record.topic.to_string(),
            size: record.size(),
        },
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            BusError::NoTopic(record.topic.to_string())
        }
        _ => classify(error),
    }
}

/// Which errors pass by themselves, by librdkafka's codes.
pub(crate) fn classify(error: KafkaError) -> BusError {
    use RDKafkaErrorCode as Code;

    if let KafkaError::ClientConfig(_, description, key, _) = &error {
        return BusError::Config(format!("{key}: {description}"));
    }
    match error.rdkafka_error_code() {
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::AssignmentLost
            | Code::FencedInstanceId,
        ) => BusError::Revoked,
        Some(
            code @ (Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NetworkException
            | Code::Resolve
            | Code::WaitingForCoordinator
            | Code::NoOffset
            | Code::QueueFull
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::BrokerNotAvailable
            | Code::KafkaStorageError
            | Code::State
            | Code::Retry),
        ) => BusError::Unavailable(format!("{code:?}")),
        _ => BusError::Kafka(error),
    }
}
