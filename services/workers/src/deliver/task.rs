//! A delivery on its way through the stages.

use carillon_bus::{Inbound, headers};
use carillon_domain::{
    Delivery, Lane, Timestamp,
    dead_letter::FailureClass,
    status::{DeliveryUpdate, STATUS_VERSION, TemplateRef, TimelineStep},
};
use carillon_store::send_ledger::SendKey;
use serde::{Deserialize, Serialize};

/// How many of a record's attempts do not count (the account was throttled or parked).
pub(super) const UNCOUNTED: &str = "carillon-uncounted-attempts";

/// One attempt to deliver.
pub(super) struct Task {
    pub(super) inbound: Inbound,
    pub(super) delivery: Delivery,
    /// From 1.
    pub(super) attempt: u32,
    /// How many of the attempts so far do not count against the policy.
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

    /// How many attempts were made, this one included: those that the account was too busy or parked for are none.
    pub(super) fn attempts(&self) -> u32 {
        self.attempt.saturating_sub(self.uncounted).max(1)
    }

    pub(super) fn lane(&self) -> Lane {
        self.delivery.priority
    }

    /// The status record of what was concluded.
    pub(super) fn update(&self, concluded: &Concluded) -> DeliveryUpdate {
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
            accepted_at: Some(delivery.accepted_at),
            generation: self.generation,
            attempt: self.attempt,
            to_masked: concluded.to_masked.clone(),
            provider: concluded.provider.as_deref().map(Into::into),
            provider_message_id: match &concluded.verdict {
                Verdict::Sent { message_id } => message_id.clone(),
                _ => None,
            },
            template: concluded.template.clone(),
            next_attempt_at: match &concluded.verdict {
                Verdict::Again { due, .. } => Some(delivery.by_expiry(*due)),
                _ => None,
            },
            steps: concluded.steps.clone(),
        }
    }
}

/// What came of an attempt: kept in the send ledger, so that reading the record again says the same without sending.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Concluded {
    pub(super) verdict: Verdict,
    pub(super) steps: Vec<TimelineStep>,
    #[serde(default)]
    pub(super) provider: Option<String>,
    #[serde(default)]
    pub(super) to_masked: Option<String>,
    #[serde(default)]
    pub(super) template: Option<TemplateRef>,
}

/// What is to happen after an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The provider took it.
    Sent { message_id: Option<String> },
    /// Another attempt at `due`; one that does not count if the account was to blame.
    Again { due: Timestamp, counts: bool },
    /// Into the dead letter queue.
    Dead {
        class: FailureClass,
        code: String,
        reason: String,
    },
    /// It has ended without a message: expired, suppressed, or the address is gone.
    Over,
}
