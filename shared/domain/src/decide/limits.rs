//! The limits of a category, of a user and of the tenant: the checks that a message needs, and the decision that follows from their verdicts. The
//! messages are counted elsewhere.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{
    CollectedDelivery, Decision, Decisions, DeferredDelivery, Draft, DraftOverflow, Facts, Following, Joins,
    LimitCheck, LimitVerdict, Outcome, Reason,
    explain::{self, Wait},
};
use crate::{
    catalog::{LimitScope, Overflow},
    channel::Channel,
    clock::{Timestamp, later},
    delivery::Delivery,
    duration_text,
};

#[derive(Serialize)]
struct Limited {
    /// The scope of the limit, if it holds for all categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<LimitScope>,
    channel: Channel,
    max: u32,
    per: String,
    /// The time at which the limit has room again, if the message waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// The limits' answer about a message.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    /// The limit that has room last, if one has none now.
    full: Option<Full>,
    /// Whether one of them could not be counted.
    is_unknown: bool,
}

/// A limit without room.
#[derive(Debug, Clone, Copy)]
struct Full {
    /// The time at which the message is decided again, if it waits.
    until: Timestamp,
    scope: LimitScope,
}

/// The limits that count a message, with the keys under which it is counted.
pub(super) fn checks(facts: &Facts<'_>, channel: Channel, first: &Delivery) -> Vec<LimitCheck> {
    let counted = match &facts.recipient.user_id {
        Some(user) => user.to_string(),
        None => facts.recipient.identity(facts.address_key),
    };
    let category = &facts.definition.category;
    let (tenant, limits) = (facts.tenant, facts.limits);
    let each = [
        (LimitScope::Category, &facts.category.limits),
        (LimitScope::User, &limits.user),
        (LimitScope::Tenant, &limits.tenant),
    ];
    let message = match facts.release {
        Some(release) => Uuid::new_v5(&first.delivery_id.0, release.as_bytes()),
        None => first.delivery_id.0,
    };
    let each = each.into_iter().flat_map(|(scope, limits)| {
        let of_channel = limits.iter().filter(move |limit| limit.channel == channel);
        of_channel
            .enumerate()
            .map(move |(index, limit)| (scope, index, limit))
    });
    each.map(|(scope, index, limit)| LimitCheck {
        id: check_id(message, scope, index),
        message,
        key: match scope {
            LimitScope::Category => format!("{tenant}|{counted}|{category}|{channel}|{index}"),
            LimitScope::User => format!("{tenant}|{counted}||{channel}|{index}"),
            LimitScope::Tenant => format!("{tenant}|||{channel}|{index}"),
        },
        scope,
        limit: limit.clone(),
    })
    .collect()
}

fn check_id(message: Uuid, scope: LimitScope, index: usize) -> Uuid {
    match scope {
        LimitScope::Category => Uuid::new_v5(&message, &index.to_be_bytes()),
        LimitScope::User | LimitScope::Tenant => {
            Uuid::new_v5(&message, format!("{scope}|{index}").as_bytes())
        }
    }
}

/// The time at which a message over a limit is decided again. Many messages may wait for a limit of the whole tenant,
/// which has room for them one by one. Each time that a message has waited in vain, it comes back at a random moment of
/// a period that is twice as long. Each message is therefore decided again a few times only, and not each time that the
/// limit has room.
fn wait_until(check: &LimitCheck, room_at: Timestamp, releases: u32) -> Timestamp {
    if check.scope != LimitScope::Tenant {
        return room_at;
    }
    let between_rooms = check.limit.per / check.limit.max.max(1);
    let spread = between_rooms
        .saturating_mul(1 << releases.min(30))
        .min(check.limit.per);
    let micros = u64::try_from(spread.as_micros()).unwrap_or(u64::MAX).max(1);
    let (random, _) = check.id.as_u64_pair();
    later(room_at, Duration::from_micros(random % micros))
}

/// Applies the verdicts of the limits.
pub(super) fn conclude(mut draft: Draft, verdicts: &[LimitVerdict]) -> Decisions {
    match draft.decision.outcome {
        Outcome::Send => {}
        Outcome::Defer => return deferred(&draft.decision, draft.targets, draft.following.as_ref()),
        Outcome::Digest => return collected(&draft.decision, draft.targets, draft.joins),
        _ => return alone(draft.decision),
    }
    let verdict = judge(&mut draft, verdicts);
    let Draft {
        mut decision,
        targets,
        overflow,
        joins,
        following,
        ..
    } = draft;
    if let Some(full) = verdict.full {
        return match joins.filter(|_| overflow.treatment == Overflow::Digest) {
            Some(joins) => over_into_digest(decision, targets, overflow, joins, full.scope),
            None => over(decision, targets, overflow, following.as_ref(), full),
        };
    }
    if verdict.is_unknown {
        decision.reason = Reason::LimitUnknown;
        decision.sentence = explain::limit_unknown(&decision);
    }
    let (mut decisions, mut deliveries) = (
        Vec::with_capacity(targets.len()),
        Vec::with_capacity(targets.len()),
    );
    for (masked, delivery) in targets {
        decisions.push(of_target(&decision, masked, &delivery));
        deliveries.push(delivery);
    }
    Decisions {
        decisions,
        deliveries,
        ..Decisions::default()
    }
}

/// Notes the verdicts in the decision's steps.
fn judge(draft: &mut Draft, verdicts: &[LimitVerdict]) -> Verdict {
    let is_collected = draft.joins.is_some() && draft.overflow.treatment == Overflow::Digest;
    let waits = is_collected || draft.overflow.treatment.waits();
    let mut all = Verdict::default();
    // The limits could not be counted for longer than the router waits: one message too many is better than a lost one.
    let unknown = std::iter::repeat(&LimitVerdict::Unavailable);
    for (check, verdict) in draft.checks.iter().zip(verdicts.iter().chain(unknown)) {
        let (result, room_at) = match verdict {
            LimitVerdict::Allowed => ("pass", None),
            LimitVerdict::Exceeded(room_at) if waits => ("wait", Some(*room_at)),
            LimitVerdict::Exceeded(room_at) => ("stop", Some(*room_at)),
            LimitVerdict::Unavailable => ("skip", None),
        };
        let until = room_at.map(|room_at| wait_until(check, room_at, draft.overflow.releases));
        let full = until.map(|until| Full {
            until,
            scope: check.scope,
        });
        all.full = all.full.into_iter().chain(full).max_by_key(|full| full.until);
        all.is_unknown |= *verdict == LimitVerdict::Unavailable;
        let limit = Limited {
            of: Some(check.scope).filter(|scope| *scope != LimitScope::Category),
            channel: check.limit.channel,
            max: check.limit.max,
            per: duration_text::format(check.limit.per),
            until: until.filter(|_| waits && !is_collected),
        };
        draft.decision.steps.note("limit", result, &limit);
    }
    all
}

/// The decision about a message over a limit.
fn over(
    mut decision: Decision,
    targets: Vec<(Option<String>, Delivery)>,
    overflow: DraftOverflow,
    following: Option<&Following>,
    full: Full,
) -> Decisions {
    let Full { until, scope } = full;
    let wait = Wait {
        until,
        zone: overflow.zone,
    };
    decision.reason = Reason::OverLimit;
    decision.outcome = Outcome::Drop;
    match overflow.treatment {
        Overflow::Drop => decision.sentence = explain::over_limit(&decision, scope),
        Overflow::Downgrade => decision.sentence = explain::passed_on(&decision, scope, overflow.next),
        // A digest over a limit has no digest to join.
        Overflow::Defer | Overflow::Digest if expires_by(&targets, until) => {
            decision.sentence = explain::expires_over_limit(&decision, scope, &wait);
        }
        Overflow::Defer | Overflow::Digest => {
            decision.outcome = Outcome::Defer;
            decision.until = Some(until);
            decision.sentence = explain::waits_for_limit(&decision, scope, &wait);
            return deferred(&decision, targets, following);
        }
    }
    alone(decision)
}

/// The decision about a message over a limit that joins a digest.
fn over_into_digest(
    mut decision: Decision,
    targets: Vec<(Option<String>, Delivery)>,
    overflow: DraftOverflow,
    joins: Joins,
    scope: LimitScope,
) -> Decisions {
    let (digest, zone) = (joins.digest, overflow.zone);
    let until = digest.window.end;
    if expires_by(&targets, until) {
        decision.reason = Reason::ExpiresInDigest;
        decision.outcome = Outcome::Drop;
        decision.sentence = explain::expires_in_digest(&Wait { until, zone });
        return alone(decision);
    }
    decision.reason = Reason::OverLimit;
    decision.outcome = Outcome::Digest;
    decision.until = Some(until);
    decision.digest_id = Some(digest.id);
    decision.sentence = explain::collected_over_limit(&decision, scope, &digest, zone);
    collected(&decision, targets, Some(joins))
}

/// Whether the event expires at a time, or before it.
fn expires_by(targets: &[(Option<String>, Delivery)], time: Timestamp) -> bool {
    targets.iter().any(|(_, delivery)| delivery.is_expired(time))
}

/// A decision without a delivery.
fn alone(decision: Decision) -> Decisions {
    Decisions {
        decisions: vec![decision],
        ..Decisions::default()
    }
}

/// The decision about one target.
fn of_target(decision: &Decision, masked: Option<String>, delivery: &Delivery) -> Decision {
    Decision {
        to_masked: masked,
        delivery_id: Some(delivery.delivery_id),
        ..decision.clone()
    }
}

/// The deliveries of a draft that waits, with a decision for each.
fn deferred(
    decision: &Decision,
    targets: Vec<(Option<String>, Delivery)>,
    following: Option<&Following>,
) -> Decisions {
    let Some(until) = decision.until else {
        return alone(decision.clone());
    };
    let mut all = Decisions::default();
    for (masked, delivery) in targets {
        all.decisions.push(of_target(decision, masked, &delivery));
        all.deferred.push(DeferredDelivery {
            until,
            reason: decision.reason,
            following: following.cloned(),
            delivery,
        });
    }
    all
}

/// The deliveries of a draft that joins a digest, with a decision for each.
fn collected(
    decision: &Decision,
    targets: Vec<(Option<String>, Delivery)>,
    joins: Option<Joins>,
) -> Decisions {
    let Some(Joins { digest, recipient }) = joins else {
        return alone(decision.clone());
    };
    let mut all = Decisions::default();
    for (masked, delivery) in targets {
        all.decisions.push(of_target(decision, masked, &delivery));
        all.collected.push(CollectedDelivery {
            digest,
            recipient: recipient.clone(),
            reason: decision.reason,
            delivery,
        });
    }
    all
}
