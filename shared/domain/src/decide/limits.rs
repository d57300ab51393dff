//! The limits of a category: the checks that a message needs, and the decision that follows from their verdicts. The
//! messages are counted elsewhere.

use serde::Serialize;

use super::{
    Decision, Decisions, DeferredDelivery, Draft, Facts, LimitCheck, LimitVerdict, Outcome, Reason, explain,
};
use crate::{channel::Channel, delivery::Delivery};

#[derive(Serialize)]
struct Limited {
    channel: Channel,
    max: u32,
    per: String,
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
    limits
        .enumerate()
        .map(|(index, limit)| LimitCheck {
            id: uuid::Uuid::new_v5(&first.delivery_id.0, &index.to_be_bytes()),
            key: format!("{}|{counted}|{category}|{channel}|{index}", facts.tenant),
            limit: limit.clone(),
        })
        .collect()
}

/// Applies the verdicts of the limits.
pub(super) fn conclude(draft: Draft, verdicts: &[LimitVerdict]) -> Decisions {
    let Draft {
        mut decision,
        targets,
        checks,
    } = draft;
    match decision.outcome {
        Outcome::Send => {}
        Outcome::Defer => return deferred(&decision, targets),
        _ => return alone(decision),
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
        return alone(decision);
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
        deferred: Vec::new(),
    }
}

/// A decision without a delivery.
fn alone(decision: Decision) -> Decisions {
    Decisions {
        decisions: vec![decision],
        ..Decisions::default()
    }
}

/// The deliveries of a draft that waits, with a decision for each.
fn deferred(decision: &Decision, targets: Vec<(Option<String>, Delivery)>) -> Decisions {
    let Some(until) = decision.until else {
        return alone(decision.clone());
    };
    let mut all = Decisions::default();
    for (masked, delivery) in targets {
        all.decisions.push(Decision {
            to_masked: masked,
            delivery_id: Some(delivery.delivery_id),
            ..decision.clone()
        });
        all.deferred.push(DeferredDelivery {
            until,
            reason: decision.reason,
            delivery,
        });
    }
    all
}
