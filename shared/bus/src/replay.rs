//! Putting a dead letter's record back: the original bytes, without the headers that described its failure.
//!
//! A delivery goes to its channel's topic with the next generation. The send ledger claims (delivery, generation,
//! attempt), so a replay that is published twice is sent once. An event goes to the topic that it came from, as a new
//! record, which the router has to claim like any other: an event that is claimed already cannot be put back.

mod edited;

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use carillon_domain::{
    Delivery, Event, Timestamp,
    dead_letter::SkipReason,
    event::{BinaryHeaders, DefaultId, Defaults, MediaType, Mode, without_mark},
    status::Origin,
    stored_letter::{FirstRecord, RejectedEvent, StoredLetter},
    waiting::Release,
};
use uuid::Uuid;

pub use self::edited::{document, event_document, replay_edited};
use crate::{
    dead_letter::{OFFSET, PARTITION, TIMESTAMP},
    headers::{self, Headers},
    record::OutRecord,
    topics::{TopicKind, Topics},
};

/// Begins the text form of a header whose value is not text.
pub const BASE64: &str = "base64:";

/// The record that a replay of a dead letter publishes.
#[derive(Debug)]
pub enum Replay {
    /// A delivery, to be sent with a new generation.
    Delivery {
        /// The record.
        record: OutRecord,
        /// The delivery, as its bytes say.
        delivery: Box<Delivery>,
        /// Its new generation.
        generation: u32,
    },
    /// An event, to be decided.
    Event {
        /// The record.
        record: OutRecord,
        /// The event, if its bytes are one. A record that is no event has no claim that could stand in its way.
        event: Option<RejectedEvent>,
    },
}

impl Replay {
    /// The event that a router would have to claim, if there is one.
    #[must_use]
    pub fn event(&self) -> Option<&RejectedEvent> {
        match self {
            Self::Delivery { .. } => None,
            Self::Event { event, .. } => event.as_ref(),
        }
    }
}

/// The record by which a job puts a dead letter back, or the reason for which that is not possible.
pub fn replay(
    topics: &Topics,
    letter: StoredLetter<'_>,
    job: Uuid,
    now: Timestamp,
) -> Result<Replay, SkipReason> {
    if letter.text(headers::TRUNCATED).is_some() {
        return Err(SkipReason::Truncated);
    }
    if let Some(channel) = letter.channel {
        let delivery = Delivery::parse(letter.value).map_err(|_| SkipReason::Unreadable)?;
        if delivery.channel != channel || delivery.tenant != *letter.tenant {
            return Err(SkipReason::Unreadable);
        }
        if delivery.is_expired(now) {
            return Err(SkipReason::Expired);
        }
        let former = letter
            .text(headers::GENERATION)
            .and_then(|text| text.parse().ok());
        let generation = former.unwrap_or(0_u32).saturating_add(1);
        let mut record = letter.record(topics.channel(channel, delivery.priority), job);
        record.headers.insert(headers::GENERATION, generation.to_string());
        Ok(Replay::Delivery {
            record,
            delivery: Box::new(delivery),
            generation,
        })
    } else {
        if letter.value.is_empty() && !letter.is_binary() {
            return Err(SkipReason::Unreadable);
        }
        let Some(TopicKind::Events(lane)) = topics.kind_of(letter.source_topic) else {
            return Err(SkipReason::UnknownSource);
        };
        let first = letter.first(now);
        let mut record = letter.record(topics.events(lane), job);
        if let Some(first) = &first {
            // Serialising text and numbers does not fail.
            let header = serde_json::to_vec(first).unwrap_or_default();
            record.headers.insert(headers::FIRST, header);
        }
        Ok(Replay::Event {
            event: first.and_then(|first| letter.event(&first)),
            record,
        })
    }
}

/// The original record of a stored dead letter, as it was before it failed.
trait Original {
    /// The last value of the header.
    fn text(&self, name: &str) -> Option<&str>;
    /// The original record, to be published to `topic`.
    fn record(&self, topic: Arc<str>, job: Uuid) -> OutRecord;
    /// Whether the record is an event in binary mode; the same rule as the router's.
    fn is_binary(&self) -> bool;
    /// The release of a record that had waited.
    fn release(&self) -> Option<Release>;
    /// The position by which the event's claim knows the record: that of its first record, if it had waited.
    fn origin(&self) -> Option<Origin>;
    /// The first record of the event.
    fn first(&self, now: Timestamp) -> Option<FirstRecord>;
    /// The event's identity, as the router reads it.
    fn event(&self, first: &FirstRecord) -> Option<RejectedEvent>;
}

impl Original for StoredLetter<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().rev().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    fn record(&self, topic: Arc<str>, job: Uuid) -> OutRecord {
        let mut headers = Headers::default();
        for (name, value) in self.headers.iter().filter(|(name, _)| is_original(name)) {
            headers.push(name.clone(), bytes(value).into_owned());
        }
        headers.insert(headers::REPLAY, job.to_string());
        OutRecord {
            topic,
            key: self.key.map(Bytes::copy_from_slice),
            value: Bytes::copy_from_slice(self.value),
            headers,
        }
    }

    fn is_binary(&self) -> bool {
        let content_type = self.text(headers::CONTENT_TYPE);
        let mode = content_type.map_or(Mode::Data, |text| MediaType::parse(text).mode());
        mode == Mode::Data && self.headers.iter().any(|(name, _)| name.starts_with("ce_"))
    }

    fn release(&self) -> Option<Release> {
        Release::parse(&bytes(self.text(headers::RELEASE)?)).ok()
    }

    fn origin(&self) -> Option<Origin> {
        if let Some(release) = self.release() {
            return Some(release.origin);
        }
        Some(Origin {
            topic: Arc::from(self.source_topic),
            partition: i32::from_be_bytes(bytes(self.text(PARTITION)?).as_ref().try_into().ok()?),
            offset: i64::from_be_bytes(bytes(self.text(OFFSET)?).as_ref().try_into().ok()?),
        })
    }

    fn first(&self, now: Timestamp) -> Option<FirstRecord> {
        if let Some(header) = self.text(headers::FIRST) {
            return serde_json::from_slice(&bytes(header)).ok();
        }
        if let Some(Release {
            origin, written_at, ..
        }) = self.release()
        {
            return Some(FirstRecord {
                origin,
                at: written_at,
            });
        }
        let written = self.text(TIMESTAMP).and_then(|text| {
            let millis = i64::from_be_bytes(bytes(text).as_ref().try_into().ok()?);
            Timestamp::from_timestamp_millis(millis)
        });
        Some(FirstRecord {
            origin: self.origin()?,
            at: written.unwrap_or(now),
        })
    }

    fn event(&self, first: &FirstRecord) -> Option<RejectedEvent> {
        let defaults = Defaults {
            now: first.at,
            id: DefaultId::Record {
                topic: &first.origin.topic,
                partition: first.origin.partition,
                offset: first.origin.offset,
            },
        };
        let event = if self.is_binary() {
            let attributes = self
                .headers
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix("ce_")?.to_owned(), value.clone())));
            let headers = BinaryHeaders {
                attributes: attributes.collect(),
                content_type: self.text(headers::CONTENT_TYPE).map(str::to_owned),
            };
            Event::from_binary(&headers, self.value, defaults)
        } else {
            Event::from_cloudevent(without_mark(self.value), defaults)
        };
        let event = event.ok()?;
        Some(RejectedEvent {
            event_id: event.id,
            source: event.source,
            origin: self.origin()?,
        })
    }
}

/// Whether the header was the record's own before it failed. Attempts, waits and the description of the failure were not.
fn is_original(name: &str) -> bool {
    match name {
        headers::TENANT | headers::VIA => true,
        name => !name.starts_with("kafka_dlt-") && !name.starts_with("carillon-"),
    }
}

/// A header's bytes from its text form.
fn bytes(text: &str) -> Cow<'_, [u8]> {
    let encoded = text.strip_prefix(BASE64);
    match encoded.and_then(|encoded| BASE64_STANDARD.decode(encoded).ok()) {
        Some(bytes) => Cow::Owned(bytes),
        None => Cow::Borrowed(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carillon_domain::{
        Channel, Lane, TenantId,
        dead_letter::{DeadLetter, FailureClass},
    };

    use super::*;
    use crate::{Record, TopicSettings, dead_letter, dead_letter::Queue};

    const DELIVERY: &str = r#"{"v":1,"delivery_id":"6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10",
        "notification_id":"6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a11","tenant":"acme","event_id":"e-1","source":"/shop",
        "type":"OrderShipped","event_time":"2026-11-24T10:00:00Z","category":"transactional","user_id":"u-1",
        "channel":"sms","target":{"kind":"inline","address":"+4915112345678"},"priority":"bulk",
        "expires_at":"2026-11-24T12:00:00Z","accepted_at":"2026-11-24T10:00:00Z","data":{"a":  1.50}}"#;

    fn topics() -> Topics {
        Topics::new("n", &[Duration::from_secs(1)], &TopicSettings::default())
    }

    fn now() -> Timestamp {
        "2026-11-24T11:00:00Z".parse().unwrap()
    }

    /// The headers under which a record of this topic is stored as a dead letter.
    fn stored(topic: &str, queue: Queue, headers: Headers, value: &str) -> Vec<(String, String)> {
        let from = Record {
            topic: topic.into(),
            partition: 3,
            offset: 17,
            key: Some(Bytes::from_static(b"acme|u-1")),
            value: Bytes::from(value.to_owned()),
            headers,
            timestamp: now(),
            unreadable: None,
        };
        let letter = DeadLetter {
            class: FailureClass::Terminal,
            provider: Some("twilio".to_owned()),
            code: "21612".to_owned(),
            reason: "no".to_owned(),
            attempts: 3,
            first_failed_at: now(),
        };
        let dead = dead_letter::record(&topics(), &from, queue, "g", &letter);
        let text = |value: &Bytes| match std::str::from_utf8(value) {
            Ok(text) if !text.contains('\0') => text.to_owned(),
            _ => format!("{BASE64}{}", BASE64_STANDARD.encode(value)),
        };
        let each = dead.headers.iter();
        each.map(|(name, value)| (name.to_owned(), text(value))).collect()
    }

    fn letter<'a>(
        tenant: &'a TenantId,
        queue: Queue,
        topic: &'a str,
        headers: &'a [(String, String)],
        value: &'a str,
    ) -> StoredLetter<'a> {
        StoredLetter {
            tenant,
            channel: match queue {
                Queue::Channel(channel) => Some(channel),
                Queue::Events => None,
            },
            source_topic: topic,
            headers,
            key: Some(b"acme|u-1"),
            value: value.as_bytes(),
        }
    }

    #[test]
    fn a_delivery_goes_back_as_it_was_with_the_next_generation_and_without_its_history() {
        let mut headers = Headers::default();
        headers.push(headers::TENANT, "acme");
        headers.push(headers::ATTEMPT, "3");
        headers.push(headers::DUE, "1");
        headers.push("carillon-uncounted-attempts", "1");
        headers.push(headers::FIRST_FAILED_AT, "1");
        headers.push(headers::GENERATION, "4");
        headers.push(headers::TRACEPARENT, "00-1-2-01");
        headers.push("x-bytes", Bytes::from_static(&[0, 0xff]));
        let (tenant, queue) = (TenantId::from("acme"), Queue::Channel(Channel::Sms));
        let headers = stored("n.sms.bulk.retry.1s", queue, headers, DELIVERY);
        let letter = letter(&tenant, queue, "n.sms.bulk.retry.1s", &headers, DELIVERY);
        let job = Uuid::from_u128(7);
        let Ok(Replay::Delivery {
            record, generation, ..
        }) = replay(&topics(), letter, job, now())
        else {
            panic!()
        };
        assert_eq!(generation, 5);
        assert_eq!(record.topic, topics().channel(Channel::Sms, Lane::Bulk));
        assert_eq!(record.value, DELIVERY.as_bytes(), "byte for byte");
        assert_eq!(record.key.as_deref(), Some(&b"acme|u-1"[..]));
        let names: Vec<_> = record.headers.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(
            names,
            [
                "carillon-tenant",
                "traceparent",
                "x-bytes",
                "carillon-replay",
                "carillon-generation"
            ]
        );
        assert_eq!(record.headers.get("x-bytes"), Some(&[0, 0xff][..]));
        assert_eq!(record.headers.get_str(headers::REPLAY), Some(&*job.to_string()));
        assert_eq!(record.headers.get_u32(headers::GENERATION), Some(5));
    }

    #[test]
    fn a_letter_that_would_send_nothing_or_something_else_stays() {
        let (acme, other) = (TenantId::from("acme"), TenantId::from("other"));
        let (sms, email) = (Queue::Channel(Channel::Sms), Queue::Channel(Channel::Email));
        let topic = "n.sms";
        let headers = stored(topic, sms, Headers::default(), DELIVERY);
        let refused = |letter, now| replay(&topics(), letter, Uuid::nil(), now).unwrap_err();
        let late = "2026-11-24T12:00:00Z".parse().unwrap();
        assert_eq!(
            refused(letter(&acme, sms, topic, &headers, DELIVERY), late),
            SkipReason::Expired
        );
        for foreign in [
            letter(&other, sms, topic, &headers, DELIVERY),
            letter(&acme, email, topic, &headers, DELIVERY),
            letter(&acme, sms, topic, &headers, "{}"),
            letter(&acme, sms, topic, &headers, ""),
        ] {
            assert_eq!(refused(foreign, now()), SkipReason::Unreadable);
        }
        let mut cut = headers.clone();
        cut.push((headers::TRUNCATED.to_owned(), "5000000".to_owned()));
        assert_eq!(
            refused(letter(&acme, sms, topic, &cut, DELIVERY), now()),
            SkipReason::Truncated
        );
    }

    #[test]
    fn an_event_goes_back_to_its_topic_and_names_the_claim_that_may_stand_in_its_way() {
        let tenant = TenantId::default();
        let topic = "n.events.high";
        let structured = r#"{"specversion":"1.0","id":"e-1","source":"/shop","type":"T","recipient":"u"}"#;
        let mut binary = Headers::default();
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", "e-1"),
            ("ce_source", "/shop"),
            ("ce_type", "T"),
        ] {
            binary.push(name, value);
        }
        for (headers, value) in [(Headers::default(), structured), (binary, "{}")] {
            let headers = stored(topic, Queue::Events, headers, value);
            let letter = letter(&tenant, Queue::Events, topic, &headers, value);
            let Ok(Replay::Event { record, event }) = replay(&topics(), letter, Uuid::nil(), now()) else {
                panic!()
            };
            assert_eq!((&*record.topic, &record.value[..]), (topic, value.as_bytes()));
            let place = event.unwrap();
            assert_eq!((place.event_id.as_str(), &*place.source), ("e-1", "/shop"));
            let Origin {
                topic: from,
                partition,
                offset,
            } = place.origin;
            assert_eq!((&*from, partition, offset), (topic, 3, 17));
        }
        let headers = stored(topic, Queue::Events, Headers::default(), "no event");
        let bad = letter(&tenant, Queue::Events, topic, &headers, "no event");
        let Ok(Replay::Event { event: None, .. }) = replay(&topics(), bad, Uuid::nil(), now()) else {
            panic!()
        };
        let release = Release {
            v: 1,
            id: Uuid::from_u128(4),
            number: 1,
            origin: Origin {
                topic: Arc::from(topic),
                partition: 5,
                offset: 44,
            },
            written_at: now(),
            content: carillon_domain::waiting::WaitingContent::Event,
        };
        let mut waited = headers.clone();
        let header = String::from_utf8(release.to_wire()).unwrap();
        waited.push((headers::RELEASE.to_owned(), header));
        let waited = letter(
            &tenant,
            Queue::Events,
            topic,
            &waited,
            r#"{"specversion":"1.0","source":"/","type":"T","recipient":"u"}"#,
        );
        let Ok(Replay::Event {
            event: Some(event), ..
        }) = replay(&topics(), waited, Uuid::nil(), now())
        else {
            panic!()
        };
        assert_eq!(event.origin, release.origin, "its claim knows the first record");
        assert_eq!(event.event_id, carillon_domain::EventId::of_record(topic, 5, 44));
        let foreign = letter(&tenant, Queue::Events, "elsewhere", &headers, "no event");
        let refused = replay(&topics(), foreign, Uuid::nil(), now()).unwrap_err();
        assert_eq!(refused, SkipReason::UnknownSource);
        let unreadable = letter(&tenant, Queue::Events, topic, &[], "");
        let refused = replay(&topics(), unreadable, Uuid::nil(), now()).unwrap_err();
        assert_eq!(refused, SkipReason::Unreadable);
    }
}
