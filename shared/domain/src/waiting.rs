//! Waits: a whole event waits until its `sendat`, or some deliveries of an event until they may be sent. The router
//! writes the event's record to `notifications.scheduled`, with the header `carillon-waits` ([`Waiting`]). When it is
//! due, the scheduler puts the record back on its events topic with the header `carillon-release` ([`Release`]), and
//! the router decides it again, from suppression on. Deliveries that join a digest ([`DigestMembership`]) wait in the
//! same form.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::{
    channel::Channel,
    clock::Timestamp,
    ids::{
        DeliveryId, DigestId, EventId, NotificationId, TenantId, UserId, fallback_id, member_id, waiting_id,
    },
    origin::Origin,
    recipient::Recipient,
    wire::{self, WireError},
};

/// The version of the wire form that this code writes.
pub const WAITING_VERSION: u32 = 1;

/// The reason of an event that waits for its `sendat`.
pub const SEND_AT: &str = "send_at";

/// The kind of a wait.
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
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WaitingKind {
    /// A whole event.
    Event,
    /// Deliveries of an event whose other deliveries may have been decided already.
    Deliveries,
}

/// The deliveries to one recipient on one channel that wait together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingPart {
    /// The notification, which is the event for the recipient.
    pub notification_id: NotificationId,
    /// The recipient's id, if it is a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The channel, which is decided again at the release.
    pub channel: Channel,
    /// The deliveries that wait: those that the decisions to defer name.
    pub deliveries: Vec<DeliveryId>,
    /// The deliveries on earlier channels of a fallback order. The part is not sent if one of them has reached the recipient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<DeliveryId>,
}

/// The content of a wait: the event, or some of its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WaitingContent {
    /// The whole event.
    Event,
    /// Deliveries of it.
    Deliveries {
        /// [`crate::Delivery::accepted_at`], which stays the same for a delivery.
        accepted_at: Timestamp,
        /// The event's type, as the catalog named it.
        event_type: Arc<str>,
        /// The type's category.
        category: Arc<str>,
        /// The deliveries, by recipient and channel.
        parts: Vec<WaitingPart>,
    },
}

impl WaitingContent {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> WaitingKind {
        match self {
            Self::Event => WaitingKind::Event,
            Self::Deliveries { .. } => WaitingKind::Deliveries,
        }
    }

    /// The parts; empty for a whole event.
    #[must_use]
    pub fn parts(&self) -> &[WaitingPart] {
        match self {
            Self::Event => &[],
            Self::Deliveries { parts, .. } => parts,
        }
    }
}

/// The header `carillon-release` of a record that has waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// [`WAITING_VERSION`].
    pub v: u32,
    /// The id of the wait. The router decides each release once.
    pub id: Uuid,
    /// The number of releases of the event, or of this part of it, with this one: from 1.
    pub number: u32,
    /// The position of the event's first record, from which the id of an event without one is derived.
    pub origin: Origin,
    /// The timestamp of the event's first record.
    pub written_at: Timestamp,
    /// The content of the wait.
    pub content: WaitingContent,
}

/// The release of a record that has waited, in a status record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseOf {
    /// The id of the wait.
    pub id: Uuid,
    /// Its number, from 1.
    pub number: u32,
    /// The kind of the wait.
    pub kind: WaitingKind,
    /// The deliveries that waited; empty for a whole event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<DeliveryId>,
}

/// The header `carillon-waits` of a record that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The tenant.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type, as the catalog names it.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// The user, if the event is for one known user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The time before which it is not released.
    pub due: Timestamp,
    /// Why it waits, as a stable word: [`SEND_AT`], or the reason of a decision to defer.
    pub reason: Arc<str>,
    /// The digest that its only part joins. If the digest has been sent by then, it is released at once and decided again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestMembership>,
    /// Its release.
    pub release: Release,
}

/// The digest that deliveries join. It is sent at the time until which they wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestMembership {
    /// The digest.
    pub id: DigestId,
    /// The event type of the digest.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// The category.
    pub category: Arc<str>,
    /// The channel.
    pub channel: Channel,
    /// The recipient.
    pub recipient: Recipient,
    /// The most items that the template gets.
    pub max: u32,
}

impl Release {
    /// Reads the header.
    pub fn parse(json: &[u8]) -> Result<Self, WireError> {
        wire::read(json, WAITING_VERSION, |release: &Self| release.v)
    }

    /// The header's value.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        written(self)
    }

    /// The release in a status record.
    #[must_use]
    pub fn of(&self) -> ReleaseOf {
        let parts = self.content.parts().iter();
        ReleaseOf {
            id: self.id,
            number: self.number,
            kind: self.content.kind(),
            deliveries: parts.flat_map(|part| part.deliveries.iter().copied()).collect(),
        }
    }
}

impl Waiting {
    /// Reads the header.
    pub fn parse(json: &[u8]) -> Result<Self, WireError> {
        wire::read(json, WAITING_VERSION, |waiting: &Self| waiting.release.v)
    }

    /// The header's value.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        written(self)
    }

    /// The id of a whole event that waits. It waits at most once.
    #[must_use]
    pub fn id_of_event(tenant: &TenantId, source: &str, event: &EventId) -> Uuid {
        waiting_id(tenant, source, event, None, None)
    }

    /// The id of a notification's deliveries that join a digest; `former` is the release with which they came, if they have
    /// waited before.
    #[must_use]
    pub fn id_of_member(digest: DigestId, notification: NotificationId, former: Option<Uuid>) -> Uuid {
        member_id(digest, notification, former)
    }

    /// The id of a notification's deliveries on a channel that wait for earlier channels of a fallback order; `former` is the
    /// release with which they came, if they have waited before.
    #[must_use]
    pub fn id_of_fallback(notification: NotificationId, channel: Channel, former: Option<Uuid>) -> Uuid {
        fallback_id(notification, channel, former)
    }

    /// The id of deliveries of an event that wait until `due`; `former` is the release with which they came, if they have
    /// waited before.
    #[must_use]
    pub fn id_of_deliveries(
        tenant: &TenantId,
        source: &str,
        event: &EventId,
        former: Option<Uuid>,
        due: Timestamp,
    ) -> Uuid {
        waiting_id(tenant, source, event, former, Some(due))
    }
}

#[expect(clippy::expect_used, reason = "strings and numbers always serialise")]
fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a header serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(content: WaitingContent) -> Waiting {
        Waiting {
            tenant: TenantId::default(),
            event_id: EventId::from("e"),
            source: "/shop".into(),
            event_type: "OrderShipped".into(),
            user_id: Some("u-1".into()),
            due: "2026-11-25T08:00:00Z".parse().unwrap(),
            reason: SEND_AT.into(),
            digest: None,
            release: Release {
                v: WAITING_VERSION,
                id: Uuid::from_u128(7),
                number: 1,
                origin: Origin {
                    topic: "n.events".into(),
                    partition: 2,
                    offset: 9,
                },
                written_at: "2026-11-24T10:00:00.000001Z".parse().unwrap(),
                content,
            },
        }
    }

    #[test]
    fn a_waiting_header_is_read_back_as_it_was_written_and_another_version_is_named() {
        let part = WaitingPart {
            notification_id: NotificationId(Uuid::from_u128(4)),
            user_id: Some("u-1".into()),
            channel: Channel::Email,
            deliveries: vec![DeliveryId(Uuid::from_u128(3))],
            after: vec![DeliveryId(Uuid::from_u128(2))],
        };
        let deliveries = WaitingContent::Deliveries {
            accepted_at: "2026-11-24T10:00:00Z".parse().unwrap(),
            event_type: "OrderShipped".into(),
            category: "transactional".into(),
            parts: vec![part],
        };
        for content in [WaitingContent::Event, deliveries] {
            let written = waiting(content);
            assert_eq!(Waiting::parse(&written.to_wire()).unwrap(), written);
            let release = &written.release;
            assert_eq!(&Release::parse(&release.to_wire()).unwrap(), release);
            assert_eq!(release.of().deliveries.len(), release.content.parts().len());
        }
        let mut later = waiting(WaitingContent::Event);
        later.release.v = 2;
        for error in [
            Waiting::parse(&later.to_wire()).map(drop),
            Release::parse(&later.release.to_wire()).map(drop),
        ] {
            let expected = matches!(
                error,
                Err(WireError::Version {
                    expected: 1,
                    found: 2
                })
            );
            assert!(expected, "{error:?}");
        }
    }

    #[test]
    fn a_part_of_the_former_release_waits_for_no_other_delivery() {
        let json =
            r#"{"notification_id":"00000000-0000-0000-0000-000000000004","channel":"email","deliveries":[]}"#;
        let part: WaitingPart = serde_json::from_str(json).unwrap();
        assert!(part.after.is_empty());
        assert_eq!(serde_json::to_string(&part).unwrap(), json);
    }

    #[test]
    fn a_wait_has_the_same_id_whenever_it_is_decided_and_another_one_has_another() {
        let (tenant, event) = (TenantId::default(), EventId::from("e"));
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let (morning, noon) = (at("2026-11-25T08:00:00Z"), at("2026-11-25T12:00:00Z"));
        let whole = Waiting::id_of_event(&tenant, "/", &event);
        let first = Waiting::id_of_deliveries(&tenant, "/", &event, None, morning);
        let all = [
            whole,
            first,
            Waiting::id_of_deliveries(&tenant, "/", &event, None, noon),
            Waiting::id_of_deliveries(&tenant, "/", &event, Some(first), noon),
            Waiting::id_of_event(&tenant, "/shop", &event),
            Waiting::id_of_fallback(NotificationId(whole), Channel::Email, None),
            Waiting::id_of_fallback(NotificationId(whole), Channel::Sms, None),
            Waiting::id_of_fallback(NotificationId(whole), Channel::Sms, Some(first)),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(whole, Waiting::id_of_event(&tenant, "/", &event));
        assert_eq!(whole.to_string(), "9853e25d-72b5-5fed-b69c-776b5fbe7e20");
    }
}
