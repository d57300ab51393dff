//! Dead letters on the bus: the original bytes untouched, and headers that say what happened. The `kafka_dlt-*` names
//! and forms are Spring Kafka's, which Kafka UIs know (numbers big-endian).

use bytes::Bytes;
use carillon_domain::{
    Channel, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
};

use crate::{
    record::{OutRecord, Record},
    topics::Topics,
};

const TOPIC: &str = "kafka_dlt-original-topic";
const PARTITION: &str = "kafka_dlt-original-partition";
const OFFSET: &str = "kafka_dlt-original-offset";
const TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const TIMESTAMP_TYPE: &str = "kafka_dlt-original-timestamp-type";
const GROUP: &str = "kafka_dlt-original-consumer-group";
const EXCEPTION: &str = "kafka_dlt-exception-fqcn";
const MESSAGE: &str = "kafka_dlt-exception-message";
const ATTEMPTS: &str = "carillon-attempts";
const FIRST_FAILED_AT: &str = "carillon-first-failed-at";
const CLASS: &str = "carillon-class";
const PROVIDER: &str = "carillon-provider";
const CODE: &str = "carillon-code";
const FINGERPRINT: &str = "carillon-fingerprint";

/// Which dead letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// A channel's.
    Channel(Channel),
    /// The events'.
    Events,
}

impl Queue {
    /// `push`, `email`, `sms` or `events`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channel(channel) => channel.as_str(),
            Self::Events => "events",
        }
    }
}

/// The dead letter of a record that a consumer group could not process.
#[must_use]
pub fn record(topics: &Topics, from: &Record, queue: Queue, group: &str, letter: &DeadLetter) -> OutRecord {
    let topic = match queue {
        Queue::Channel(channel) => topics.dlq(channel),
        Queue::Events => topics.events_dlq(),
    };
    let mut headers = from.headers.clone();
    headers.insert(TOPIC, from.topic.to_string());
    headers.insert(PARTITION, Bytes::copy_from_slice(&from.partition.to_be_bytes()));
    headers.insert(OFFSET, Bytes::copy_from_slice(&from.offset.to_be_bytes()));
    headers.insert(
        TIMESTAMP,
        Bytes::copy_from_slice(&from.timestamp.timestamp_millis().to_be_bytes()),
    );
    headers.insert(TIMESTAMP_TYPE, "CreateTime");
    headers.insert(GROUP, group.to_owned());
    let class: &'static str = letter.class.into();
    headers.insert(EXCEPTION, format!("dev.carillon.{class}"));
    headers.insert(MESSAGE, letter.reason.clone());
    headers.insert(ATTEMPTS, letter.attempts.to_string());
    headers.insert(
        FIRST_FAILED_AT,
        letter.first_failed_at.timestamp_millis().to_string(),
    );
    headers.insert(CLASS, class);
    if let Some(provider) = &letter.provider {
        headers.insert(PROVIDER, provider.clone());
    }
    headers.insert(CODE, letter.code.clone());
    headers.insert(FINGERPRINT, letter.fingerprint(queue.as_str()));
    OutRecord {
        topic,
        key: from.key.clone(),
        value: from.value.clone(),
        headers,
    }
}

/// A dead letter, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterEntry {
    /// The topic that it was read from.
    pub source_topic: String,
    /// The partition that it was read from.
    pub source_partition: Option<i32>,
    /// Its offset there.
    pub source_offset: Option<i64>,
    /// When it was written there.
    pub source_timestamp: Option<Timestamp>,
    /// Who read it.
    pub group: Option<String>,
    /// What is said about it. Headers that a foreign producer left out are filled in as unknown.
    pub letter: DeadLetter,
    /// What groups it with others of its cause.
    pub fingerprint: String,
}

/// Reads a dead letter's headers back.
#[must_use]
pub fn parse(record: &Record, queue: Queue) -> DeadLetterEntry {
    let text = |name| record.headers.get_str(name).map(str::to_owned);
    let number = |name| {
        record
            .headers
            .get(name)
            .and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)))
    };
    let letter = DeadLetter {
        class: text(CLASS)
            .and_then(|class| class.parse().ok())
            .unwrap_or(FailureClass::Unparseable),
        provider: text(PROVIDER),
        code: text(CODE).unwrap_or_else(|| "unknown".to_owned()),
        reason: text(MESSAGE).unwrap_or_default(),
        attempts: record.headers.get_u32(ATTEMPTS).unwrap_or(0),
        first_failed_at: record
            .headers
            .get_i64(FIRST_FAILED_AT)
            .and_then(Timestamp::from_timestamp_millis)
            .unwrap_or(record.timestamp),
    };
    DeadLetterEntry {
        source_topic: text(TOPIC).unwrap_or_default(),
        source_partition: record
            .headers
            .get(PARTITION)
            .and_then(|bytes| Some(i32::from_be_bytes(bytes.try_into().ok()?))),
        source_offset: number(OFFSET),
        source_timestamp: number(TIMESTAMP).and_then(Timestamp::from_timestamp_millis),
        group: text(GROUP),
        fingerprint: text(FINGERPRINT).unwrap_or_else(|| letter.fingerprint(queue.as_str())),
        letter,
    }
}
