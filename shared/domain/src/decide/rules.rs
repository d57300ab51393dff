//! The rules, in the order in which they apply.

mod fallback;
mod waits;

use std::sync::Arc;

use serde::Serialize;

use self::fallback::{Turn, Used};
use super::{
    Contact, Decision, Draft, DraftOverflow, Facts, Following, Joins, Outcome, Reason,
    explain::{self, Followed, Wait},
    limits,
    steps::{Input, Notes},
};
use crate::{
    catalog::{ChannelMode, DefaultChoice},
    channel::Channel,
    clock::Timestamp,
    contact::{Target, mask},
    delivery::{DELIVERY_VERSION, Delivery},
    digest::Digest,
    ids::{DeliveryId, NotificationId},
    preference::Level,
    suppression::{Suppression, SuppressionReason},
};

/// A rule about one recipient on one channel. It adds a step to the decision, unless it has nothing to check.
type Rule = fn(&mut Trail<'_>) -> Ruling;

/// A rule's answer about the message.
#[derive(Debug, Clone, Copy)]
enum Ruling {
    /// The next rule decides.
    Pass,
    /// The message is not sent.
    Stop(Reason),
    /// The message waits until this time and is then decided again.
    Wait(Timestamp, Reason),
    /// The message joins a digest.
    Collect(Digest),
}

/// The rule with which the evaluation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entry {
    /// The first one: the message is decided for the first time.
    #[default]
    Start,
    /// Suppression: the message has waited. The rules before it that would judge the event's request again are left out;
    /// those about its expiry, its recipient and the address are applied, because these may have changed.
    Suppression,
    /// Like [`Self::Suppression`], without the rules that let a message wait: the message was collected, and its digest
    /// is about to be sent.
    Digest,
}

/// The entries with which a rule is applied.
const FIRST: &[Entry] = &[Entry::Start];
const WAITS: &[Entry] = &[Entry::Start, Entry::Suppression];
const EACH: &[Entry] = &[Entry::Start, Entry::Suppression, Entry::Digest];

/// The rules in their order, each with the entries with which it is applied. The limits come after them ([`limits`]), because
/// they are counted elsewhere.
const RULES: [(Rule, &[Entry]); 11] = [
    (type_channels, FIRST),
    (expiry, EACH),
    (requested_channels, FIRST),
    (fallback::in_turn, FIRST),
    (recipient, EACH),
    (address, EACH),
    (suppression, EACH),
    (preference, EACH),
    (fallback::follows, WAITS),
    (waits::quiet_hours, WAITS),
    (waits::digest, WAITS),
];

impl Entry {
    /// The rules that are applied.
    fn rules(self) -> impl Iterator<Item = Rule> {
        let applied = RULES.into_iter().filter(move |(_, with)| with.contains(&self));
        applied.map(|(rule, _)| rule)
    }
}

/// A possible destination of a delivery.
struct Reach {
    target: Target,
    name: String,
    masked: Option<String>,
    /// The address's entry in the suppression list.
    suppressed: Option<Suppression>,
}

/// The decision about one recipient on one channel, so far.
struct Trail<'a> {
    facts: &'a Facts<'a>,
    channel: Channel,
    turn: Turn,
    steps: Notes,
    /// The destinations that the rules have left.
    reaches: Vec<Reach>,
    /// The reason of the decision if no rule stops the message.
    reason: Reason,
    /// The suppression that has stopped the message.
    suppression: Option<Suppression>,
    /// The wait that a rule demands, or for which the message is dropped.
    wait: Option<Wait>,
    /// The digest that the message joins, in any case or if a limit has no room.
    digest: Option<Digest>,
    /// The deliveries on earlier channels that the message follows.
    after: Vec<DeliveryId>,
    /// The state of these deliveries, for the sentence.
    followed: Option<Followed>,
}

#[derive(Serialize)]
struct Choice {
    level: Level,
    wanted: bool,
}

impl<'a> Trail<'a> {
    fn begin(facts: &'a Facts<'a>, channel: Channel, turn: Turn) -> Self {
        Self {
            facts,
            channel,
            turn,
            steps: Notes::begin(),
            reaches: Vec::new(),
            reason: Reason::Allowed,
            suppression: None,
            wait: None,
            digest: None,
            after: Vec::new(),
            followed: None,
        }
    }

    fn note(&mut self, rule: &'static str, result: &'static str, inputs: &impl Serialize) {
        self.steps.note(rule, result, inputs);
    }

    /// Notes a rule that passes if its condition holds, and stops otherwise.
    fn judge(&mut self, rule: &'static str, passes: bool, inputs: &impl Serialize, reason: Reason) -> Ruling {
        if passes {
            self.note(rule, "pass", inputs);
            Ruling::Pass
        } else {
            self.note(rule, "stop", inputs);
            Ruling::Stop(reason)
        }
    }

    /// The user's contact points on the channel.
    fn contacts(&self) -> impl Iterator<Item = &'a Contact> + use<'a> {
        let channel = self.channel;
        let contacts = self.facts.user.map_or(&[][..], |user| &user.contacts);
        contacts
            .iter()
            .filter(move |contact| contact.point.channel == channel)
    }

    fn decision(self, outcome: Outcome, reason: Reason) -> Decision {
        Decision {
            recipient: self.facts.recipient.masked(),
            user_id: self.facts.recipient.user_id.clone(),
            channel: self.channel,
            category: Arc::from(self.facts.definition.category.as_str()),
            outcome,
            reason,
            sentence: match (reason, &self.suppression, &self.wait) {
                (
                    Reason::FallbackWaits
                    | Reason::FallbackReached
                    | Reason::FallbackUsed
                    | Reason::ExpiresInFallback,
                    ..,
                ) => explain::followed(reason, self.followed.as_ref(), self.wait.as_ref(), self.channel),
                (Reason::QuietHours, _, Some(wait)) => explain::held_back(wait),
                (Reason::ExpiresInQuietHours, _, Some(wait)) => explain::expires_in_wait(wait),
                (Reason::ExpiresInDigest, _, Some(wait)) => explain::expires_in_digest(wait),
                (_, Some(suppression), _) => explain::suppressed(suppression, self.channel),
                (Reason::Downgraded, ..) => explain::downgraded(self.turn.downgraded_from, self.channel),
                _ => explain::sentence(reason, self.facts, self.channel),
            },
            steps: self.steps.end(),
            address_hash: self.facts.guest(self.channel),
            to_masked: None,
            until: None,
            digest_id: None,
            after: self.after,
            delivery_id: None,
        }
    }

    fn stop(self, reason: Reason) -> Draft {
        let outcome = match reason {
            Reason::ExpiresInQuietHours | Reason::ExpiresInDigest | Reason::ExpiresInFallback => {
                Outcome::Drop
            }
            _ => Outcome::Suppress,
        };
        Draft {
            decision: self.decision(outcome, reason),
            targets: Vec::new(),
            checks: Vec::new(),
            overflow: DraftOverflow::NONE,
            joins: None,
            following: None,
        }
    }

    fn following(&self) -> Option<Following> {
        (!self.after.is_empty()).then(|| Following {
            after: self.after.clone(),
            recipient: self.facts.recipient.clone(),
        })
    }

    fn joins(&self) -> Option<Joins> {
        Some(Joins {
            digest: self.digest?,
            recipient: self.facts.recipient.clone(),
        })
    }

    fn overflow(&self) -> DraftOverflow {
        DraftOverflow {
            treatment: self.facts.category.overflow,
            zone: waits::zone(self.facts),
            is_downgraded: self.facts.downgraded.contains(&self.channel),
            releases: self.facts.releases,
            next: None,
        }
    }
}

/// Applies all rules up to the limits to one recipient; returns one draft for each channel of the event's type, in
/// the catalog's order, and one for each other channel that the event requests.
#[must_use]
pub fn evaluate(facts: &Facts<'_>) -> Vec<Draft> {
    evaluate_channels(facts, facts.channels(), None).0
}

/// Applies all rules up to the limits to the channels that are in turn after one whose limit is used up; returns their drafts,
/// and the channel that is used instead. A channel that follows the others after a wait is waiting already, and so are those
/// behind it.
pub(super) fn evaluate_after(facts: &Facts<'_>, over: Channel) -> (Vec<Draft>, Option<Channel>) {
    let waits = |channel: &Channel| facts.definition.channels.wait_of(*channel).is_some();
    let later = || facts.channels().skip_while(|channel| *channel != over).skip(1);
    let in_turn = later().take_while(|channel| !waits(channel));
    let (drafts, used) = evaluate_channels(facts, in_turn, Some(over));
    (drafts, used.or_else(|| later().find(waits)))
}

fn evaluate_channels(
    facts: &Facts<'_>,
    channels: impl Iterator<Item = Channel>,
    mut downgraded_from: Option<Channel>,
) -> (Vec<Draft>, Option<Channel>) {
    let plan = &facts.definition.channels;
    let in_turn = plan.mode == ChannelMode::Fallback;
    let mut drafts: Vec<Draft> = Vec::with_capacity(plan.order.len());
    let mut used: Option<Used> = None;
    for channel in channels {
        let turn = if in_turn {
            Turn {
                downgraded_from,
                ..Turn::after(used.as_ref(), facts, channel)
            }
        } else {
            Turn::default()
        };
        let draft = evaluate_channel(facts, channel, turn);
        // A message that waits takes its turn in a fallback order: it is sent later. One over a limit passes its turn on.
        match draft.decision.outcome {
            Outcome::Send if draft.overflow.is_downgraded => downgraded_from = Some(channel),
            Outcome::Send | Outcome::Defer | Outcome::Digest => {
                used = Some(Used::and(used, &draft, facts.now));
            }
            _ => {}
        }
        drafts.push(draft);
    }
    let first = used.and_then(|used| used.first());
    for draft in drafts.iter_mut().filter(|draft| draft.overflow.is_downgraded) {
        draft.overflow.next = first;
    }
    (drafts, first)
}

/// The drafts of a repeated recipient of the event, which suppress all messages.
#[must_use]
pub fn repeated(facts: &Facts<'_>) -> Vec<Draft> {
    facts
        .channels()
        .map(|channel| {
            let mut trail = Trail::begin(facts, channel, Turn::default());
            trail.note("recipient", "stop", &Input("repeated", true));
            trail.stop(Reason::RepeatedRecipient)
        })
        .collect()
}

fn evaluate_channel(facts: &Facts<'_>, channel: Channel, turn: Turn) -> Draft {
    let mut trail = Trail::begin(facts, channel, turn);
    for rule in facts.entry.rules() {
        match rule(&mut trail) {
            Ruling::Pass => {}
            Ruling::Stop(reason) => return trail.stop(reason),
            Ruling::Wait(until, reason) => return defer(trail, until, reason),
            Ruling::Collect(digest) => return collect(trail, digest),
        }
    }
    send(trail)
}

/// The type sends on the channel.
fn type_channels(trail: &mut Trail<'_>) -> Ruling {
    let order = &trail.facts.definition.channels.order;
    if order.contains(&trail.channel) {
        return Ruling::Pass;
    }
    trail.note("type_channels", "stop", &Input("order", order));
    Ruling::Stop(Reason::ChannelNotOfType)
}

/// The event has not expired.
fn expiry(trail: &mut Trail<'_>) -> Ruling {
    let Some(expires_at) = trail.facts.event.expires_at else {
        return Ruling::Pass;
    };
    let has_expired = expires_at <= trail.facts.now;
    trail.judge(
        "expiry",
        !has_expired,
        &Input("expiresat", &expires_at),
        Reason::Expired,
    )
}

/// An event that names channels names this one.
fn requested_channels(trail: &mut Trail<'_>) -> Ruling {
    let channels = &trail.facts.event.channels;
    if channels.is_empty() {
        return Ruling::Pass;
    }
    let is_requested = channels.contains(&trail.channel);
    let input = Input("channels", channels);
    trail.judge(
        "requested_channels",
        is_requested,
        &input,
        Reason::ChannelNotRequested,
    )
}

/// The recipient is a guest or a user who is known.
fn recipient(trail: &mut Trail<'_>) -> Ruling {
    let facts = trail.facts;
    if facts.recipient.user_id.is_none() || facts.user.is_some() {
        return Ruling::Pass;
    }
    trail.note("recipient", "stop", &Input("known", false));
    Ruling::Stop(Reason::UnknownUser)
}

/// The recipient has an address on the channel.
fn address(trail: &mut Trail<'_>) -> Ruling {
    let (facts, channel) = (trail.facts, trail.channel);
    if facts.recipient.user_id.is_some() {
        trail.reaches = trail
            .contacts()
            .map(|contact| Reach {
                target: Target::ContactPoint { id: contact.point.id },
                name: contact.point.id.to_string(),
                masked: Some(mask(channel, &contact.point.address)),
                suppressed: contact.suppressed,
            })
            .collect();
        let count = trail.reaches.len();
        return trail.judge(
            "address",
            count > 0,
            &Input("addresses", count),
            Reason::NoAddress,
        );
    }
    let address = facts.recipient.inline_address(channel);
    trail.reaches.extend(address.map(|address| {
        let hash = facts.address_key.hash(channel, address);
        Reach {
            target: Target::Inline {
                address: address.to_owned(),
            },
            name: hash.to_string(),
            masked: Some(mask(channel, address)),
            suppressed: facts.suppressed_guests.get(&hash).copied(),
        }
    }));
    trail.judge(
        "address",
        address.is_some(),
        &Input("inline", true),
        Reason::NoAddress,
    )
}

/// An address of the recipient takes messages. Critical types do not pass this rule.
fn suppression(trail: &mut Trail<'_>) -> Ruling {
    let suppressed: Vec<Suppression> = trail
        .reaches
        .iter()
        .filter_map(|reach| reach.suppressed)
        .collect();
    trail.reaches.retain(|reach| reach.suppressed.is_none());
    let governing = suppressed.iter().min_by_key(|one| (rank(one.reason), one.since));
    let reason = governing.map_or(Reason::Suppressed, |one| Reason::of_suppression(one.reason));
    let governing = governing.copied();
    let input = Input("suppressed", &suppressed);
    let ruling = trail.judge("suppression", !trail.reaches.is_empty(), &input, reason);
    if let Ruling::Stop(_) = ruling {
        trail.suppression = governing;
    }
    ruling
}

/// The order in which the suppressions of several addresses give the decision its reason: the recipient's wish first,
/// then a person's entry, then a provider's answer.
fn rank(reason: SuppressionReason) -> u8 {
    match reason {
        SuppressionReason::OptedOut => 0,
        SuppressionReason::Complaint => 1,
        SuppressionReason::Manual | SuppressionReason::Import => 2,
        SuppressionReason::HardBounce | SuppressionReason::DeadToken => 3,
    }
}

/// The user wants the message, or its type is critical.
fn preference(trail: &mut Trail<'_>) -> Ruling {
    let (facts, channel) = (trail.facts, trail.channel);
    if facts.definition.critical {
        trail.note("preference", "skip", &Input("critical", true));
        trail.reason = Reason::Critical;
        return Ruling::Pass;
    }
    let category = &facts.definition.category;
    let choice = facts
        .user
        .and_then(|user| user.preferences.choice(facts.type_name, category, channel));
    let (level, wanted) = choice.unwrap_or((Level::Default, facts.category.default == DefaultChoice::OptIn));
    let reason = match level {
        Level::Type => Reason::OptedOutType,
        Level::Category => Reason::OptedOutCategory,
        Level::Global => Reason::OptedOutChannel,
        Level::Default => Reason::NotOptedIn,
    };
    trail.judge("preference", wanted, &Choice { level, wanted }, reason)
}

/// The draft of a message that no rule stops.
fn send(mut trail: Trail<'_>) -> Draft {
    let (facts, channel, reason) = (trail.facts, trail.channel, trail.reason);
    let targets = targets(&mut trail);
    let checks = match targets.first() {
        Some((_, first)) if !facts.definition.critical => limits::checks(facts, channel, first),
        _ => Vec::new(),
    };
    let (overflow, joins, following) = (trail.overflow(), trail.joins(), trail.following());
    Draft {
        decision: trail.decision(Outcome::Send, reason),
        targets,
        checks,
        overflow,
        joins,
        following,
    }
}

/// The draft of a message that waits. Its limits are checked when it is sent.
fn defer(mut trail: Trail<'_>, until: Timestamp, reason: Reason) -> Draft {
    let (targets, following) = (targets(&mut trail), trail.following());
    Draft {
        decision: Decision {
            until: Some(until),
            ..trail.decision(Outcome::Defer, reason)
        },
        targets,
        checks: Vec::new(),
        overflow: DraftOverflow::NONE,
        joins: None,
        following,
    }
}

/// The draft of a message that joins a digest. The digest is limited when it is sent.
fn collect(mut trail: Trail<'_>, digest: Digest) -> Draft {
    trail.digest = Some(digest);
    let (targets, joins, zone) = (targets(&mut trail), trail.joins(), waits::zone(trail.facts));
    let mut decision = trail.decision(Outcome::Digest, Reason::Digest);
    decision.until = Some(digest.window.end);
    decision.digest_id = Some(digest.id);
    decision.sentence = explain::collected(&digest, zone);
    Draft {
        decision,
        targets,
        checks: Vec::new(),
        overflow: DraftOverflow::NONE,
        joins,
        following: None,
    }
}

/// The deliveries to the destinations that the rules have left.
fn targets(trail: &mut Trail<'_>) -> Vec<(Option<String>, Delivery)> {
    let (facts, channel) = (trail.facts, trail.channel);
    let reaches = std::mem::take(&mut trail.reaches);
    let notification = facts.notification();
    reaches
        .into_iter()
        .map(|reach| {
            let id = DeliveryId::derive(notification, channel, &reach.name);
            (
                reach.masked,
                delivery(facts, channel, notification, id, reach.target),
            )
        })
        .collect()
}

fn delivery(
    facts: &Facts<'_>,
    channel: Channel,
    notification: NotificationId,
    id: DeliveryId,
    target: Target,
) -> Delivery {
    let event = facts.event;
    let of_user =
        |get: fn(&super::UserFacts) -> &Option<Arc<str>>| facts.user.and_then(|user| get(user).clone());
    let platform = match &target {
        Target::ContactPoint { id } => {
            let contacts = facts.user.map(|user| &*user.contacts).unwrap_or_default();
            let contact = contacts.iter().find(|contact| contact.point.id == *id);
            contact.and_then(|contact| contact.point.platform)
        }
        Target::Inline { .. } => None,
    };
    Delivery {
        v: DELIVERY_VERSION,
        delivery_id: id,
        notification_id: notification,
        tenant: facts.tenant.clone(),
        event_id: event.id.clone(),
        source: Arc::clone(&event.source),
        event_type: Arc::clone(facts.type_name),
        event_time: event.time,
        category: Arc::from(facts.definition.category.as_str()),
        user_id: facts.recipient.user_id.clone(),
        channel,
        target,
        platform,
        locale: facts
            .recipient
            .locale
            .as_deref()
            .map(Arc::from)
            .or_else(|| of_user(|user| &user.locale)),
        timezone: facts
            .recipient
            .timezone
            .as_deref()
            .map(Arc::from)
            .or_else(|| of_user(|user| &user.timezone)),
        priority: facts.priority(),
        expires_at: event.expires_at,
        on_uncertain: facts.category.on_uncertain,
        may_unsubscribe: facts.user.is_some() && !facts.definition.critical,
        accepted_at: facts.accepted_at,
        data: Arc::clone(&event.data),
    }
}
