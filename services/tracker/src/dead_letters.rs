//! Converts records of the dead letter topics to rows.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_bus::{Queue, Record, TopicKind, Topics, dead_letter, headers, replay::BASE64};
use carillon_domain::{Channel, DeliveryId, TenantId, status::Origin};
use carillon_store::dead_letters::DeadLetterRow;
use serde::Deserialize;

/// The longest name, in bytes, that fits into a database index.
const MAX_NAME: usize = 128;

/// The fields of a delivery or event that are shown with its dead letter, as far as they can be read.
#[derive(Default, Deserialize)]
struct Glimpse {
    delivery_id: Option<DeliveryId>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

impl Glimpse {
    fn of(record: &Record, queue: Queue) -> Self {
        if queue == Queue::Events {
            // In binary mode the value is the payload, in which `type` may mean anything.
            let in_headers = record.headers.get_str("ce_type").map(str::to_owned);
            let event_type = in_headers.or_else(|| Self::parse(&record.value).event_type);
            return Self {
                delivery_id: None,
                event_type,
            };
        }
        Self::parse(&record.value)
    }

    fn parse(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }
}

/// The row of a dead letter; `None` for a record of another topic.
pub(crate) fn row(topics: &Topics, record: &Record) -> Option<DeadLetterRow> {
    let (queue, channel): (Queue, Option<Channel>) = match topics.kind_of(&record.topic)? {
        TopicKind::DeadLetters(channel) => (Queue::Channel(channel), Some(channel)),
        TopicKind::EventDeadLetters => (Queue::Events, None),
        _ => return None,
    };
    let entry = dead_letter::parse(record, queue);
    // The record of a source is no event. A field `type` of a row may have the name of an event type by chance.
    let is_of_source = entry.group.as_deref() == Some(&topics.source_group(&entry.source_topic));
    let glimpse = if is_of_source {
        Glimpse::default()
    } else {
        Glimpse::of(record, queue)
    };
    let fingerprint = Some(entry.fingerprint)
        .filter(|fingerprint| fingerprint.len() <= MAX_NAME)
        .unwrap_or_else(|| entry.letter.fingerprint(queue.as_str()));
    Some(DeadLetterRow {
        position: Origin {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
            offset: record.offset,
        },
        tenant: tenant(record),
        channel,
        source_topic: Arc::from(entry.source_topic),
        letter: entry.letter,
        fingerprint,
        dead_at: record.timestamp,
        delivery_id: glimpse.delivery_id,
        event_type: glimpse.event_type,
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (name.to_owned(), readable(value)))
            .collect(),
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.to_vec(),
    })
}

/// Counts letters that were written, by queue and class.
pub(crate) fn count(rows: &[DeadLetterRow]) {
    for row in rows {
        let queue = row.channel.map_or(Queue::Events, Queue::Channel).as_str();
        let class: &'static str = row.letter.class.into();
        metrics::counter!("carillon_dead_letters_total", "queue" => queue, "class" => class).increment(1);
    }
}

/// The tenant from the record's header; the default tenant if the header is absent or not a possible name, as in the
/// router.
fn tenant(record: &Record) -> TenantId {
    let name = record.headers.get_str(headers::TENANT).unwrap_or_default();
    TenantId::parse(name).unwrap_or_default()
}

/// A header's value as text; Spring's numbers and other bytes as base64. A text that looks like base64 is encoded as well,
/// so that a replay finds the original bytes.
fn readable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) && !text.starts_with(BASE64) => text.to_owned(),
        _ => format!("{BASE64}{}", BASE64_STANDARD.encode(value)),
    }
}
