//! The answers of Carillon and of the simulator, as far as the run reads them.

use carillon_domain::Timestamp;
use serde::Deserialize;

use super::stage::{is_dead, user_of};

/// The beginning of the detail of a step `sending` of a channel with weights; the account follows.
pub(super) const TO_ACCOUNT: &str = "to the provider account ";
/// The accounts whose providers report the fate of a message.
const REPORTING: [&str; 3] = ["amazon", "mails", "twilio"];

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) event_id: String,
    pub(super) channel: String,
    pub(super) status: String,
    pub(super) provider: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) timeline: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) status: String,
    pub(super) code: Option<String>,
    pub(super) detail: Option<String>,
    /// The account that the attempt ended with.
    pub(super) provider: Option<String>,
    pub(super) attempt: u32,
}

impl Step {
    /// The account to which a message is handed over at this step.
    pub(super) fn sent_to(&self) -> Option<&str> {
        if self.status != "sending" || self.code.is_some() {
            return None;
        }
        let named = self
            .detail
            .as_deref()
            .and_then(|detail| detail.strip_prefix(TO_ACCOUNT));
        named
            .and_then(|rest| rest.split(' ').next())
            .or(self.provider.as_deref())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Message {
    pub(super) delivery_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Duplicate {
    pub(super) delivery_id: String,
    pub(super) count: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stats {
    pub(super) acknowledged: u64,
    pub(super) pending: u64,
    pub(super) waiting: u64,
    pub(super) ended: u64,
    pub(super) deliveries_produced: u64,
    pub(super) events_difference: i64,
    pub(super) deliveries_difference: i64,
}

impl Stats {
    /// Whether all deliveries of `accepted` events have ended and the books balance.
    pub(super) fn is_quiet(&self, accepted: u64) -> bool {
        self.acknowledged >= accepted
            && self.pending == 0
            && self.waiting == 0
            && self.events_difference == 0
            && self.deliveries_difference == 0
    }
}

impl Delivery {
    fn is_reported(&self) -> bool {
        let provider = self.provider.as_deref();
        provider.is_some_and(|provider| REPORTING.contains(&provider))
    }

    /// Whether its provider has not reported the message's fate yet.
    pub(super) fn waits_for_report(&self) -> bool {
        self.status == "sent" && self.is_reported()
    }

    /// Whether it ended as it has to.
    pub(super) fn has_right_end(&self) -> bool {
        let user = user_of(&self.event_id);
        let is_dead = user.is_some_and(|user| is_dead(user, &self.channel));
        match (is_dead, self.is_reported()) {
            // A mailbox's death is reported after its mail was accepted; a number is refused at once.
            (true, true) => ["bounced", "failed"].contains(&&*self.status),
            (true, false) => self.status == "failed",
            (false, true) => self.status == "delivered",
            (false, false) => self.status == "sent",
        }
    }
}
