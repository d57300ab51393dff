//! Delivery states. A delivery's state is the greatest (generation, attempt, rank) seen, so late, doubled or
//! reordered records end in the same state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strum::{AsRefStr, Display, EnumIter, EnumString, IntoStaticStr};

use crate::{
    channel::Channel,
    clock::Timestamp,
    decide::Decision,
    ids::{DeliveryId, EventId, TenantId, UserId},
};

/// Where a delivery stands.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryStatus {
    /// Taken in, not yet decided.
    Accepted,
    /// Waits for its time.
    Deferred,
    /// On its channel's topic.
    Queued,
    /// Claimed by a worker.
    Sending,
    /// Waits in a retry tier.
    Retrying,
    /// May have gone out; nobody knows.
    Uncertain,
    /// The provider took it.
    Sent,
    /// The provider refused it for good.
    Failed,
    /// Its time passed before it was sent.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
    /// The address is not to be written to.
    Suppressed,
    /// In the dead letter queue.
    DeadLettered,
    /// The provider says it arrived.
    Delivered,
    /// It came back.
    Bounced,
    /// It was opened.
    Opened,
    /// A link in it was followed.
    Clicked,
    /// The recipient complained.
    Complained,
}

impl DeliveryStatus {
    /// Higher wins within one attempt.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Deferred => 5,
            Self::Queued => 10,
            Self::Sending => 20,
            Self::Retrying => 25,
            Self::Uncertain => 28,
            Self::Sent => 40,
            Self::Failed | Self::Expired | Self::Cancelled | Self::Suppressed | Self::DeadLettered => 50,
            Self::Delivered => 60,
            Self::Bounced => 65,
            Self::Opened => 70,
            Self::Clicked => 75,
            Self::Complained => 80,
        }
    }

    /// Whether nothing more will be sent for it: rank ≥ 40.
    #[must_use]
    pub fn is_ended(self) -> bool {
        self.rank() >= 40
    }

    /// The status's name on the wire and in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A delivery's state: the status of the greatest (generation, attempt, rank) seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryState {
    /// 0; each replay adds 1.
    pub generation: u32,
    /// 1 for the first attempt; 0 before any.
    pub attempt: u32,
    /// The status.
    pub status: DeliveryStatus,
}

impl DeliveryState {
    /// What states are ordered by. Statuses of one rank are told apart by name, so that the order of arrival never
    /// decides.
    #[must_use]
    pub fn precedence(&self) -> (u32, u32, u8, &'static str) {
        (
            self.generation,
            self.attempt,
            self.status.rank(),
            self.status.as_str(),
        )
    }

    /// The state after `seen` was seen too.
    #[must_use]
    pub fn merge(self, seen: Self) -> Self {
        if seen.precedence() > self.precedence() {
            seen
        } else {
            self
        }
    }
}

/// One record of `notifications.status`: public, versioned, the event-sourced truth.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind")]
pub enum StatusRecord {
    /// The router decided an event.
    #[serde(rename = "event.decided")]
    EventDecided(EventDecided),
    /// Something happened to a delivery.
    #[serde(rename = "delivery.status")]
    Delivery(DeliveryUpdate),
}

impl StatusRecord {
    /// Reads a record. (serde's own tagged enums would copy the event's raw JSON through a generic tree.)
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kind: std::borrow::Cow<'a, str>,
        }
        let Kind { kind } = serde_json::from_slice(json)?;
        match &*kind {
            "event.decided" => serde_json::from_slice(json).map(Self::EventDecided),
            "delivery.status" => serde_json::from_slice(json).map(Self::Delivery),
            _ => Err(serde::de::Error::custom(
                "expected the kind event.decided or delivery.status",
            )),
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

    /// The record key: everything about one event lies in one partition, in order.
    #[must_use]
    pub fn record_key(&self) -> String {
        match self {
            Self::EventDecided(decided) => format!("{}|{}", decided.tenant, decided.event_id),
            Self::Delivery(update) => format!("{}|{}", update.tenant, update.event_id),
        }
    }
}

/// The version of the wire form that this code writes.
pub const STATUS_VERSION: u32 = 1;

/// An event and what was decided about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventDecided {
    /// [`STATUS_VERSION`].
    pub v: u32,
    /// Whose.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// When it was decided.
    pub at: Timestamp,
    /// [`crate::Delivery::accepted_at`]; records of a former version say only when it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// The outcome, by which the auditor counts.
    pub verdict: EventVerdict,
    /// The record that carried the event: topic, partition, offset.
    pub origin: Origin,
    /// 0; a very large fan-out is decided in several parts of one origin.
    #[serde(default)]
    pub part: u32,
    /// Whether the event came through the gateway, which counts it as acknowledged, or from a Kafka producer.
    pub via_gateway: bool,
    /// The event, CloudEvents JSON; absent for a duplicate or a reject (its bytes are in the dead letter queue).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// One for each recipient × channel × contact point, in the order in which they were taken.
    #[serde(default)]
    pub decisions: Vec<Decision>,
}

/// What became of an event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventVerdict {
    /// Decided.
    Routed,
    /// An event of the same (tenant, source, id) was routed from another record.
    Duplicate,
    /// In `notifications.events.dlq`.
    Rejected,
    /// Skipped: a Kafka record without a value.
    Tombstone,
    /// Skipped: an event of change data capture says that a row is gone, and has no recipient.
    DeletedRow,
    /// Skipped: the event has no recipient, and its type allows that.
    NoRecipient,
}

impl EventVerdict {
    /// Whether the event was skipped: it leads to no message, and this is not an error.
    #[must_use]
    pub fn is_skipped(self) -> bool {
        matches!(self, Self::Tombstone | Self::DeletedRow | Self::NoRecipient)
    }
}

/// Coordinates of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Something happened to a delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryUpdate {
    /// [`STATUS_VERSION`].
    pub v: u32,
    /// Whose.
    pub tenant: TenantId,
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// Of which event.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// Its category.
    pub category: Arc<str>,
    /// The recipient, if they are a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// On which channel.
    pub channel: Channel,
    /// [`crate::Delivery::accepted_at`]; records of a former version do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// 0; each replay adds 1.
    pub generation: u32,
    /// 1 for the first.
    pub attempt: u32,
    /// The address as a dashboard may show it, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_masked: Option<String>,
    /// Which provider account was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    /// The provider's name for the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_message_id: Option<String>,
    /// What was rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// When the next attempt is due, if there will be one: the last step's waiting ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// What happened, oldest first: one record may carry several steps of one attempt (`sending`, `sent`).
    pub steps: Vec<TimelineStep>,
}

/// One step of a delivery's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineStep {
    /// When.
    pub at: Timestamp,
    /// Into which status.
    pub status: DeliveryStatus,
    /// A structured code: the provider's, or Carillon's own such as `template-missing-variable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Which template rendered a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRef {
    /// `<type>/<channel>`.
    pub id: Arc<str>,
    /// Immutable version, from 1.
    pub version: u32,
    /// The locale that was found for the recipient's.
    pub locale: Arc<str>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strum::IntoEnumIterator as _;

    use super::*;

    fn any_state() -> impl Strategy<Value = DeliveryState> {
        let statuses: Vec<_> = DeliveryStatus::iter().collect();
        (0..3_u32, 0..4_u32, proptest::sample::select(statuses)).prop_map(|(generation, attempt, status)| {
            DeliveryState {
                generation,
                attempt,
                status,
            }
        })
    }

    fn fold(states: &[DeliveryState]) -> DeliveryState {
        states[1..]
            .iter()
            .fold(states[0], |state, seen| state.merge(*seen))
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_of_the_same_records_ends_in_the_same_state(
            states in proptest::collection::vec(any_state(), 1..20),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let expected = fold(&states);
            let mut shuffled: Vec<_> = order.iter().map(|index| *index.get(&states)).collect();
            shuffled.extend(states.iter().rev());
            prop_assert_eq!(fold(&shuffled), expected);
        }

        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in any_state(), b in any_state(), c in any_state()) {
            prop_assert_eq!(a.merge(b), b.merge(a));
            prop_assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
            prop_assert_eq!(a.merge(a), a);
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written_and_unknown_fields_do_no_harm() {
        let json = r#"{"kind":"event.decided","v":1,"tenant":"default","event_id":"1","source":"/","type":"T",
            "at":"2026-11-24T10:00:00Z","verdict":"routed","origin":{"topic":"t","partition":0,"offset":3},
            "via_gateway":true,"event":{"b": 1,"a":2},"decisions":[],"later":true}"#;
        let StatusRecord::EventDecided(decided) = StatusRecord::parse(json.as_bytes()).unwrap() else {
            panic!()
        };
        assert_eq!(decided.event.as_ref().unwrap().get(), r#"{"b": 1,"a":2}"#);
        let again = StatusRecord::parse(&StatusRecord::EventDecided(decided).to_wire()).unwrap();
        assert_eq!(again.record_key(), "default|1");
        assert!(StatusRecord::parse(br#"{"kind":"other"}"#).is_err());
    }

    #[test]
    fn what_a_provider_took_has_ended_and_what_waits_has_not() {
        assert!(DeliveryStatus::Sent.is_ended() && DeliveryStatus::DeadLettered.is_ended());
        assert!(!DeliveryStatus::Uncertain.is_ended() && !DeliveryStatus::Retrying.is_ended());
    }
}
