//! One attempt of a delivery, apart from the record that it was read from.

use carillon_domain::{
    Delivery, Lane, Timestamp,
    conclusion::{Conclusion, Consequence},
    status::{DeliveryUpdate, STATUS_VERSION},
};
use carillon_store::send_ledger::SendKey;

/// One attempt of a delivery.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryAttempt {
    pub(crate) delivery: Delivery,
    /// Number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// The number of attempts so far that do not count against the policy.
    pub(crate) uncounted: u32,
    pub(crate) generation: u32,
    pub(crate) started_at: Timestamp,
}

impl DeliveryAttempt {
    /// The attempt's key in the ledger.
    pub(crate) fn key(&self) -> SendKey {
        SendKey {
            accepted_at: self.delivery.accepted_at,
            delivery_id: self.delivery.delivery_id,
            generation: self.generation,
            attempt: self.attempt,
        }
    }

    /// The number of attempts that count, this one included. Attempts for which the account was throttled or parked
    /// do not.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempt.saturating_sub(self.uncounted).max(1)
    }

    /// The number of attempts so far that count, with this one if it does.
    fn counted(&self, verdict: &Consequence) -> u32 {
        match verdict {
            Consequence::Again { counts: false, .. } => self.attempts() - 1,
            _ => self.attempts(),
        }
    }

    pub(crate) fn lane(&self) -> Lane {
        self.delivery.priority
    }

    /// The status record of an outcome. Its steps belong to this attempt, or to the earlier one that the outcome proves.
    pub(crate) fn update(&self, concluded: &Conclusion) -> DeliveryUpdate {
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
            attempt: concluded.proves.unwrap_or(self.attempt),
            // A proof belongs to the earlier attempt, whose own record has its number.
            attempts: concluded
                .proves
                .is_none()
                .then(|| self.counted(&concluded.verdict)),
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
