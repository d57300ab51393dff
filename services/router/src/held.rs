//! Held events: events whose limits cannot be counted now. They are moved unchanged to the topic for waiting records,
//! in the same atomic step as the offsets, so that the records behind them are not delayed. When they are read back
//! from there, their original position is restored, so that their claim recognises them.

use std::{sync::Arc, time::Duration};

use carillon_bus::{OutRecord, Record, Topics, headers};
use carillon_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// The original position of an event, and the time since which it waits.
#[derive(Debug, Serialize, Deserialize)]
struct HeldHeader {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    /// The time at which the bus took the event, in microseconds since 1970.
    at: i64,
    since: i64,
}

/// The treatment of events whose limits cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Move them to the topic for waiting records.
    Move,
    /// Leave them on that topic, where they are already, and read them again until they have waited this long.
    Stay(Duration),
}

/// The record under which an event is held.
pub(crate) fn hold(topics: &Topics, record: &Record, since: Timestamp) -> OutRecord {
    let held = HeldHeader {
        topic: Arc::clone(&record.topic),
        partition: record.partition,
        offset: record.offset,
        at: record.timestamp.timestamp_micros(),
        since: since.timestamp_micros(),
    };
    let mut headers = record.headers.clone();
    // Serialising text and numbers does not fail.
    headers.insert(headers::HELD, serde_json::to_vec(&held).unwrap_or_default());
    OutRecord {
        topic: topics.scheduled(),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}

/// Whether a record of the topic is a held one, and not one that waits for the scheduler.
pub(crate) fn is_held(record: &Record) -> bool {
    record.headers.get(headers::WAITS).is_none()
}

/// Restores the original position of a held record. A record without the header stays as it is.
pub(crate) fn restore(mut record: Record) -> Record {
    if let Some(held) = held(&record)
        && let Some(at) = Timestamp::from_timestamp_micros(held.at)
    {
        record.topic = held.topic;
        record.partition = held.partition;
        record.offset = held.offset;
        record.timestamp = at;
    }
    record
}

/// The time since which a record is held.
pub(crate) fn since(record: &Record) -> Option<Timestamp> {
    held(record).and_then(|held| Timestamp::from_timestamp_micros(held.since))
}

fn held(record: &Record) -> Option<HeldHeader> {
    serde_json::from_slice(record.headers.get(headers::HELD)?).ok()
}

#[cfg(test)]
mod tests {
    use carillon_bus::{Headers, TopicSettings};

    use super::*;

    #[test]
    fn a_held_record_is_restored_unchanged_after_any_number_of_moves() {
        let topics = Topics::new("n", &[], &TopicSettings::default());
        let mut headers = Headers::default();
        headers.insert("ce_id", "e-1");
        let first = Record {
            topic: Arc::from("n.events"),
            partition: 3,
            offset: 17,
            key: Some("k".into()),
            value: "v".into(),
            headers,
            timestamp: "2026-11-24T10:00:00.000123Z".parse().unwrap(),
            unreadable: None,
        };
        let now: Timestamp = "2026-11-24T11:00:00Z".parse().unwrap();
        let mut current = first.clone();
        for turn in 0..3 {
            let out = hold(
                &topics,
                &current,
                if turn == 0 { now } else { since(&current).unwrap() },
            );
            assert_eq!(out.topic, topics.scheduled());
            current = restore(Record {
                topic: out.topic,
                partition: 0,
                offset: 99,
                key: out.key,
                value: out.value,
                headers: out.headers,
                timestamp: now,
                unreadable: None,
            });
            assert_eq!(current.position(), first.position());
            assert_eq!(
                (current.timestamp, &current.value),
                (first.timestamp, &first.value)
            );
            assert_eq!(current.headers.get_str("ce_id"), Some("e-1"));
            assert_eq!(since(&current), Some(now));
        }
    }
}
