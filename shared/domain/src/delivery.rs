//! A delivery: one message, on one channel, to one target. It is the value of `notifications.<channel>`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    catalog::OnUncertain,
    channel::{Channel, Priority},
    clock::Timestamp,
    contact::Target,
    ids::{DeliveryId, EventId, NotificationId, TenantId, UserId},
};

/// The version of the wire form that this code writes.
pub const DELIVERY_VERSION: u32 = 1;

/// What a channel's worker needs to render and send. The attempt and the generation travel in headers, so that a
/// retry or a replay is the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// [`DELIVERY_VERSION`].
    pub v: u32,
    /// This delivery.
    pub delivery_id: DeliveryId,
    /// The event for this recipient.
    pub notification_id: NotificationId,
    /// Whose.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Arc<str>,
    /// When the event happened.
    pub event_time: Timestamp,
    /// The type's category.
    pub category: Arc<str>,
    /// The recipient, if they are a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// On which channel.
    pub channel: Channel,
    /// To which address.
    pub target: Target,
    /// The recipient's locale, BCP 47, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Arc<str>>,
    /// The recipient's timezone, IANA, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Arc<str>>,
    /// Which lane it travels in.
    pub priority: Priority,
    /// Not to be sent after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What to do when nobody knows whether it went out.
    #[serde(default)]
    pub on_uncertain: OnUncertain,
    /// When the bus took the record that carried the event: the same however often that record is read and decided, so
    /// tables can order what they know of a delivery by it.
    #[serde(alias = "decided_at")]
    pub accepted_at: Timestamp,
    /// The event's payload.
    pub data: Arc<RawValue>,
}

impl Delivery {
    /// Whether its time has passed.
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
