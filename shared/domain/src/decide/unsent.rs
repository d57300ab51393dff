//! The end of a delivery that has waited and is not sent.

use super::{Decision, Outcome, Reason};
use crate::{
    clock::Timestamp,
    delivery_state::{DeliveryStatus, TimelineStep},
};

/// The step of a delivery that has waited and is not sent, by the decision at its release. Without a decision, the event no
/// longer has the recipient or the channel.
#[must_use]
pub fn not_sent(decision: Option<&Decision>, now: Timestamp) -> TimelineStep {
    let (status, code, detail) = match decision {
        Some(decision) => {
            let status = match (decision.outcome, decision.reason) {
                (_, Reason::Expired) => DeliveryStatus::Expired,
                (Outcome::Drop, _) => DeliveryStatus::Failed,
                _ => DeliveryStatus::Suppressed,
            };
            (status, decision.reason.into(), decision.sentence.as_str())
        }
        None => (
            DeliveryStatus::Suppressed,
            "not_a_recipient",
            "by the present catalog the event has no such recipient on this channel",
        ),
    };
    TimelineStep {
        at: now,
        status,
        code: Some(code.to_owned()),
        detail: Some(detail.to_owned()),
    }
}
