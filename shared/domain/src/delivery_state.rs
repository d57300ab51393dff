//! Delivery states. A delivery's state is the greatest (generation, attempt, rank) seen, so late, doubled or
//! reordered records end in the same state.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString, IntoStaticStr};

use crate::clock::Timestamp;

/// The status of a delivery.
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
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryStatus {
    /// The event is accepted and not decided yet.
    Accepted,
    /// The delivery waits for its time.
    Deferred,
    /// The delivery is on its channel's topic.
    Queued,
    /// A worker has claimed an attempt.
    Sending,
    /// The delivery waits in a retry tier.
    Retrying,
    /// The message may have been sent; it is unknown whether it was.
    Uncertain,
    /// The provider accepted the message.
    Sent,
    /// The provider refused the message for good.
    Failed,
    /// The expiry passed before the message was sent.
    Expired,
    /// The delivery was cancelled.
    Cancelled,
    /// The recipient or the address takes no messages.
    Suppressed,
    /// The delivery is in the dead letter queue.
    DeadLettered,
    /// The message was sent in a digest, which has deliveries of its own.
    Digested,
    /// The provider reports that the message arrived.
    Delivered,
    /// The message bounced.
    Bounced,
    /// The message was opened.
    Opened,
    /// The app says that the recipient has seen the message.
    Acknowledged,
    /// A link in the message was followed.
    Clicked,
    /// The recipient complained about the message.
    Complained,
}

impl DeliveryStatus {
    /// The rank. Within an attempt, the status with the higher rank wins.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Deferred => 5,
            Self::Queued => 10,
            Self::Sending => 20,
            Self::Retrying => 25,
            Self::Uncertain => 28,
            Self::Sent => 40,
            Self::Failed
            | Self::Expired
            | Self::Cancelled
            | Self::Suppressed
            | Self::DeadLettered
            | Self::Digested => 50,
            Self::Delivered => 60,
            Self::Bounced => 65,
            Self::Opened => 70,
            Self::Acknowledged => 72,
            Self::Clicked => 75,
            Self::Complained => 80,
        }
    }

    /// Whether the delivery has ended, so that no further message is sent for it: rank ≥ 40.
    #[must_use]
    pub fn is_ended(self) -> bool {
        self.rank() >= 40
    }

    /// Whether the message is known to have reached the recipient.
    #[must_use]
    pub fn has_reached(self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Opened | Self::Acknowledged | Self::Clicked | Self::Complained
        )
    }

    /// Whether no message of this delivery reaches the recipient, for another reason than a cancellation.
    #[must_use]
    pub fn has_failed(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Expired | Self::Suppressed | Self::DeadLettered | Self::Bounced
        )
    }

    /// The status's name on the wire and in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A delivery's state: the status of the greatest (generation, attempt, rank) seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryState {
    /// Generation: 0, plus 1 for each replay.
    pub generation: u32,
    /// Number of the attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The status.
    pub status: DeliveryStatus,
}

impl DeliveryState {
    /// The key by which states are ordered. Statuses of the same rank are ordered by name, so that the order of
    /// arrival has no effect.
    #[must_use]
    pub fn precedence(&self) -> (u32, u32, u8, &'static str) {
        (
            self.generation,
            self.attempt,
            self.status.rank(),
            self.status.as_str(),
        )
    }

    /// The greater of this state and `seen`.
    #[must_use]
    pub fn merge(self, seen: Self) -> Self {
        if seen.precedence() > self.precedence() {
            seen
        } else {
            self
        }
    }
}

/// A step of a delivery's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineStep {
    /// The time of the step.
    pub at: Timestamp,
    /// The status that it led to.
    pub status: DeliveryStatus,
    /// A structured code: the provider's, or Carillon's own such as `template-missing-variable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A detail as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strum::IntoEnumIterator as _;

    use super::*;

    fn any_state() -> impl Strategy<Value = DeliveryState> {
        let statuses: Vec<_> = DeliveryStatus::iter().collect();
        (0..3_u32, 0..4_u32, proptest::sample::select(statuses)).prop_map(|(generation, attempt, status)| {
            DeliveryState {
                generation,
                attempt,
                status,
            }
        })
    }

    fn fold(states: &[DeliveryState]) -> DeliveryState {
        states[1..]
            .iter()
            .fold(states[0], |state, seen| state.merge(*seen))
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_of_the_same_records_ends_in_the_same_state(
            states in proptest::collection::vec(any_state(), 1..20),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let expected = fold(&states);
            let mut shuffled: Vec<_> = order.iter().map(|index| *index.get(&states)).collect();
            shuffled.extend(states.iter().rev());
            prop_assert_eq!(fold(&shuffled), expected);
        }

        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in any_state(), b in any_state(), c in any_state()) {
            prop_assert_eq!(a.merge(b), b.merge(a));
            prop_assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
            prop_assert_eq!(a.merge(a), a);
        }
    }

    #[test]
    fn a_delivery_that_the_provider_accepted_has_ended_and_a_waiting_one_has_not() {
        assert!(DeliveryStatus::Sent.is_ended() && DeliveryStatus::DeadLettered.is_ended());
        assert!(!DeliveryStatus::Uncertain.is_ended() && !DeliveryStatus::Retrying.is_ended());
    }
}
