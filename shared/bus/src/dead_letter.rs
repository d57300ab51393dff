//! Dead letters on the bus: the original bytes, unchanged, and headers that describe the failure. The `kafka_dlt-*`
//! names and forms are Spring Kafka's, which Kafka UIs know (numbers are big-endian). A value that is larger than a
//! dead letter topic takes (brokers can be configured to admit such events) is cut, and `carillon-truncated` gives
//! its original length.

use bytes::Bytes;
use carillon_domain::{
    Channel, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
};

use crate::{
    headers,
    record::{OutRecord, Record, Unreadable},
    topics::Topics,
};

const TOPIC: &str = "kafka_dlt-original-topic";
/// The header with the partition that the record came from, 4 bytes, big-endian.
pub const PARTITION: &str = "kafka_dlt-original-partition";
/// The header with the offset that the record came from, 8 bytes, big-endian.
pub const OFFSET: &str = "kafka_dlt-original-offset";
/// The header with the time of the record that it came from, in epoch milliseconds: 8 bytes, big-endian.
pub const TIMESTAMP: &str = "kafka_dlt-original-timestamp";
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

/// The most bytes of a dead letter, key and headers included: well below the limit of its topic.
pub const MAX_BYTES: usize = 3 * 1024 * 1024;

/// A dead letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// The queue of a channel.
    Channel(Channel),
    /// The queue of the events topics.
    Events,
}

impl Queue {
    /// The channel's name, or `events`.
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
    // An unreadable record has no value or headers; only its place is known.
    if from.unreadable.is_none() {
        headers.insert(
            TIMESTAMP,
            Bytes::copy_from_slice(&from.timestamp.timestamp_millis().to_be_bytes()),
        );
        headers.insert(TIMESTAMP_TYPE, "CreateTime");
    }
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
    let mut record = OutRecord {
        topic,
        key: from.key.clone(),
        value: from.value.clone(),
        headers,
    };
    cut(&mut record);
    record
}

/// Cuts the value to the size that the topic takes. A record that cannot become a dead letter would block its
/// partition.
fn cut(record: &mut OutRecord) {
    let Some(excess) = record.size().checked_sub(MAX_BYTES).filter(|excess| *excess > 0) else {
        return;
    };
    let length = record.value.len();
    // The header itself fits between `MAX_BYTES` and the topic's limit.
    record.headers.insert(headers::TRUNCATED, length.to_string());
    record.value.truncate(length.saturating_sub(excess));
}

/// A dead letter that was read from its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterEntry {
    /// The topic that it was read from.
    pub source_topic: String,
    /// The partition that it was read from.
    pub source_partition: Option<i32>,
    /// The offset that it was read from.
    pub source_offset: Option<i64>,
    /// The time at which it was written to that topic.
    pub source_timestamp: Option<Timestamp>,
    /// The consumer group that read it.
    pub group: Option<String>,
    /// The description of the failure. Headers that a foreign producer omitted are filled in as unknown.
    pub letter: DeadLetter,
    /// The same for all dead letters with the same cause.
    pub fingerprint: String,
    /// The original length of the value in bytes, if it was cut. Such a dead letter cannot be replayed.
    pub truncated: Option<u64>,
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
        code: text(CODE).unwrap_or_else(|| {
            let code = record.unreadable.map_or("unknown", Unreadable::code);
            code.to_owned()
        }),
        reason: text(MESSAGE)
            .or_else(|| record.unreadable.map(|why| why.reason().to_owned()))
            .unwrap_or_default(),
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
        truncated: text(headers::TRUNCATED).and_then(|bytes| bytes.parse().ok()),
        fingerprint: text(FINGERPRINT).unwrap_or_else(|| letter.fingerprint(queue.as_str())),
        letter,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Headers, TopicSettings};

    fn letter_of(bytes: usize) -> OutRecord {
        let topics = Topics::new("t", &[Duration::from_secs(1)], &TopicSettings::default());
        let from = Record {
            topic: "t.events".into(),
            partition: 0,
            offset: 1,
            key: Some(Bytes::from_static(b"key")),
            value: vec![b'x'; bytes].into(),
            headers: Headers::default(),
            timestamp: Timestamp::UNIX_EPOCH,
            unreadable: None,
        };
        let letter = DeadLetter {
            class: FailureClass::Unparseable,
            provider: None,
            code: "too_large".to_owned(),
            reason: String::new(),
            attempts: 0,
            first_failed_at: Timestamp::UNIX_EPOCH,
        };
        record(&topics, &from, Queue::Events, "g", &letter)
    }

    #[test]
    fn a_record_of_the_brokers_default_size_is_kept_whole_and_one_that_its_topic_cannot_take_is_cut() {
        let whole = letter_of(1_048_588);
        assert_eq!(whole.value.len(), 1_048_588);
        assert_eq!(whole.headers.get(headers::TRUNCATED), None);
        let cut = letter_of(5_000_000);
        assert_eq!(cut.headers.get_u32(headers::TRUNCATED), Some(5_000_000));
        assert!(cut.size() < crate::MAX_MESSAGE_BYTES as usize && cut.value.len() > 3_000_000);
    }
}
