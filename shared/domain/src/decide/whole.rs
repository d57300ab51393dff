//! The decision about a whole event: the drafts of all of its recipients, and the conclusion once the limits have given
//! their verdicts.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use uuid::Uuid;

use super::{
    Decisions, Downgrades, Draft, Entry, Facts, LimitVerdict, SuppressedGuests, UserFacts, WaitedFallback,
    evaluate, once_per_address, repeated, rules::evaluate_after, unusable,
};
use crate::{
    channel::Channel,
    clock::Timestamp,
    compiled::CatalogType,
    contact::{AddressHash, AddressKey},
    event::Event,
    fallback::{EarlierDeliveries, Standing},
    ids::{NotificationId, TenantId, UserId},
    recipient::Recipient,
    waiting::WaitingPart,
};

/// The facts on which the decisions about an event are based. The router and the simulation both decide by them.
#[derive(Debug, Clone, Copy)]
pub struct EventFacts<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The event, without repeated recipients.
    pub event: &'a Event,
    /// The recipients that the event names more than once, from [`take_repeated`].
    pub repeated: &'a [Recipient],
    /// Its type in the catalog.
    pub catalog_type: CatalogType<'a>,
    /// The known ones among the users that the event names.
    pub users: &'a HashMap<UserId, UserFacts>,
    /// The suppressed ones among the addresses of its guests.
    pub suppressed_guests: &'a SuppressedGuests,
    /// The key with which addresses are hashed.
    pub address_key: &'a AddressKey,
    /// The rule with which the evaluation begins.
    pub entry: Entry,
    /// The release of the event's deliveries that have waited.
    pub release: Option<Uuid>,
    /// How often these deliveries have waited.
    pub releases: u32,
    /// The messages that are known to be over a limit, and for which the next channel is in turn.
    pub downgrades: &'a Downgrades,
    /// The time at which the bus took the event's record.
    pub accepted_at: Timestamp,
    /// The time of the decision.
    pub now: Timestamp,
}

/// The decisions about an event after the verdicts of its limits.
#[derive(Debug)]
pub struct Concluded {
    /// The decisions and deliveries.
    pub decisions: Decisions,
    /// Whether one of its limits could not be counted and was left out.
    pub is_unlimited: bool,
}

impl<'a> EventFacts<'a> {
    /// The drafts of all recipients: the usable ones in the event's order, then the repeated and the invalid ones.
    #[must_use]
    pub fn drafts(&self) -> Vec<Draft> {
        let each = self.evaluated(&[], &EarlierDeliveries::new()).into_iter();
        let mut drafts: Vec<Draft> = each.flat_map(|(_, drafts)| drafts).collect();
        let again = self.repeated.iter();
        drafts.extend(again.flat_map(|recipient| repeated(&self.of(recipient))));
        let (definition, channels) = (self.catalog_type.definition, &self.event.channels);
        let others = self.event.unusable.iter();
        drafts.extend(others.flat_map(|other| unusable(definition, channels, other)));
        drafts
    }

    /// The drafts of deliveries that have waited, and the parts that no longer belong to the event. A draft without a
    /// part is for the next channel, because a message that has waited is over a limit. `earlier` has the known states
    /// of the deliveries that the parts follow.
    #[must_use]
    pub fn drafts_of<'p>(
        &self,
        parts: &'p [WaitingPart],
        earlier: &EarlierDeliveries,
    ) -> (Vec<(Draft, Option<&'p WaitingPart>)>, Vec<&'p WaitingPart>) {
        let mut waiting: IndexMap<(NotificationId, Channel), &WaitingPart> = parts
            .iter()
            .map(|part| ((part.notification_id, part.channel), part))
            .collect();
        let mut drafts = Vec::with_capacity(waiting.len());
        for (facts, of_recipient) in self.evaluated(parts, earlier) {
            let notification = facts.notification();
            let mut later = Vec::new();
            for mut draft in of_recipient {
                let channel = draft.decision.channel;
                let Some(part) = waiting.shift_remove(&(notification, channel)) else {
                    continue;
                };
                if draft.overflow.is_downgraded {
                    // The later channels are decided for the first time.
                    let first = Facts {
                        entry: Entry::Start,
                        downgraded: facts.downgraded.clone(),
                        followed: Vec::new(),
                        ..facts
                    };
                    (later, draft.overflow.next) = evaluate_after(&first, channel);
                }
                drafts.push((draft, Some(part)));
            }
            drafts.extend(later.into_iter().map(|draft| (draft, None)));
        }
        (drafts, waiting.into_values().collect())
    }

    fn of(&self, recipient: &'a Recipient) -> Facts<'a> {
        Facts {
            tenant: self.tenant,
            event: self.event,
            type_name: self.catalog_type.name,
            definition: self.catalog_type.definition,
            category: self.catalog_type.category,
            recipient,
            user: None,
            address_key: self.address_key,
            suppressed_guests: self.suppressed_guests,
            zone: self.catalog_type.zone,
            quiet_hours: self.catalog_type.quiet_hours,
            limits: self.catalog_type.limits,
            digest: self.catalog_type.digest,
            entry: self.entry,
            release: self.release,
            releases: self.releases,
            downgraded: Vec::new(),
            followed: Vec::new(),
            accepted_at: self.accepted_at,
            now: self.now,
        }
    }

    /// The drafts of the usable recipients, with at most one message for each address. `parts` have waited.
    fn evaluated(&self, parts: &[WaitingPart], earlier: &EarlierDeliveries) -> Vec<(Facts<'a>, Vec<Draft>)> {
        let follows = parts.iter().any(|part| !part.after.is_empty());
        let each = self.event.recipients.iter().map(|recipient| {
            let user = recipient.user_id.as_ref().and_then(|id| self.users.get(id));
            let mut facts = Facts {
                user,
                ..self.of(recipient)
            };
            if !self.downgrades.is_empty() {
                facts.downgraded = self.downgrades.of(facts.notification());
            }
            if follows {
                facts.followed = followed(facts.notification(), parts, earlier);
            }
            let drafts = evaluate(&facts);
            (facts, drafts)
        });
        let mut each: Vec<(Facts<'a>, Vec<Draft>)> = each.collect();
        once_per_address(&mut each);
        each
    }
}

/// The parts of a notification that follow earlier deliveries, with the state of these.
fn followed(
    notification: NotificationId,
    parts: &[WaitingPart],
    earlier: &EarlierDeliveries,
) -> Vec<WaitedFallback> {
    let own = parts
        .iter()
        .filter(|part| part.notification_id == notification && !part.after.is_empty());
    own.map(|part| WaitedFallback {
        channel: part.channel,
        after: part.after.clone(),
        standing: Standing::of(&part.after, earlier),
    })
    .collect()
}

/// Applies verdicts to the drafts of an event. The verdicts are those of the drafts' checks, in order; those of further
/// events may follow.
pub fn conclude(drafts: Vec<Draft>, verdicts: &mut impl Iterator<Item = LimitVerdict>) -> Concluded {
    let mut decisions = Decisions::default();
    let mut is_unlimited = false;
    for draft in drafts {
        let own: Vec<LimitVerdict> = verdicts.by_ref().take(draft.checks().len()).collect();
        is_unlimited |= own.contains(&LimitVerdict::Unavailable);
        decisions.extend(draft.conclude(&own));
    }
    Concluded {
        decisions,
        is_unlimited,
    }
}

/// Removes repeated recipients and channels from an event, and returns the recipients.
pub fn take_repeated(event: &mut Event) -> Vec<Recipient> {
    let mut named = HashSet::new();
    event.channels.retain(|channel| named.insert(*channel));
    if event.recipients.len() < 2 {
        return Vec::new();
    }
    let mut seen = HashSet::with_capacity(event.recipients.len());
    let (first, repeated) = event
        .recipients
        .drain(..)
        .partition(|recipient| seen.insert(recipient.distinction()));
    event.recipients = first;
    repeated
}

/// The ids of the users that an event names.
pub fn users_of(event: &Event) -> impl Iterator<Item = &UserId> {
    event
        .recipients
        .iter()
        .filter_map(|recipient| recipient.user_id.as_ref())
}

/// The hashes of the addresses of an event's guests.
pub fn guests_of(event: &Event, key: &AddressKey) -> impl Iterator<Item = AddressHash> {
    let guests = event
        .recipients
        .iter()
        .filter(|recipient| recipient.user_id.is_none());
    guests.flat_map(|guest| {
        let channels = [Channel::Email, Channel::Sms].into_iter();
        channels.filter_map(|channel| Some(key.hash(channel, guest.inline_address(channel)?)))
    })
}
