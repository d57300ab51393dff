//! The decision: which recipients of an event are notified, on which channels, and why. Pure code over loaded facts.
//!
//! It has two halves, because limits are counted in a shared store: [`evaluate`] applies all rules up to the limits
//! and names the limits to check; [`Draft::conclude`] applies their verdicts.

mod downgrade;
mod explain;
mod limits;
mod once;
mod rules;
mod steps;
mod unsent;
mod unusable;
mod whole;

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

pub use downgrade::Downgrades;
pub use once::once_per_address;
pub use rules::{Entry, evaluate, repeated};
pub use steps::{Step, Steps};
pub use unsent::not_sent;
pub use unusable::unusable;
pub use whole::{Concluded, EventFacts, conclude, guests_of, take_repeated, users_of};

use crate::{
    catalog::{CatalogLimits, CategoryDef, EventTypeDef, LimitDef, LimitScope, Overflow},
    channel::{Channel, Priority},
    clock::Timestamp,
    contact::{AddressHash, AddressKey, ContactPoint},
    delivery::Delivery,
    digest::{Digest, DigestPlan},
    event::Event,
    fallback::Standing,
    ids::{DeliveryId, DigestId, NotificationId, TenantId, UserId},
    preference::Preferences,
    quiet_hours::{QuietHours, Zone},
    recipient::Recipient,
    suppression::{Suppression, SuppressionReason},
};

/// The facts about a user at the time of a decision.
#[derive(Debug, Clone, Default)]
pub struct UserFacts {
    /// BCP 47.
    pub locale: Option<Arc<str>>,
    /// IANA name.
    pub timezone: Option<Arc<str>>,
    /// All addresses, suppressed ones included.
    pub contacts: Vec<Contact>,
    /// The user's preferences.
    pub preferences: Arc<Preferences>,
}

/// A contact point, and whether it can be used.
#[derive(Debug, Clone)]
pub struct Contact {
    /// The address.
    pub point: ContactPoint,
    /// Its address's entry in the suppression list, if there is one.
    pub suppressed: Option<Suppression>,
}

/// The suppressed addresses among those of an event's guests, or of the guests of a batch of one tenant's events.
pub type SuppressedGuests = HashMap<AddressHash, Suppression>;

/// The facts on which the decision about one recipient is based.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The tenant.
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
    /// The facts about the user; `None` for a guest or an unknown user.
    pub user: Option<&'a UserFacts>,
    /// The key with which addresses are hashed.
    pub address_key: &'a AddressKey,
    /// The suppressed ones among the tenant's guests.
    pub suppressed_guests: &'a SuppressedGuests,
    /// The timezone of a recipient whose own is not known.
    pub zone: Zone,
    /// The quiet hours of a recipient who has set none.
    pub quiet_hours: &'a [QuietHours],
    /// The limits that hold for all categories.
    pub limits: &'a CatalogLimits,
    /// The digest of the category.
    pub digest: Option<DigestPlan<'a>>,
    /// The rule with which the evaluation begins.
    pub entry: Entry,
    /// The release with which the message comes, if it has waited. Each release counts against limits anew, because a
    /// message that has waited was not counted.
    pub release: Option<Uuid>,
    /// How often the message has waited before.
    pub releases: u32,
    /// The channels whose limits are used up, so that the next channel is in turn.
    pub downgraded: Vec<Channel>,
    /// The messages that follow earlier channels of a fallback order and have waited.
    pub followed: Vec<WaitedFallback>,
    /// The time at which the bus took the event's record.
    pub accepted_at: Timestamp,
    /// The time of the decision.
    pub now: Timestamp,
}

/// A message that follows others of a fallback order, and has waited.
#[derive(Debug, Clone)]
pub struct WaitedFallback {
    /// Its channel.
    pub channel: Channel,
    /// The deliveries on earlier channels.
    pub after: Vec<DeliveryId>,
    /// The joint state of these deliveries.
    pub standing: Standing,
}

/// The consequence of a decision.
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
pub enum Outcome {
    /// The message is sent.
    Send,
    /// A rule forbids the message.
    Suppress,
    /// The message waits for its time.
    Defer,
    /// The message joins a digest.
    Digest,
    /// The message is over a limit, or would expire while it waits.
    Drop,
    /// The recipient gets this message already.
    Duplicate,
}

/// The reason of a decision, as a stable word.
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
pub enum Reason {
    /// No rule forbids the message.
    Allowed,
    /// The type is critical, so that preferences, quiet hours and limits do not apply.
    Critical,
    /// The event's `expiresat` has passed.
    Expired,
    /// No user has this id.
    UnknownUser,
    /// The recipient has no address on the channel.
    NoAddress,
    /// All addresses on the channel are suppressed, because a provider said that they do not exist.
    AddressDead,
    /// All addresses on the channel are suppressed, at least one because the recipient told the provider to stop (STOP).
    Stopped,
    /// All addresses on the channel are suppressed, at least one because the recipient reported a message as unwanted.
    Complained,
    /// All addresses on the channel are suppressed, at least one by a person's entry in the suppression list.
    Suppressed,
    /// The user has opted out of the type.
    OptedOutType,
    /// The user has opted out of the category.
    OptedOutCategory,
    /// The user has opted out of the channel.
    OptedOutChannel,
    /// The category requires an opt-in, which the user has not given.
    NotOptedIn,
    /// An earlier channel of the fallback order is used.
    FallbackNotNeeded,
    /// The message follows one on an earlier channel, unless that one reaches the recipient first.
    FallbackWaits,
    /// A message on an earlier channel has reached the recipient, so that this one is not needed.
    FallbackReached,
    /// No message on an earlier channel has reached the recipient in time.
    FallbackUsed,
    /// The event expires before the message follows one on an earlier channel.
    ExpiresInFallback,
    /// The event names other channels.
    ChannelNotRequested,
    /// The event requests the channel, but its type does not have it.
    ChannelNotOfType,
    /// The recipient occurs in the event twice.
    RepeatedRecipient,
    /// Another recipient of the event has the same address.
    RepeatedAddress,
    /// The value at the place of a recipient is not a valid recipient.
    InvalidRecipient,
    /// It is a quiet hour of the recipient.
    QuietHours,
    /// The event expires before the end of the recipient's quiet hours.
    ExpiresInQuietHours,
    /// The category's messages are collected into a digest.
    Digest,
    /// The event expires before its digest is sent.
    ExpiresInDigest,
    /// A limit on the channel is used up.
    OverLimit,
    /// A limit on an earlier channel is used up, so this channel is used instead.
    Downgraded,
    /// The limits could not be counted within `router.limits_patience`, so the message is sent without them.
    LimitUnknown,
}

/// The decision for one recipient on one channel (and one contact point), with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The recipient for display, with addresses masked.
    pub recipient: String,
    /// The recipient's id, if it is a known user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The channel.
    pub channel: Channel,
    /// The type's category.
    pub category: Arc<str>,
    /// The consequence.
    pub outcome: Outcome,
    /// The reason, as a stable word.
    pub reason: Reason,
    /// The reason, as a sentence.
    pub sentence: String,
    /// The rules that were applied, in their order.
    pub steps: Steps,
    /// The keyed hash of a guest's address, by which the decision is found. The addresses of users are found through their
    /// profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_hash: Option<AddressHash>,
    /// The address, masked for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_masked: Option<String>,
    /// The time until which the message waits; it is then decided again, or sent in its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The digest that the message joins: the id of the event by which it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_id: Option<DigestId>,
    /// The deliveries on earlier channels that the message follows: it is sent unless one of them reaches the recipient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<DeliveryId>,
    /// The resulting delivery, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<DeliveryId>,
}

/// A check of a limit, which has to be made before the message of a draft may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitCheck {
    /// An id under which the verdict is remembered, so that a repeated check gives the same verdict and counts once.
    pub id: Uuid,
    /// An id that the checks of one message share, which follow one another. The message counts against all of its limits,
    /// or against none if one of them has no room.
    pub message: Uuid,
    /// The key of the count: `tenant|recipient|category|channel|index`. The recipient is a user's id or a guest's
    /// identity, and the index the limit's position among those of its channel. A limit that holds for all categories has no
    /// category there, and one of the whole tenant no recipient either.
    pub key: String,
    /// The messages that the limit counts together.
    pub scope: LimitScope,
    /// The limit.
    pub limit: LimitDef,
}

/// The verdict on a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitVerdict {
    /// The limit had room, and the message was counted.
    Allowed,
    /// The limit had no room; it has room at this time, if no other message takes it.
    Exceeded(Timestamp),
    /// The limit could not be counted.
    Unavailable,
}

/// A decision that has passed all rules but the limits.
#[derive(Debug)]
pub struct Draft {
    pub(crate) decision: Decision,
    pub(crate) targets: Vec<(Option<String>, Delivery)>,
    pub(crate) checks: Vec<LimitCheck>,
    /// The treatment of the message if a limit has no room.
    pub(crate) overflow: DraftOverflow,
    /// The digest that the message joins, in any case or if a limit has no room.
    pub(crate) joins: Option<Joins>,
    /// The deliveries that the message follows, if it does.
    pub(crate) following: Option<Following>,
}

/// A message that follows others of a fallback order.
#[derive(Debug, Clone)]
pub struct Following {
    /// The deliveries on earlier channels.
    pub after: Vec<DeliveryId>,
    /// The recipient.
    pub recipient: Recipient,
}

/// The digest that a message joins.
#[derive(Debug, Clone)]
pub(crate) struct Joins {
    pub(crate) digest: Digest,
    pub(crate) recipient: Recipient,
}

/// The treatment of a message over a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DraftOverflow {
    pub(crate) treatment: Overflow,
    /// The timezone in which the end of a wait is told.
    pub(crate) zone: Zone,
    /// Whether a limit is known to have no room, so that the next channel is in turn.
    pub(crate) is_downgraded: bool,
    /// How often the message has waited before.
    pub(crate) releases: u32,
    /// The channel that is used instead, if there is one.
    pub(crate) next: Option<Channel>,
}

/// The result of a draft: a decision for each target, and the deliveries.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// The decisions, at least one for each draft.
    pub decisions: Vec<Decision>,
    /// The deliveries, one for each decision to send.
    pub deliveries: Vec<Delivery>,
    /// The deliveries that wait, one for each decision to defer.
    pub deferred: Vec<DeferredDelivery>,
    /// The deliveries that are collected, one for each decision for a digest.
    pub collected: Vec<CollectedDelivery>,
}

/// A delivery that is collected into a digest.
#[derive(Debug, Clone)]
pub struct CollectedDelivery {
    /// The digest.
    pub digest: Digest,
    /// The recipient.
    pub recipient: Recipient,
    /// The reason of the decision.
    pub reason: Reason,
    /// The delivery as it would be sent alone.
    pub delivery: Delivery,
}

/// A delivery that waits until it is decided again.
#[derive(Debug, Clone)]
pub struct DeferredDelivery {
    /// The time at which it is decided again.
    pub until: Timestamp,
    /// The reason of the decision.
    pub reason: Reason,
    /// The deliveries that it follows, if it does. It then waits by itself, so that it can end before its time.
    pub following: Option<Following>,
    /// The delivery as it would be sent now.
    pub delivery: Delivery,
}

impl DraftOverflow {
    /// The treatment of a message that is not sent in any case.
    pub(crate) const NONE: Self = Self {
        treatment: Overflow::Drop,
        zone: Zone::UTC,
        is_downgraded: false,
        releases: 0,
        next: None,
    };
}

impl Draft {
    /// The checks to make, all of which have to allow the message; empty if no limit applies.
    #[must_use]
    pub fn checks(&self) -> &[LimitCheck] {
        &self.checks
    }

    /// The decision, as far as it is made without the limits.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Applies the verdicts, one for each check in order.
    #[must_use]
    pub fn conclude(self, verdicts: &[LimitVerdict]) -> Decisions {
        limits::conclude(self, verdicts)
    }
}

impl Decisions {
    /// Appends the decisions and deliveries of another recipient or channel.
    pub fn extend(&mut self, other: Self) {
        self.decisions.extend(other.decisions);
        self.deliveries.extend(other.deliveries);
        self.deferred.extend(other.deferred);
        self.collected.extend(other.collected);
    }
}

impl Reason {
    /// Whether it is a reason for which a message is sent.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(
            self,
            Self::Allowed | Self::Critical | Self::LimitUnknown | Self::Downgraded | Self::FallbackUsed
        )
    }

    /// The reason of a decision that a suppression has stopped.
    #[must_use]
    pub fn of_suppression(reason: SuppressionReason) -> Self {
        match reason {
            SuppressionReason::HardBounce | SuppressionReason::DeadToken => Self::AddressDead,
            SuppressionReason::OptedOut => Self::Stopped,
            SuppressionReason::Complaint => Self::Complained,
            SuppressionReason::Manual | SuppressionReason::Import => Self::Suppressed,
        }
    }
}

impl Facts<'_> {
    /// The channels about which there is a decision for each recipient: those of the event's type in the catalog's
    /// order, then those that only the event requests.
    fn channels(&self) -> impl Iterator<Item = Channel> {
        channels(self.definition, &self.event.channels)
    }

    /// The id of the event for the recipient.
    fn notification(&self) -> NotificationId {
        let recipient = self.recipient.identity(self.address_key);
        let event = self.event;
        NotificationId::derive(self.tenant, &event.source, &event.id, &recipient)
    }

    /// The keyed hash of a guest's address on a channel.
    fn guest(&self, channel: Channel) -> Option<AddressHash> {
        let guest = Some(self.recipient).filter(|recipient| recipient.user_id.is_none());
        let address = guest?.inline_address(channel)?;
        Some(self.address_key.hash(channel, address))
    }

    /// The priority of the event: its own, else its type's, else normal.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.event
            .priority
            .or(self.definition.priority)
            .unwrap_or_default()
    }
}

/// The channels of a type, then those that only the event requests, each once.
fn channels<'a>(
    definition: &'a EventTypeDef,
    requested: &'a [Channel],
) -> impl Iterator<Item = Channel> + use<'a> {
    let order = &definition.channels.order;
    let others = requested
        .iter()
        .enumerate()
        .filter(move |(index, channel)| !order.contains(channel) && !requested[..*index].contains(channel));
    order.iter().chain(others.map(|(_, channel)| channel)).copied()
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
