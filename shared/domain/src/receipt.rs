//! Receipts: a provider's reports about the fate of a message that it has accepted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    delivery_state::TimelineStep,
    ids::{DeliveryId, EventId, TenantId},
};

/// A provider's receipt, as a record of the status topic. It names its attempt. Earlier records of the same partition
/// contain the other data of the delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReceipt {
    /// The version of the wire form, `STATUS_VERSION` of the status topic.
    pub v: u32,
    /// The tenant.
    pub tenant: TenantId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The event's id.
    pub event_id: EventId,
    /// [`crate::Delivery::accepted_at`].
    pub accepted_at: Timestamp,
    /// Generation: 0, plus 1 for each replay.
    pub generation: u32,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The provider account that reports.
    pub provider: Arc<str>,
    /// The provider's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_message_id: Option<String>,
    /// The identity of the receipt within the attempt. Providers repeat receipts; two records with the same identity are one
    /// receipt, and the first one counts.
    pub receipt_id: String,
    /// The step of the delivery's timeline.
    pub step: TimelineStep,
}
