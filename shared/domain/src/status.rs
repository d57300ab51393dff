//! The records of the status topic.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::value::RawValue;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::{
    channel::Channel,
    clock::Timestamp,
    dead_letter::LetterVerdict,
    decide::Decision,
    ids::{DeliveryId, EventId, TenantId, UserId},
    receipt::DeliveryReceipt,
    wire::{self, WireError},
};

pub use crate::{
    delivery_state::{DeliveryState, DeliveryStatus, TimelineStep},
    origin::Origin,
    waiting::ReleaseOf,
};

/// A record of `notifications.status`, which is public and versioned. The status topic is the source of the read
/// model.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind")]
pub enum StatusRecord {
    /// The decision about an event.
    #[serde(rename = "event.decided")]
    EventDecided(EventDecided),
    /// A change of a delivery.
    #[serde(rename = "delivery.status")]
    Delivery(DeliveryUpdate),
    /// A provider's receipt for a message that it has accepted.
    #[serde(rename = "delivery.receipt")]
    Receipt(DeliveryReceipt),
    /// A verdict about a dead letter.
    #[serde(rename = "dead_letter.verdict")]
    Verdict(VerdictGiven),
}

impl StatusRecord {
    /// Parses a record. (serde's own tagged enums would copy the event's raw JSON through a generic tree.)
    pub fn parse(json: &[u8]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kind: std::borrow::Cow<'a, str>,
        }
        let Kind { kind } = serde_json::from_slice(json)?;
        match &*kind {
            "event.decided" => {
                wire::read(json, STATUS_VERSION, |decided: &EventDecided| decided.v).map(Self::EventDecided)
            }
            "delivery.status" => {
                wire::read(json, STATUS_VERSION, |update: &DeliveryUpdate| update.v).map(Self::Delivery)
            }
            "delivery.receipt" => {
                wire::read(json, STATUS_VERSION, |receipt: &DeliveryReceipt| receipt.v).map(Self::Receipt)
            }
            "dead_letter.verdict" => {
                wire::read(json, STATUS_VERSION, |given: &VerdictGiven| given.v).map(Self::Verdict)
            }
            _ => {
                let expected = "expected the kind event.decided, delivery.status, delivery.receipt or dead_letter.verdict";
                Err(serde_json::Error::custom(expected).into())
            }
        }
    }

    /// The record as JSON.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "strings, numbers and raw JSON always serialise"
    )]
    pub fn to_wire(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a status record serialises")
    }

    /// The record key, by which all records about one event lie in one partition, in order. A verdict about a record that
    /// belongs to no known event has the letter's own key.
    #[must_use]
    pub fn record_key(&self) -> String {
        match self {
            Self::EventDecided(decided) => format!("{}|{}", decided.tenant, decided.event_id),
            Self::Delivery(update) => format!("{}|{}", update.tenant, update.event_id),
            Self::Receipt(receipt) => format!("{}|{}", receipt.tenant, receipt.event_id),
            Self::Verdict(given) => match &given.event_id {
                Some(event_id) => format!("{}|{event_id}", given.tenant),
                None => format!("{}|{}", given.tenant, given.letter_id),
            },
        }
    }
}

/// The version of the wire form that this code writes.
pub const STATUS_VERSION: u32 = 1;

/// An event and the decisions about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventDecided {
    /// The version of the wire form, [`STATUS_VERSION`].
    pub v: u32,
    /// The tenant.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// The time of the decision.
    pub at: Timestamp,
    /// [`crate::Delivery::accepted_at`]; of a record that leads to no delivery, the time of the decision.
    pub accepted_at: Timestamp,
    /// The verdict on the event's record, by which the auditor counts.
    pub verdict: EventVerdict,
    /// The record of the event: topic, partition, offset.
    pub origin: Origin,
    /// Number of the part, from 0. A very large fan-out is decided in several parts with the same origin.
    #[serde(default)]
    pub part: u32,
    /// The number of parts; 0 if a router of the former release wrote the record.
    #[serde(default)]
    pub parts: u32,
    /// Whether the event came through the gateway, which counts it as acknowledged, or from a Kafka producer.
    pub via_gateway: bool,
    /// The release, if the record has waited before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseOf>,
    /// The time until which the event waits, if its verdict is `scheduled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The user of an event that waits, if it is for one known user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The event, CloudEvents JSON; absent for a duplicate or a reject (its bytes are in the dead letter queue).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// The decisions, one for each recipient × channel × contact point, in the order in which they were made.
    #[serde(default)]
    pub decisions: Vec<Decision>,
}

/// The verdict on the record of an event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventVerdict {
    /// The event was decided.
    Routed,
    /// An event of the same (tenant, source, id) was routed from another record.
    Duplicate,
    /// The record is not a valid event and is in `notifications.events.dlq`.
    Rejected,
    /// Skipped: a Kafka record without a value.
    Tombstone,
    /// Skipped: an event of change data capture reports a deleted row and has no recipient.
    DeletedRow,
    /// Skipped: the event has no recipient, and its type allows that.
    NoRecipient,
    /// The event waits for its `sendat`.
    Scheduled,
    /// The event was cancelled before it was decided.
    Cancelled,
}

impl EventVerdict {
    /// Whether the event was skipped: it leads to no message, which is not an error.
    #[must_use]
    pub fn is_skipped(self) -> bool {
        matches!(self, Self::Tombstone | Self::DeletedRow | Self::NoRecipient)
    }
}

/// A change of a delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryUpdate {
    /// The version of the wire form, [`STATUS_VERSION`].
    pub v: u32,
    /// The tenant.
    pub tenant: TenantId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// Its category.
    pub category: Arc<str>,
    /// The recipient's id, if it is a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The channel.
    pub channel: Channel,
    /// [`crate::Delivery::accepted_at`].
    pub accepted_at: Timestamp,
    /// Generation: 0, plus 1 for each replay.
    pub generation: u32,
    /// Number of the attempt, from 1; 0 of a replay that no worker has read yet. Every attempt has a number of its own, also one that
    /// does not count, because the account was throttled or parked.
    pub attempt: u32,
    /// The number of attempts so far that count against the retry policy, with this one if it does; absent if no worker has tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The address, masked for display, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_masked: Option<String>,
    /// The provider account that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    /// The provider's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_message_id: Option<String>,
    /// The template that was rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// The due time of the next attempt, if there will be one. The wait of the last step ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// The steps, oldest first. A record may have several steps of one attempt (`sending`, `sent`).
    pub steps: Vec<TimelineStep>,
}

/// A verdict about a dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerdictGiven {
    /// The version of the wire form, [`STATUS_VERSION`].
    pub v: u32,
    /// The tenant.
    pub tenant: TenantId,
    /// The dead letter.
    pub letter_id: Uuid,
    /// The verdict.
    pub verdict: LetterVerdict,
    /// The job that gave it.
    pub job_id: Uuid,
    /// The time at which it was given.
    pub at: Timestamp,
    /// The event, if the letter is a delivery of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
}

/// The template that rendered a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRef {
    /// `<type>/<channel>`.
    pub id: Arc<str>,
    /// Immutable version, from 1.
    pub version: u32,
    /// The locale of the template, which was chosen for that of the recipient.
    pub locale: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written_and_unknown_fields_are_ignored() {
        let json = r#"{"kind":"event.decided","v":1,"tenant":"default","event_id":"1","source":"/","type":"T",
            "at":"2026-11-24T10:00:00Z","accepted_at":"2026-11-24T09:59:59Z","verdict":"routed",
            "origin":{"topic":"t","partition":0,"offset":3},"via_gateway":true,"event":{"b": 1,"a":2},"decisions":[],
            "later":true}"#;
        let StatusRecord::EventDecided(decided) = StatusRecord::parse(json.as_bytes()).unwrap() else {
            panic!()
        };
        assert_eq!(decided.event.as_ref().unwrap().get(), r#"{"b": 1,"a":2}"#);
        let again = StatusRecord::parse(&StatusRecord::EventDecided(decided).to_wire()).unwrap();
        assert_eq!(again.record_key(), "default|1");
        assert!(StatusRecord::parse(br#"{"kind":"other"}"#).is_err());
    }

    #[test]
    fn a_verdict_lies_beside_the_records_of_its_event_and_is_read_back() {
        let given = |event: &str| {
            format!(
                r#"{{"kind":"dead_letter.verdict","v":1,"tenant":"default","letter_id":"{id}","verdict":"replayed",
                "job_id":"{id}","at":"2026-11-24T10:00:00Z"{event}}}"#,
                id = Uuid::nil()
            )
        };
        let of_event = StatusRecord::parse(given(r#","event_id":"1""#).as_bytes()).unwrap();
        assert_eq!(of_event.record_key(), "default|1");
        let alone = StatusRecord::parse(given("").as_bytes()).unwrap();
        assert_eq!(alone.record_key(), format!("default|{}", Uuid::nil()));
        let StatusRecord::Verdict(again) = StatusRecord::parse(&alone.to_wire()).unwrap() else {
            panic!()
        };
        assert_eq!(again.verdict, LetterVerdict::Replayed);
    }
}
