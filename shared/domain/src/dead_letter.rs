//! The description of a dead letter. It stands in the record's headers; the record's bytes stay untouched.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::clock::Timestamp;

/// The header with the id of the job that has put a record back.
pub const REPLAY_HEADER: &str = "carillon-replay";

/// The reason for which a record is in a dead letter queue.
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
pub enum FailureClass {
    /// Its bytes are not a message of Carillon's.
    Unparseable,
    /// A message that breaks a rule, such as an unknown type, a bad field or a missing recipient.
    Invalid,
    /// It cannot be rendered.
    Render,
    /// The provider refused it for good.
    Terminal,
    /// The address is gone.
    AddressDead,
    /// All attempts failed.
    RetriesExhausted,
    /// It may have gone out, and its category wants no second copy.
    Uncertain,
    /// Its handling made Carillon's own code panic repeatedly.
    Bug,
}

/// The verdict about a dead letter. A letter without one is open.
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
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LetterVerdict {
    /// Its record was put back, to be processed once more.
    Replayed,
    /// It was given up.
    Discarded,
}

/// The reason for which a job leaves a dead letter as it is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
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
pub enum SkipReason {
    /// Another job has given its verdict before.
    AlreadySettled,
    /// The delivery's expiry has passed, so that a replay would send nothing.
    Expired,
    /// The record was too large for the dead letter topic, which has only its beginning.
    Truncated,
    /// The record's bytes are not a delivery of this tenant and channel, or are not known at all.
    Unreadable,
    /// The record did not come from a topic to which it could be put back.
    UnknownSource,
    /// The router has claimed the event for the rejected record, so it would take another one for a duplicate.
    EventClaimed,
    /// The event has been routed from another record.
    EventRouted,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The reason as a sentence without a full stop.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AlreadySettled => "it was replayed or discarded before",
            Self::Expired => "its expiry has passed, so nothing would be sent",
            Self::Truncated => "only the beginning of its record was kept",
            Self::Unreadable => "its record cannot be read",
            Self::UnknownSource => "its record did not come from a topic of Carillon",
            Self::EventClaimed => {
                "its event was accepted with this record, so a second record would count as a duplicate; an edit can give \
                 it a new id"
            }
            Self::EventRouted => "its event was routed from another record",
        }
    }
}

impl FailureClass {
    /// Every class.
    pub const ALL: &'static [Self] = Self::VARIANTS;
}

/// The description of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The class of the failure.
    pub class: FailureClass,
    /// The provider account, if a provider was asked.
    pub provider: Option<String>,
    /// The structured code: the provider's or Carillon's.
    pub code: String,
    /// A sentence for people.
    pub reason: String,
    /// The number of attempts.
    pub attempts: u32,
    /// The time of the first failure.
    pub first_failed_at: Timestamp,
}

impl DeadLetter {
    /// A hash of the cause, equal for dead letters with the same one: 16 hex digits of SHA-256 over channel or
    /// `events`, class, provider and code.
    #[must_use]
    pub fn fingerprint(&self, queue: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [
            queue,
            self.class.into(),
            self.provider.as_deref().unwrap_or(""),
            self.code.as_str(),
        ] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize()[..8]
            .iter()
            .fold(String::with_capacity(16), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_has_one_fingerprint_with_any_sentence() {
        let letter = DeadLetter {
            class: FailureClass::Terminal,
            provider: Some("twilio".into()),
            code: "21612".into(),
            reason: "unroutable".into(),
            attempts: 1,
            first_failed_at: "2026-11-24T10:00:00Z".parse().unwrap(),
        };
        let other = DeadLetter {
            reason: "something else".into(),
            attempts: 3,
            ..letter.clone()
        };
        assert_eq!(letter.fingerprint("sms"), other.fingerprint("sms"));
        assert_ne!(letter.fingerprint("sms"), letter.fingerprint("email"));
        assert_eq!(letter.fingerprint("sms").len(), 16);
    }
}
