//! Apache Kafka, through librdkafka.

mod admin;
#[cfg(test)]
mod assignment_tests;
mod brokers;
mod callbacks;
mod client;
mod exchange;
mod fetching;
mod group;
mod lag;
mod link;
mod logs;
mod member;
mod poller;
mod pressure;
#[cfg(test)]
mod rebalance_tests;
mod transaction;
mod unreadable;
#[cfg(test)]
mod unreadable_tests;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _},
};

use self::brokers::Brokers;

use crate::{
    config::KafkaConfig,
    error::BusError,
    lag::{CrowdedTopic, TopicLag},
    member::Member,
    record::{OutRecord, Position},
    topics::{TopicSpec, Topics},
};

/// The longest time of one call to a broker.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

type RecordProducer = FutureProducer<Brokers>;

/// The producer for records outside of transactions.
struct Publisher {
    producer: RecordProducer,
    brokers: Brokers,
}

impl Publisher {
    fn new(base: &ClientConfig, delivery_timeout: Duration) -> Result<Self, BusError> {
        let brokers = Brokers::default();
        let producer = client::producer(base, delivery_timeout)
            .create_with_context(brokers.clone())
            .map_err(classify)?;
        Ok(Self { producer, brokers })
    }
}

/// Checks the settings of Kafka without connecting.
pub(crate) fn check(config: &KafkaConfig) -> Result<(), BusError> {
    client::check(config)
}

/// A connection to Kafka.
pub(crate) struct Kafka {
    base: ClientConfig,
    publisher: Mutex<Publisher>,
    delivery_timeout: Duration,
    session_timeout: Duration,
}

impl Kafka {
    /// Builds the producer; the brokers need not answer yet.
    pub(crate) fn connect(config: &KafkaConfig) -> Result<Self, BusError> {
        let base = client::base(config)?;
        let publisher = Publisher::new(&base, config.delivery_timeout)?;
        Ok(Self {
            base,
            publisher: Mutex::new(publisher),
            delivery_timeout: config.delivery_timeout,
            session_timeout: config.session_timeout,
        })
    }

    pub(crate) async fn create_topics(&self, specs: &[TopicSpec]) -> Result<Vec<Arc<str>>, BusError> {
        admin::create_topics(&self.base, specs).await
    }

    pub(crate) async fn delete_topics(&self, specs: &[TopicSpec], groups: String) -> Result<(), BusError> {
        admin::delete_topics(&self.base, self.producer()?, specs, groups).await
    }

    pub(crate) async fn check(&self, specs: &[TopicSpec]) -> Result<(), BusError> {
        admin::check(self.producer()?, specs).await
    }

    /// The producer. It is replaced if it has lost its brokers or has failed for good.
    fn producer(&self) -> Result<RecordProducer, BusError> {
        let mut publisher = self.publisher.lock();
        let fatal = publisher.producer.client().fatal_error();
        if publisher.brokers.are_lost() || fatal.is_some() {
            let code = fatal.map(|(code, _)| format!("{code:?}"));
            tracing::warn!(
                code,
                "a producer has lost all brokers or failed for good; it is replaced"
            );
            let new = Publisher::new(&self.base, self.delivery_timeout)?;
            let lost = std::mem::replace(&mut *publisher, new);
            // Its queued records end with an error. Dropping it may block for a moment.
            tokio::task::spawn_blocking(move || drop(lost));
        }
        Ok(publisher.producer.clone())
    }

    pub(crate) async fn lag(&self, group: &str, topics: &Topics) -> Result<Vec<TopicLag>, BusError> {
        lag::lag(&self.base, group, topics).await
    }

    pub(crate) async fn crowds(&self, group: &str) -> Result<Vec<CrowdedTopic>, BusError> {
        group::crowds(self.producer()?, group.to_owned()).await
    }

    /// A member of a group. With `gathers`, its fetches wait briefly, so that each returns more records.
    pub(crate) fn join(
        &self,
        group: &str,
        topics: &[Arc<str>],
        gathers: bool,
    ) -> Result<Box<dyn Member>, BusError> {
        let membership = client::MemberConfig {
            group: group.to_owned(),
            topics: topics.to_vec(),
            session_timeout: self.session_timeout,
            reading_patience: fetching::PATIENCE,
            gathers,
        };
        Ok(Box::new(member::KafkaMember::join(&self.base, membership)?))
    }

    /// Writes records; returns once each is acknowledged by all in-sync replicas.
    pub(crate) async fn publish(&self, records: Vec<OutRecord>) -> Result<Vec<Position>, BusError> {
        let mut waiting = Vec::with_capacity(records.len());
        let producer = self.producer()?;
        for record in &records {
            waiting.push(self.enqueue(&producer, record).await?);
        }
        drop(producer);
        let mut positions = Vec::with_capacity(records.len());
        for (record, delivery) in records.iter().zip(waiting) {
            match delivery.await {
                Ok(Ok(delivery)) if brokers::is_doubtful(delivery.offset) => {
                    return Err(BusError::Unavailable(
                        "a record may not have been written".to_owned(),
                    ));
                }
                Ok(Ok(delivery)) => positions.push(Position {
                    topic: Arc::clone(&record.topic),
                    partition: delivery.partition,
                    offset: delivery.offset,
                }),
                Ok(Err((error, _))) => return Err(classify_for(record, error)),
                // The producer was replaced meanwhile; whether it wrote the record is not known.
                Err(_) => {
                    let text = "the producer was replaced before the brokers answered";
                    return Err(BusError::Unavailable(text.to_owned()));
                }
            }
        }
        Ok(positions)
    }

    /// Puts a record into the producer's queue; waits while the queue is full.
    async fn enqueue(
        &self,
        producer: &RecordProducer,
        record: &OutRecord,
    ) -> Result<DeliveryFuture, BusError> {
        let deadline = tokio::time::Instant::now() + self.delivery_timeout;
        loop {
            let mut future = FutureRecord::<[u8], [u8]>::to(&record.topic)
                .payload(&record.value)
                .headers(native_headers(record));
            future.key = record.key.as_deref();
            match producer.send_result(future) {
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

/// Sorts errors into retriable and permanent: an error is retriable unless librdkafka or Kafka is known to use its
/// code for a permanent one.
pub(crate) fn classify(error: KafkaError) -> BusError {
    use RDKafkaErrorCode as Code;

    match &error {
        KafkaError::ClientConfig(_, description, key, _) => {
            return BusError::Config(format!("{key}: {description}"));
        }
        KafkaError::ClientCreation(text) | KafkaError::Subscription(text) => {
            return BusError::Config(text.clone());
        }
        KafkaError::Nul(_) | KafkaError::MessageConsumptionFatal(_) => return BusError::Kafka(error),
        KafkaError::Canceled => return BusError::Closed,
        KafkaError::Transaction(inner) if inner.is_fatal() => return BusError::Kafka(error),
        _ => {}
    }
    match error.rdkafka_error_code() {
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::AssignmentLost,
        ) => BusError::Revoked,
        Some(code) if stays(code) => BusError::Kafka(error),
        _ => BusError::Unavailable(describe(&error)),
    }
}

/// Classifies an error of a call about a group's offsets. A deleted topic is created again or leaves the assignment,
/// and a missing permission may be granted. Meanwhile the group reads its other partitions as usual, so both are
/// retriable.
fn classify_offsets(error: KafkaError) -> BusError {
    use RDKafkaErrorCode as Code;

    match error.rdkafka_error_code() {
        Some(code)
            if is_forbidden(code)
                || matches!(
                    code,
                    Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition
                ) =>
        {
            BusError::Unavailable(describe(&error))
        }
        _ => classify(error),
    }
}

/// Whether the code means a permanent error: fenced, forbidden, wrongly configured, or missing.
fn stays(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;

    is_forbidden(code)
        || matches!(
            code,
            Code::Fatal
                | Code::Fenced
                | Code::FencedInstanceId
                | Code::ProducerFenced
                | Code::InvalidProducerEpoch
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::InvalidTopic
                | Code::MessageSizeTooLarge
                | Code::InvalidArgument
                | Code::InvalidConfig
                | Code::InvalidRequest
                | Code::InvalidGroupId
                | Code::InvalidSessionTimeout
                | Code::InvalidTransactionTimeout
                | Code::InconsistentGroupProtocol
                | Code::InvalidRequiredAcks
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::PolicyViolation
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
                | Code::UnsupportedSASLMechanism
                | Code::UnsupportedForMessageFormat
                | Code::NotImplemented
        )
}

/// Whether the operator has to grant a permission. (Failed authentication is excluded: brokers report it briefly
/// while they start.)
fn is_forbidden(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;

    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed
    )
}

/// Describes an error without the broker's text.
fn describe(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| error.to_string(), |code| format!("{code:?}"))
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaRespErr;
    use rdkafka::{mocking::MockCluster, types::RDKafkaApiKey};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_record_that_is_only_believed_to_be_written_is_not_acknowledged() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let kafka = Kafka::connect(&KafkaConfig {
            brokers: cluster.bootstrap_servers(),
            ..KafkaConfig::default()
        })
        .unwrap();
        let record = || vec![OutRecord::new("t".into(), "k", "v")];
        kafka.publish(record()).await.unwrap();
        // The client believes that the record was written by an earlier try.
        let duplicate = RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[duplicate]);
        let error = kafka.publish(record()).await.unwrap_err();
        assert!(error.is_retriable(), "{error:?}");
        kafka.publish(record()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_publish_that_times_out_ends_soon_and_its_record_is_not_written_later() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let kafka = Kafka::connect(&KafkaConfig {
            brokers: cluster.bootstrap_servers(),
            delivery_timeout: Duration::from_secs(1),
            ..KafkaConfig::default()
        })
        .unwrap();
        let record = |value: &'static str| vec![OutRecord::new("t".into(), "k", value)];
        // A busy machine may need several tries.
        let until_written = async |value| {
            let mut positions = Vec::new();
            while positions.is_empty() {
                positions = kafka.publish(record(value)).await.unwrap_or_default();
            }
            positions[0].offset
        };
        let before = until_written("before").await;
        cluster.broker_down(1).unwrap();
        let begun = std::time::Instant::now();
        let error = kafka.publish(record("refused")).await.unwrap_err();
        assert!(error.is_retriable(), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        cluster.broker_up(1).unwrap();
        assert_eq!(
            until_written("behind").await,
            before + 1,
            "nothing was written in between"
        );
    }

    #[test]
    fn errors_of_a_stalled_broker_are_retriable_and_permanent_ones_are_not() {
        use RDKafkaErrorCode as Code;

        let passing = [
            KafkaError::Seek("_TIMED_OUT".to_owned()),
            KafkaError::PauseResume("x".to_owned()),
            KafkaError::NoMessageReceived,
            KafkaError::ConsumerCommit(Code::InvalidCommitOffsetSize),
            KafkaError::OffsetFetch(Code::OperationTimedOut),
            KafkaError::ConsumerCommit(Code::WaitingForCoordinator),
            KafkaError::MetadataFetch(Code::BrokerTransportFailure),
            KafkaError::Global(Code::Unknown),
        ];
        for error in passing {
            assert!(classify(error.clone()).is_retriable(), "{error}");
        }
        let staying = [
            KafkaError::MessageConsumptionFatal(Code::Unknown),
            KafkaError::MessageConsumption(Code::GroupAuthorizationFailed),
            KafkaError::MessageProduction(Code::UnknownTopicOrPartition),
            KafkaError::MessageProduction(Code::MessageSizeTooLarge),
            KafkaError::ConsumerCommit(Code::FencedInstanceId),
            KafkaError::Global(Code::Fatal),
            KafkaError::ClientCreation("x".to_owned()),
        ];
        for error in staying {
            assert!(!classify(error.clone()).is_retriable(), "{error}");
        }
    }
}
