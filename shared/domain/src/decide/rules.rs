//! The rules, in the order in which they apply.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Contact, Decision, Decisions, Draft, Facts, LimitCheck, LimitVerdict, Outcome, Reason, explain,
    steps::{Input, Notes},
};
use crate::{
    catalog::{ChannelMode, DefaultChoice},
    channel::Channel,
    contact::{Death, DeathReason, Target, mask},
    delivery::{DELIVERY_VERSION, Delivery},
    ids::{DeliveryId, NotificationId},
    preference::Level,
};

/// A possible destination of a delivery.
struct Reach {
    target: Target,
    name: String,
    masked: Option<String>,
}

/// The steps of the decision about one recipient on one channel.
struct Trail<'a> {
    facts: &'a Facts<'a>,
    channel: Channel,
    steps: Notes,
}

#[derive(Serialize)]
struct Choice {
    level: Level,
    wanted: bool,
}

#[derive(Serialize)]
struct Limited {
    channel: Channel,
    max: u32,
    per: String,
}

impl Trail<'_> {
    fn note(&mut self, rule: &'static str, result: &'static str, inputs: &impl Serialize) {
        self.steps.note(rule, result, inputs);
    }

    fn decision(self, outcome: Outcome, reason: Reason) -> Decision {
        Decision {
            recipient: self.facts.recipient.masked(),
            user_id: self.facts.recipient.user_id.clone(),
            channel: self.channel,
            category: Arc::from(self.facts.definition.category.as_str()),
            outcome,
            reason,
            sentence: explain::sentence(reason, self.facts, self.channel),
            steps: self.steps.end(),
            to_masked: None,
            delivery_id: None,
        }
    }

    fn stop(self, reason: Reason) -> Draft {
        Draft {
            decision: self.decision(Outcome::Suppress, reason),
            targets: Vec::new(),
            checks: Vec::new(),
        }
    }
}

/// Applies all rules up to the limits to one recipient; returns one draft for each channel of the event's type, in
/// the catalog's order, and one for each other channel that the event requests.
#[must_use]
pub fn evaluate(facts: &Facts<'_>) -> Vec<Draft> {
    let plan = &facts.definition.channels;
    let mut drafts = Vec::with_capacity(plan.order.len());
    let mut taken = false;
    for channel in facts.channels() {
        let draft = evaluate_channel(facts, channel, taken && plan.mode == ChannelMode::Fallback);
        taken |= draft.decision.outcome == Outcome::Send;
        drafts.push(draft);
    }
    drafts
}

/// The drafts of a repeated recipient of the event, which suppress all messages.
#[must_use]
pub fn repeated(facts: &Facts<'_>) -> Vec<Draft> {
    facts
        .channels()
        .map(|channel| {
            let mut trail = Trail {
                facts,
                channel,
                steps: Notes::begin(),
            };
            trail.note("recipient", "stop", &Input("repeated", true));
            trail.stop(Reason::RepeatedRecipient)
        })
        .collect()
}

fn evaluate_channel(facts: &Facts<'_>, channel: Channel, taken: bool) -> Draft {
    let mut trail = Trail {
        facts,
        channel,
        steps: Notes::begin(),
    };
    if let Err(reason) = check_event(&mut trail, taken) {
        return trail.stop(reason);
    }
    let reaches = match reach(&mut trail) {
        Ok(reaches) => reaches,
        Err(reason) => return trail.stop(reason),
    };
    let reason = match check_preference(&mut trail) {
        Ok(reason) => reason,
        Err(reason) => return trail.stop(reason),
    };
    draft(trail, reason, reaches)
}

fn check_event(trail: &mut Trail<'_>, taken: bool) -> Result<(), Reason> {
    let event = trail.facts.event;
    let order = &trail.facts.definition.channels.order;
    if !order.contains(&trail.channel) {
        trail.note("type_channels", "stop", &Input("order", order));
        return Err(Reason::ChannelNotOfType);
    }
    if let Some(expires_at) = event.expires_at {
        let expired = expires_at <= trail.facts.now;
        trail.note(
            "expiry",
            if expired { "stop" } else { "pass" },
            &Input("expiresat", &expires_at),
        );
        if expired {
            return Err(Reason::Expired);
        }
    }
    if !event.channels.is_empty() {
        let requested = event.channels.contains(&trail.channel);
        trail.note(
            "requested_channels",
            if requested { "pass" } else { "stop" },
            &Input("channels", &event.channels),
        );
        if !requested {
            return Err(Reason::ChannelNotRequested);
        }
    }
    if taken {
        trail.note("fallback", "stop", &Input("order", order));
        return Err(Reason::FallbackNotNeeded);
    }
    Ok(())
}

fn reach(trail: &mut Trail<'_>) -> Result<Vec<Reach>, Reason> {
    let (facts, channel) = (trail.facts, trail.channel);
    if facts.recipient.user_id.is_none() {
        let Some(address) = facts.recipient.inline_address(channel) else {
            trail.note("address", "stop", &Input("inline", true));
            return Err(Reason::NoAddress);
        };
        trail.note("address", "pass", &Input("inline", true));
        return Ok(vec![Reach {
            target: Target::Inline {
                address: address.to_owned(),
            },
            name: facts.address_key.hash(channel, address),
            masked: Some(mask(channel, address)),
        }]);
    }
    let Some(user) = facts.user else {
        trail.note("recipient", "stop", &Input("known", false));
        return Err(Reason::UnknownUser);
    };
    let contacts: Vec<&Contact> = user
        .contacts
        .iter()
        .filter(|contact| contact.point.channel == channel)
        .collect();
    let alive = contacts.iter().filter(|contact| contact.dead.is_none()).count();
    trail.note(
        "address",
        if alive > 0 || !contacts.is_empty() {
            "pass"
        } else {
            "stop"
        },
        &Input("addresses", contacts.len()),
    );
    if contacts.is_empty() {
        return Err(Reason::NoAddress);
    }
    let dead: Vec<&Death> = contacts
        .iter()
        .filter_map(|contact| contact.dead.as_ref())
        .collect();
    let codes: Vec<&str> = dead.iter().map(|death| &*death.code).collect();
    trail.note(
        "suppression",
        if alive > 0 { "pass" } else { "stop" },
        &Input("dead", &codes),
    );
    if alive == 0 {
        let has_stopped = dead.iter().any(|death| death.reason == DeathReason::OptedOut);
        return Err(if has_stopped {
            Reason::Stopped
        } else {
            Reason::AddressDead
        });
    }
    let living = contacts.into_iter().filter(|contact| contact.dead.is_none());
    Ok(living
        .map(|contact| Reach {
            target: Target::ContactPoint { id: contact.point.id },
            name: contact.point.id.to_string(),
            masked: Some(mask(channel, &contact.point.address)),
        })
        .collect())
}

fn check_preference(trail: &mut Trail<'_>) -> Result<Reason, Reason> {
    let (facts, channel) = (trail.facts, trail.channel);
    if facts.definition.critical {
        trail.note("preference", "skip", &Input("critical", true));
        return Ok(Reason::Critical);
    }
    let category = &facts.definition.category;
    let choice = facts
        .user
        .and_then(|user| user.preferences.choice(facts.type_name, category, channel));
    let (level, wanted) = choice.unwrap_or((Level::Default, facts.category.default == DefaultChoice::OptIn));
    trail.note(
        "preference",
        if wanted { "pass" } else { "stop" },
        &Choice { level, wanted },
    );
    if wanted {
        return Ok(Reason::Allowed);
    }
    Err(match level {
        Level::Type => Reason::OptedOutType,
        Level::Category => Reason::OptedOutCategory,
        Level::Global => Reason::OptedOutChannel,
        Level::Default => Reason::NotOptedIn,
    })
}

fn draft(trail: Trail<'_>, reason: Reason, reaches: Vec<Reach>) -> Draft {
    let (facts, channel) = (trail.facts, trail.channel);
    let notification = NotificationId::derive(
        facts.tenant,
        &facts.event.source,
        &facts.event.id,
        &facts.recipient.identity(facts.address_key),
    );
    let targets: Vec<(Option<String>, Delivery)> = reaches
        .into_iter()
        .map(|reach| {
            let id = DeliveryId::derive(notification, channel, &reach.name);
            (
                reach.masked,
                delivery(facts, channel, notification, id, reach.target),
            )
        })
        .collect();
    let checks = match targets.first() {
        Some((_, first)) if !facts.definition.critical => limit_checks(facts, channel, first),
        _ => Vec::new(),
    };
    Draft {
        decision: trail.decision(Outcome::Send, reason),
        targets,
        checks,
    }
}

fn limit_checks(facts: &Facts<'_>, channel: Channel, first: &Delivery) -> Vec<LimitCheck> {
    let counted = match &facts.recipient.user_id {
        Some(user) => user.to_string(),
        None => facts.recipient.identity(facts.address_key),
    };
    let category = &facts.definition.category;
    let limits = facts
        .category
        .limits
        .iter()
        .filter(|limit| limit.channel == channel);
    limits
        .enumerate()
        .map(|(index, limit)| LimitCheck {
            id: uuid::Uuid::new_v5(&first.delivery_id.0, &index.to_be_bytes()),
            key: format!("{}|{counted}|{category}|{channel}|{index}", facts.tenant),
            limit: limit.clone(),
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
        accepted_at: facts.accepted_at,
        data: Arc::clone(&event.data),
    }
}

/// Applies the verdicts of the limits.
pub(super) fn conclude(draft: Draft, verdicts: &[LimitVerdict]) -> Decisions {
    let Draft {
        mut decision,
        targets,
        checks,
    } = draft;
    if decision.outcome != Outcome::Send {
        return Decisions {
            decisions: vec![decision],
            deliveries: Vec::new(),
        };
    }
    let (mut is_over, mut is_unknown) = (false, false);
    for (check, verdict) in checks.iter().zip(
        verdicts
            .iter()
            .chain(std::iter::repeat(&LimitVerdict::Unavailable)),
    ) {
        let result = match verdict {
            LimitVerdict::Allowed => "pass",
            LimitVerdict::Exceeded => "stop",
            // The limits could not be counted for longer than the router waits: one message too many is better than a
            // lost one.
            LimitVerdict::Unavailable => "skip",
        };
        is_over |= *verdict == LimitVerdict::Exceeded;
        is_unknown |= *verdict == LimitVerdict::Unavailable;
        let limit = Limited {
            channel: check.limit.channel,
            max: check.limit.max,
            per: crate::duration_text::format(check.limit.per),
        };
        decision.steps.note("limit", result, &limit);
    }
    if is_over {
        decision.outcome = Outcome::Drop;
        decision.reason = Reason::OverLimit;
        decision.sentence = explain::over_limit(&decision);
        return Decisions {
            decisions: vec![decision],
            deliveries: Vec::new(),
        };
    }
    if is_unknown {
        decision.reason = Reason::LimitUnknown;
        decision.sentence = explain::limit_unknown(&decision);
    }
    let (mut decisions, mut deliveries) = (
        Vec::with_capacity(targets.len()),
        Vec::with_capacity(targets.len()),
    );
    for (masked, delivery) in targets {
        decisions.push(Decision {
            to_masked: masked,
            delivery_id: Some(delivery.delivery_id),
            ..decision.clone()
        });
        deliveries.push(delivery);
    }
    Decisions {
        decisions,
        deliveries,
    }
}
