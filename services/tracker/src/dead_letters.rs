//! From records of the dead letter topics to rows.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_bus::{Queue, Record, TopicKind, Topics, dead_letter, headers};
use carillon_domain::{Channel, DeliveryId, TenantId, status::Origin};
use carillon_store::dead_letters::DeadLetterRow;
use serde::Deserialize;

/// What a delivery or an event says of itself, as far as it can be read.
#[derive(Default, Deserialize)]
struct Glimpse {
    delivery_id: Option<DeliveryId>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

/// The row of a dead letter; none for a record of another topic.
pub(crate) fn row(topics: &Topics, record: &Record) -> Option<DeadLetterRow> {
    let (queue, channel): (Queue, Option<Channel>) = match topics.place(&record.topic)? {
        TopicKind::DeadLetters(channel) => (Queue::Channel(channel), Some(channel)),
        TopicKind::EventDeadLetters => (Queue::Events, None),
        _ => return None,
    };
    let entry = dead_letter::parse(record, queue);
    let glimpse: Glimpse = serde_json::from_slice(&record.value).unwrap_or_default();
    let tenant = record
        .headers
        .get_str(headers::TENANT)
        .map_or_else(TenantId::default, TenantId::from);
    Some(DeadLetterRow {
        position: Origin {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
            offset: record.offset,
        },
        tenant,
        channel,
        source_topic: Arc::from(entry.source_topic),
        letter: entry.letter,
        fingerprint: entry.fingerprint,
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

/// A header's value as text; Spring's numbers and other bytes as base64.
fn readable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("base64:{}", BASE64_STANDARD.encode(value)),
    }
}
