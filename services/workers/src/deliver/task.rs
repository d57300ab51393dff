//! A delivery in the deliver stage.

use carillon_bus::{Inbound, headers};
use carillon_domain::{
    Delivery, Lane, Timestamp,
    status::{DeliveryUpdate, STATUS_VERSION},
};
use carillon_store::send_ledger::SendKey;

pub(super) use carillon_domain::conclusion::{Conclusion, Consequence};

/// The header with the number of attempts that do not count (the account was throttled or parked).
pub(super) const UNCOUNTED: &str = "carillon-uncounted-attempts";

/// One attempt of a delivery.
pub(super) struct Task {
    pub(super) inbound: Inbound,
    pub(super) delivery: Delivery,
    /// Number of the attempt, from 1.
    pub(super) attempt: u32,
    /// The number of attempts so far that do not count against the policy.
    pub(super) uncounted: u32,
    pub(super) generation: u32,
    pub(super) started_at: Timestamp,
}

impl Task {
    pub(super) fn new(inbound: Inbound, delivery: Delivery, now: Timestamp) -> Self {
        let number = |name| inbound.record.headers.get_u32(name);
        Self {
            attempt: number(headers::ATTEMPT).unwrap_or(1).max(1),
            uncounted: number(UNCOUNTED).unwrap_or(0),
            generation: number(headers::GENERATION).unwrap_or(0),
            inbound,
            delivery,
            started_at: now,
        }
    }

    pub(super) fn key(&self) -> SendKey {
        SendKey {
            accepted_at: self.delivery.accepted_at,
            delivery_id: self.delivery.delivery_id,
            generation: self.generation,
            attempt: self.attempt,
        }
    }

    /// The number of attempts that count, this one included. Attempts for which the account was throttled or parked
    /// do not.
    pub(super) fn attempts(&self) -> u32 {
        self.attempt.saturating_sub(self.uncounted).max(1)
    }

    pub(super) fn lane(&self) -> Lane {
        self.delivery.priority
    }

    /// The status record of an outcome.
    pub(super) fn update(&self, concluded: &Conclusion) -> DeliveryUpdate {
        let delivery = &self.delivery;
        DeliveryUpdate {
            v: STATUS_VERSION,
            tenant: delivery.tenant.clone(),
            delivery_id: delivery.delivery_id,
            event_id: delivery.event_id.clone(),
            source: delivery.source.clone(),
            event_type: delivery.event_type.clone(),
            category: delivery.category.clone(),
            user_id: delivery.user_id.clone(),
            channel: delivery.channel,
            accepted_at: delivery.accepted_at,
            generation: self.generation,
            attempt: self.attempt,
            to_masked: concluded.to_masked.clone(),
            provider: concluded.provider.as_deref().map(Into::into),
            provider_message_id: match &concluded.verdict {
                Consequence::Sent { message_id } => message_id.clone(),
                _ => None,
            },
            template: concluded.template.clone(),
            next_attempt_at: match &concluded.verdict {
                Consequence::Again { due, .. } => Some(delivery.by_expiry(*due)),
                _ => None,
            },
            steps: concluded.steps.clone(),
        }
    }
}
