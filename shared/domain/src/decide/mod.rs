//! The decision: who hears of an event, on which channel, and why. Pure code over loaded facts.
//!
//! It works in two halves, because limits live in a shared store: [`evaluate`] applies every rule up to the limits and
//! says which of them to take; [`Draft::conclude`] applies the verdicts.

mod explain;
mod once;
mod rules;
mod steps;
mod unusable;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

pub use once::once_per_address;
pub use rules::{evaluate, repeated};
pub use steps::{Step, Steps};
pub use unusable::unusable;

use crate::{
    catalog::{CategoryDef, EventTypeDef, LimitDef},
    channel::{Channel, Priority},
    clock::Timestamp,
    contact::{AddressKey, ContactPoint, Death},
    delivery::Delivery,
    event::Event,
    ids::{DeliveryId, TenantId, UserId},
    preference::Preferences,
    recipient::Recipient,
};

/// What is known of a user when a decision is made.
#[derive(Debug, Clone, Default)]
pub struct UserFacts {
    /// BCP 47.
    pub locale: Option<Arc<str>>,
    /// IANA.
    pub timezone: Option<Arc<str>>,
    /// Every address, the dead ones too.
    pub contacts: Vec<Contact>,
    /// What they want to hear.
    pub preferences: Arc<Preferences>,
}

/// A contact point and whether it may be used.
#[derive(Debug, Clone)]
pub struct Contact {
    /// The address.
    pub point: ContactPoint,
    /// The provider's verdict, if the address takes no more messages.
    pub dead: Option<Death>,
}

/// Everything a decision about one recipient rests on.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Whose event.
    pub tenant: &'a TenantId,
    /// The event.
    pub event: &'a Event,
    /// The name of its type in the catalog.
    pub type_name: &'a Arc<str>,
    /// Its type in the catalog.
    pub definition: &'a EventTypeDef,
    /// The type's category.
    pub category: &'a CategoryDef,
    /// The recipient.
    pub recipient: &'a Recipient,
    /// What is known of them; `None` for a guest or an unknown user.
    pub user: Option<&'a UserFacts>,
    /// With which inline addresses are hashed.
    pub address_key: &'a AddressKey,
    /// When the bus took the event's record.
    pub accepted_at: Timestamp,
    /// The time of the decision.
    pub now: Timestamp,
}

/// What is to happen.
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
pub enum Outcome {
    /// It is sent.
    Send,
    /// A rule says no.
    Suppress,
    /// It waits.
    Defer,
    /// It joins a digest.
    Digest,
    /// It is over a limit.
    Drop,
    /// It was told already.
    Duplicate,
}

/// Why, in one stable word.
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
pub enum Reason {
    /// Nothing stood against it.
    Allowed,
    /// The type is critical, which passes preferences and limits.
    Critical,
    /// The event's `expiresat` has passed.
    Expired,
    /// Nobody of that id is known.
    UnknownUser,
    /// They have no address on the channel.
    NoAddress,
    /// Every address on the channel is gone.
    AddressDead,
    /// Every address on the channel is gone or opted out (STOP to the provider), and at least one is opted
    /// out.
    Stopped,
    /// The user said no to the type.
    OptedOutType,
    /// The user said no to the category.
    OptedOutCategory,
    /// The user said no to the channel.
    OptedOutChannel,
    /// The category needs a yes that the user did not give.
    NotOptedIn,
    /// An earlier channel of the fallback order is used.
    FallbackNotNeeded,
    /// The event names other channels.
    ChannelNotRequested,
    /// The recipient stands in the event twice.
    RepeatedRecipient,
    /// Another recipient of the event has the same address.
    RepeatedAddress,
    /// The value in a recipient's place is not a valid recipient.
    InvalidRecipient,
    /// The limit of the category on the channel is used up.
    OverLimit,
    /// The limits could not be looked up for so long that they were left out; it is sent.
    LimitUnknown,
}

/// What was decided for one recipient on one channel (and one contact point), and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// For people, with addresses masked.
    pub recipient: String,
    /// The recipient, if they are a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// On which channel.
    pub channel: Channel,
    /// The type's category.
    pub category: Arc<str>,
    /// What is to happen.
    pub outcome: Outcome,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in one sentence.
    pub sentence: String,
    /// The rules that were applied, in their order.
    pub steps: Steps,
    /// The address as a dashboard may show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_masked: Option<String>,
    /// What was made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<DeliveryId>,
}

/// A limit to be taken from before a draft may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitCheck {
    /// Remembered with its verdict, so that asking again gives the same answer and counts once.
    pub id: Uuid,
    /// What is counted: `tenant|user|category|channel`.
    pub key: String,
    /// The limit.
    pub limit: LimitDef,
}

/// What the limits said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitVerdict {
    /// There was room, and it is taken.
    Allowed,
    /// There was none.
    Exceeded,
    /// The store of limits did not answer.
    Unavailable,
}

/// A decision that has passed every rule but the limits.
#[derive(Debug)]
pub struct Draft {
    pub(crate) decision: Decision,
    pub(crate) targets: Vec<(Option<String>, Delivery)>,
    pub(crate) checks: Vec<LimitCheck>,
}

/// What comes out of a draft: a decision for each target, and what is to be sent.
#[derive(Debug, Clone)]
pub struct Concluded {
    /// At least one.
    pub decisions: Vec<Decision>,
    /// One for each decision to send.
    pub deliveries: Vec<Delivery>,
}

impl Draft {
    /// The limits to take from, all of which must allow; empty if none applies.
    #[must_use]
    pub fn checks(&self) -> &[LimitCheck] {
        &self.checks
    }

    /// Applies the limits' verdicts, one for each check in order.
    #[must_use]
    pub fn conclude(self, verdicts: &[LimitVerdict]) -> Concluded {
        rules::conclude(self, verdicts)
    }
}

impl Concluded {
    /// Adds another recipient's or channel's part.
    pub fn extend(&mut self, other: Self) {
        self.decisions.extend(other.decisions);
        self.deliveries.extend(other.deliveries);
    }
}

impl Facts<'_> {
    /// The lane of the event: its own word, else its type's, else normal.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.event
            .priority
            .or(self.definition.priority)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
