//! A delivery: one message for one target on one channel. It is the value of `notifications.<channel>`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    catalog::OnUncertain,
    channel::{Channel, Priority},
    clock::Timestamp,
    contact::{Platform, Target},
    ids::{DeliveryId, EventId, NotificationId, TenantId, UserId},
    wire::{self, WireError},
};

/// The version of the wire form that this code writes.
pub const DELIVERY_VERSION: u32 = 1;

/// The data with which a channel's worker renders and sends a message. Attempt and generation are in headers, so that
/// a retry or a replay has the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// [`DELIVERY_VERSION`].
    pub v: u32,
    /// The delivery's id.
    pub delivery_id: DeliveryId,
    /// The id of the notification, which is the event for this recipient.
    pub notification_id: NotificationId,
    /// The tenant.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// The time at which the event happened.
    pub event_time: Timestamp,
    /// The type's category.
    pub category: Arc<str>,
    /// The recipient's id, if it is a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The channel.
    pub channel: Channel,
    /// The destination.
    pub target: Target,
    /// The device's platform at the time of the decision, for push. A worker chooses the accounts by it before it looks
    /// the address up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The recipient's locale, BCP 47, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Arc<str>>,
    /// The recipient's timezone, IANA, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Arc<str>>,
    /// The lane.
    pub priority: Priority,
    /// The time after which the message must not be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The treatment of an attempt that may have been sent.
    #[serde(default)]
    pub on_uncertain: OnUncertain,
    /// Whether the recipient, a known user, may unsubscribe from the category.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_unsubscribe: bool,
    /// The time at which the bus took the event's record. It is the same however often the record is read and
    /// decided, so that tables can order their rows about a delivery by it.
    #[serde(alias = "decided_at")]
    pub accepted_at: Timestamp,
    /// The event's payload.
    pub data: Arc<RawValue>,
}

impl Delivery {
    /// Reads the value of a record.
    pub fn parse(json: &[u8]) -> Result<Self, WireError> {
        wire::read(json, DELIVERY_VERSION, |delivery: &Self| delivery.v)
    }

    /// Whether its expiry has passed.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// The given time, or the delivery's expiry if that is earlier.
    #[must_use]
    pub fn by_expiry(&self, time: Timestamp) -> Timestamp {
        self.expires_at.map_or(time, |expires_at| time.min(expires_at))
    }

    /// The record key that keeps one recipient's deliveries in order on a channel: `tenant|user`, or
    /// `tenant|notification` for a guest.
    #[must_use]
    pub fn record_key(&self) -> String {
        match &self.user_id {
            Some(user) => format!("{}|{user}", self.tenant),
            None => format!("{}|{}", self.tenant, self.notification_id),
        }
    }
}
