//! The outcome of an attempt, as the send ledger stores it.

use serde::{Deserialize, Serialize};

use crate::{
    channel::Channel,
    clock::Timestamp,
    dead_letter::FailureClass,
    delivery_state::{DeliveryStatus, TimelineStep},
    status::TemplateRef,
};

/// The code of a delivery that was cancelled.
pub const CANCELLED: &str = "cancelled";
/// The code of a delivery that is not sent because a message on an earlier channel has reached the recipient.
pub const FALLBACK_REACHED: &str = "fallback_reached";

/// The outcome of an attempt. It is stored in the send ledger, so that a record that is read again gives the same
/// statuses without a second send.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Conclusion {
    /// The consequence.
    pub verdict: Consequence,
    /// The steps of the attempt, oldest first; of an earlier attempt if `proves` names one.
    pub steps: Vec<TimelineStep>,
    /// The provider account that was asked.
    #[serde(default)]
    pub provider: Option<String>,
    /// The address, masked for display.
    #[serde(default)]
    pub to_masked: Option<String>,
    /// The template that was rendered.
    #[serde(default)]
    pub template: Option<TemplateRef>,
    /// The send of this attempt, if its fate is unknown and the provider can be asked about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<UncertainSend>,
    /// The earlier attempt that turned out to be accepted, so that this one was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proves: Option<u32>,
}

/// A send of which it is unknown whether the provider took the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncertainSend {
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The provider account that was called; `None` if a worker ended before it recorded that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The time before which the provider was not called.
    pub from: Timestamp,
    /// The time at which the attempt was given up.
    pub until: Timestamp,
}

/// The consequence of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Consequence {
    /// The provider accepted the message.
    Sent {
        /// The provider's id of the message.
        message_id: Option<String>,
    },
    /// Another attempt follows.
    Again {
        /// The time of the next attempt.
        due: Timestamp,
        /// `false` if the account was to blame for this one.
        counts: bool,
    },
    /// The delivery becomes a dead letter.
    Dead {
        /// The kind of the cause.
        class: FailureClass,
        /// The cause, as a stable word.
        code: String,
        /// The cause, as a sentence.
        reason: String,
    },
    /// The delivery ends without a message: expired, suppressed, cancelled, or its address is dead.
    #[default]
    Over,
}

impl Conclusion {
    /// The outcome of an attempt that was cancelled before any worker claimed it. A worker that reads the delivery finds
    /// this outcome, publishes it again and sends nothing.
    #[must_use]
    pub fn cancelled(at: Timestamp, by: &str) -> Self {
        let detail = format!("the API key {by} cancelled it");
        Self::over(at, DeliveryStatus::Cancelled, CANCELLED, detail)
    }

    /// The outcome of an attempt that no worker had claimed when a message on an earlier channel was acknowledged.
    #[must_use]
    pub fn not_needed(at: Timestamp, earlier: Channel) -> Self {
        let detail = format!("the message by {earlier} was acknowledged, so none is sent here");
        Self::over(at, DeliveryStatus::Suppressed, FALLBACK_REACHED, detail)
    }

    fn over(at: Timestamp, status: DeliveryStatus, code: &str, detail: String) -> Self {
        Self {
            verdict: Consequence::Over,
            steps: vec![TimelineStep {
                at,
                status,
                code: Some(code.to_owned()),
                detail: Some(detail),
            }],
            ..Self::default()
        }
    }

    /// The outcome of an attempt that is not sent, because the provider has accepted the message of an earlier one. Its step belongs to
    /// the earlier attempt, so that receipts of that attempt follow it.
    #[must_use]
    pub fn proven(earlier: u32, provider: &str, message_id: Option<String>, step: TimelineStep) -> Self {
        Self {
            verdict: Consequence::Sent { message_id },
            steps: vec![step],
            provider: Some(provider.to_owned()),
            proves: Some(earlier),
            ..Self::default()
        }
    }

    /// The status that the attempt ended in; `None` if it has no steps.
    #[must_use]
    pub fn status(&self) -> Option<DeliveryStatus> {
        self.steps.last().map(|step| step.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_attempt_ends_without_a_message_and_names_the_key() {
        let conclusion = Conclusion::cancelled("2026-11-24T10:00:00Z".parse().unwrap(), "ops");
        let json = serde_json::to_string(&conclusion).unwrap();
        let again: Conclusion = serde_json::from_str(&json).unwrap();
        assert_eq!(again.verdict, Consequence::Over);
        assert_eq!(again.status(), Some(DeliveryStatus::Cancelled));
        assert!(json.contains("the API key ops cancelled it"), "{json}");
    }

    #[test]
    fn an_attempt_that_is_not_needed_has_the_reason_of_the_decision() {
        let conclusion = Conclusion::not_needed("2026-11-24T10:00:00Z".parse().unwrap(), Channel::Push);
        assert_eq!(conclusion.status(), Some(DeliveryStatus::Suppressed));
        let reason: &str = crate::decide::Reason::FallbackReached.into();
        assert_eq!(conclusion.steps[0].code.as_deref(), Some(reason));
    }

    #[test]
    fn outcomes_that_the_former_release_stored_are_read() {
        let json = r#"{"verdict":{"kind":"again","due":"2026-11-24T10:00:00Z","counts":false},"steps":[]}"#;
        let conclusion: Conclusion = serde_json::from_str(json).unwrap();
        assert!(matches!(
            conclusion.verdict,
            Consequence::Again { counts: false, .. }
        ));
        assert_eq!(conclusion.status(), None);
        assert_eq!((conclusion.uncertain, conclusion.proves), (None, None));
    }

    #[test]
    fn an_outcome_without_an_uncertain_send_has_the_former_form() {
        let json = serde_json::to_value(Conclusion::default()).unwrap();
        let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["provider", "steps", "template", "to_masked", "verdict"]);
    }
}
