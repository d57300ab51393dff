//! The rules of fallback orders: a channel is used if no earlier one is, or it follows an earlier one after a wait.

use std::time::Duration;

use serde::Serialize;

use super::{
    super::{
        Draft, Facts, Outcome, Reason,
        explain::{Followed, Wait},
        steps::Input,
    },
    Entry, Ruling, Trail, waits,
};
use crate::{
    channel::Channel,
    clock::{Timestamp, later},
    duration_text,
    fallback::Earlier,
    ids::DeliveryId,
};

/// The turn of a channel in a fallback order.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn {
    /// Whether an earlier channel is used, and this one does not follow it.
    pub(super) is_taken: bool,
    /// The earlier channel whose limit is used up, so that this one is in turn.
    pub(super) downgraded_from: Option<Channel>,
    /// The wait after the earlier channels that are used, if this one follows them.
    pub(super) follows: Option<Follows>,
}

/// The wait of a channel that follows earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Follows {
    wait: Duration,
    until: Timestamp,
    channels: Vec<Channel>,
    deliveries: Vec<DeliveryId>,
}

/// The channels of a fallback order that are used so far.
#[derive(Debug, Clone)]
pub(super) struct Used {
    channels: Vec<Channel>,
    deliveries: Vec<DeliveryId>,
    /// The time at which the last one is sent.
    at: Timestamp,
    /// Whether the message joins a digest, which has a fallback order of its own.
    is_collected: bool,
}

/// The inputs of a wait.
#[derive(Serialize)]
struct Waits<'a> {
    after: &'a [Channel],
    wait: String,
    until: Timestamp,
}

/// The inputs of a channel that has waited: the state of the earlier channels.
#[derive(Serialize)]
struct Waited<'a> {
    after: &'a [Channel],
    /// `failed`, `open`, or the status of the one that has reached the recipient.
    state: &'static str,
}

impl Used {
    /// The channel that was used first.
    pub(super) fn first(&self) -> Option<Channel> {
        self.channels.first().copied()
    }

    /// Adds the channel of a draft that is sent, now or later.
    pub(super) fn and(used: Option<Self>, draft: &Draft, now: Timestamp) -> Self {
        let mut used = used.unwrap_or(Self {
            channels: Vec::new(),
            deliveries: Vec::new(),
            at: now,
            is_collected: false,
        });
        used.channels.push(draft.decision.channel);
        let own = draft.targets.iter().map(|(_, delivery)| delivery.delivery_id);
        used.deliveries.extend(own);
        used.at = draft.decision.until.unwrap_or(now).max(used.at);
        used.is_collected |= draft.decision.outcome == Outcome::Digest;
        used
    }

    /// The wait after these channels; `None` if they are collected.
    fn followed_after(&self, wait: Duration) -> Option<Follows> {
        (!self.is_collected).then(|| Follows {
            wait,
            until: later(self.at, wait),
            channels: self.channels.clone(),
            deliveries: self.deliveries.clone(),
        })
    }
}

impl Turn {
    /// The turn of a channel after those that are used.
    pub(super) fn after(used: Option<&Used>, facts: &Facts<'_>, channel: Channel) -> Self {
        // A message that has waited knows the deliveries that it follows.
        let wait = match facts.entry {
            Entry::Start => facts.definition.channels.wait_of(channel),
            Entry::Suppression | Entry::Digest => None,
        };
        let follows = used.zip(wait).and_then(|(used, wait)| used.followed_after(wait));
        Self {
            is_taken: used.is_some() && follows.is_none(),
            downgraded_from: None,
            follows,
        }
    }
}

/// No earlier channel of a fallback order is used, or this one follows it.
pub(super) fn in_turn(trail: &mut Trail<'_>) -> Ruling {
    if !trail.turn.is_taken {
        if let Some(from) = trail.turn.downgraded_from {
            trail.note("downgrade", "pass", &Input("from", from));
            trail.reason = Reason::Downgraded;
        }
        return Ruling::Pass;
    }
    let order = &trail.facts.definition.channels.order;
    trail.note("fallback", "stop", &Input("order", order));
    Ruling::Stop(Reason::FallbackNotNeeded)
}

/// The channel does not follow another one, or its wait is over and no earlier message has reached the recipient.
pub(super) fn follows(trail: &mut Trail<'_>) -> Ruling {
    let waited = trail
        .facts
        .followed
        .iter()
        .position(|one| one.channel == trail.channel);
    match (waited, trail.turn.follows.take()) {
        (Some(place), _) => has_waited(trail, place),
        (None, Some(follows)) => waits_for(trail, follows),
        (None, None) => Ruling::Pass,
    }
}

fn waits_for(trail: &mut Trail<'_>, follows: Follows) -> Ruling {
    let zone = waits::zone(trail.facts);
    let Follows {
        wait,
        until,
        channels,
        deliveries,
    } = follows;
    let inputs = Waits {
        after: &channels,
        wait: duration_text::format(wait),
        until,
    };
    trail.wait = Some(Wait { until, zone });
    let expires_at = trail.facts.event.expires_at;
    if expires_at.is_some_and(|expires_at| expires_at <= until) {
        trail.note("follow", "stop", &inputs);
        return Ruling::Stop(Reason::ExpiresInFallback);
    }
    trail.note("follow", "wait", &inputs);
    trail.after = deliveries;
    trail.followed = Some(Followed {
        channels,
        state: Earlier::Open,
    });
    Ruling::Wait(until, Reason::FallbackWaits)
}

fn has_waited(trail: &mut Trail<'_>, place: usize) -> Ruling {
    let facts = trail.facts;
    let Some(waited) = facts.followed.get(place) else {
        return Ruling::Pass;
    };
    let standing = &waited.standing;
    let state = match standing.state {
        Earlier::Reached(status) => status.as_str(),
        Earlier::Failed => "failed",
        Earlier::Open => "open",
    };
    let inputs = Waited {
        after: &standing.channels,
        state,
    };
    trail.after.clone_from(&waited.after);
    trail.followed = Some(Followed {
        channels: standing.channels.clone(),
        state: standing.state,
    });
    if let Earlier::Reached(_) = standing.state {
        trail.note("follow", "stop", &inputs);
        return Ruling::Stop(Reason::FallbackReached);
    }
    trail.note("follow", "pass", &inputs);
    trail.reason = Reason::FallbackUsed;
    Ruling::Pass
}
