//! Suppression: an address that takes no messages, and why. It belongs to the tenant, the channel and the address, so it
//! holds for every user and guest with that address.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::{channel::Channel, clock::Timestamp, contact::DeathReason};

/// The reason for which an address takes no messages.
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
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SuppressionReason {
    /// A provider said that the mailbox or the number does not exist, or an endpoint that it is gone.
    HardBounce,
    /// The recipient reported a message as unwanted.
    Complaint,
    /// The recipient has told a provider to stop (STOP to a text message).
    OptedOut,
    /// A provider said that the registration token of a device is not valid any more.
    DeadToken,
    /// A person put the address on the list.
    Manual,
    /// The address came with a file, without another reason.
    Import,
}

impl SuppressionReason {
    /// The reason that follows from a provider's refusal of an address.
    #[must_use]
    pub fn of_refusal(channel: Channel, reason: DeathReason) -> Self {
        match (reason, channel) {
            (DeathReason::OptedOut, _) => Self::OptedOut,
            (DeathReason::Gone, Channel::Push) => Self::DeadToken,
            (DeathReason::Gone, Channel::Email | Channel::Sms | Channel::Webhook) => Self::HardBounce,
        }
    }

    /// Whether registering the address again lifts it, because the caller vouches that the address exists. A
    /// recipient's wish is not lifted by that, nor is a person's entry.
    #[must_use]
    pub fn ends_with_registration(self) -> bool {
        matches!(self, Self::HardBounce | Self::DeadToken)
    }

    /// The reason as the end of a sentence, after "since …, because".
    #[must_use]
    pub fn because(self) -> &'static str {
        match self {
            Self::HardBounce => "a provider said that the address does not exist",
            Self::Complaint => "the recipient reported a message as unwanted",
            Self::OptedOut => "the recipient has told the provider to stop (STOP)",
            Self::DeadToken => "a provider said that the device's token is not valid any more",
            Self::Manual => "a person put it there",
            Self::Import => "it was imported",
        }
    }
}

/// An address's entry in the suppression list, as far as a decision needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Why the address takes no messages.
    pub reason: SuppressionReason,
    /// The time since which it takes none.
    pub since: Timestamp,
}

impl Suppression {
    /// The sentence about one address: since when it takes no messages, and why.
    #[must_use]
    pub fn sentence(&self) -> String {
        let since = self.since.format("%Y-%m-%d %H:%M:%S UTC");
        format!(
            "the address has been on the suppression list since {since}, because {}",
            self.reason.because()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registering_an_address_again_lifts_a_providers_verdict_and_not_a_recipients_wish() {
        let lifted: Vec<_> = SuppressionReason::VARIANTS
            .iter()
            .filter(|reason| reason.ends_with_registration())
            .collect();
        assert_eq!(
            lifted,
            [&SuppressionReason::HardBounce, &SuppressionReason::DeadToken]
        );
    }

    #[test]
    fn a_refused_address_is_a_dead_token_on_push_and_a_hard_bounce_elsewhere() {
        let of = SuppressionReason::of_refusal;
        assert_eq!(
            of(Channel::Webhook, DeathReason::Gone),
            SuppressionReason::HardBounce
        );
        assert_eq!(of(Channel::Push, DeathReason::Gone), SuppressionReason::DeadToken);
        assert_eq!(
            of(Channel::Email, DeathReason::Gone),
            SuppressionReason::HardBounce
        );
        assert_eq!(of(Channel::Sms, DeathReason::Gone), SuppressionReason::HardBounce);
        assert_eq!(
            of(Channel::Sms, DeathReason::OptedOut),
            SuppressionReason::OptedOut
        );
    }

    #[test]
    fn a_sentence_names_the_reason_and_the_time() {
        let stopped = Suppression {
            reason: SuppressionReason::OptedOut,
            since: "2026-11-24T10:00:00.5Z".parse().unwrap(),
        };
        assert_eq!(
            stopped.sentence(),
            "the address has been on the suppression list since 2026-11-24 10:00:00 UTC, because the recipient has told the provider \
             to stop (STOP)"
        );
    }
}
