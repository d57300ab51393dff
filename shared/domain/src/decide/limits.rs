//! The limits of a category: the checks that a message needs, and the decision that follows from their verdicts. The
//! messages are counted elsewhere.

use serde::Serialize;
use uuid::Uuid;

use super::{
    CollectedDelivery, Decision, Decisions, DeferredDelivery, Draft, DraftOverflow, Facts, Following, Joins,
    LimitCheck, LimitVerdict, Outcome, Reason,
    explain::{self, Wait},
};
use crate::{catalog::Overflow, channel::Channel, clock::Timestamp, delivery::Delivery, duration_text};

#[derive(Serialize)]
struct Limited {
    channel: Channel,
    max: u32,
    per: String,
    /// The time at which the limit has room again, if the message waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// What the limits say about a message.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    /// The time at which all limits have room, if one of them has none now.
    room_at: Option<Timestamp>,
    /// Whether one of them could not be counted.
    is_unknown: bool,
}

/// The limits that count a message, with the keys under which it is counted.
pub(super) fn checks(facts: &Facts<'_>, channel: Channel, first: &Delivery) -> Vec<LimitCheck> {
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
    let message = match facts.release {
        Some(release) => Uuid::new_v5(&first.delivery_id.0, release.as_bytes()),
        None => first.delivery_id.0,
    };
    limits
        .enumerate()
        .map(|(index, limit)| LimitCheck {
            id: Uuid::new_v5(&message, &index.to_be_bytes()),
            message,
            key: format!("{}|{counted}|{category}|{channel}|{index}", facts.tenant),
            limit: limit.clone(),
        })
        .collect()
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
    if let Some(room_at) = verdict.room_at {
        return match joins.filter(|_| overflow.treatment == Overflow::Digest) {
            Some(joins) => over_into_digest(decision, targets, overflow, joins),
            None => over(decision, targets, overflow, following.as_ref(), room_at),
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
        all.room_at = all.room_at.max(room_at);
        all.is_unknown |= *verdict == LimitVerdict::Unavailable;
        let limit = Limited {
            channel: check.limit.channel,
            max: check.limit.max,
            per: duration_text::format(check.limit.per),
            until: room_at.filter(|_| waits && !is_collected),
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
    room_at: Timestamp,
) -> Decisions {
    let wait = Wait {
        until: room_at,
        zone: overflow.zone,
    };
    decision.reason = Reason::OverLimit;
    decision.outcome = Outcome::Drop;
    match overflow.treatment {
        Overflow::Drop => decision.sentence = explain::over_limit(&decision),
        Overflow::Downgrade => decision.sentence = explain::passed_on(&decision, overflow.next),
        // A digest over a limit has no digest to join.
        Overflow::Defer | Overflow::Digest if expires_by(&targets, room_at) => {
            decision.sentence = explain::expires_over_limit(&decision, &wait);
        }
        Overflow::Defer | Overflow::Digest => {
            decision.outcome = Outcome::Defer;
            decision.until = Some(room_at);
            decision.sentence = explain::waits_for_limit(&decision, &wait);
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
    decision.sentence = explain::collected_over_limit(&decision, &digest, zone);
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
