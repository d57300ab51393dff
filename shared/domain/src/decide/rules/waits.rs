//! The rules for which a message waits.

use serde::Serialize;

use super::{
    super::{Facts, Reason, explain::Wait, steps::Input},
    Ruling, Trail,
};
use crate::{
    catalog::Overflow,
    clock::Timestamp,
    digest::{Digest, DigestPlan},
    ids::DigestId,
    quiet_hours::{QuietHours, Zone, quiet_until},
};

/// The inputs of quiet hours.
#[derive(Serialize)]
struct Quiet {
    timezone: &'static str,
    /// `user`, or `catalog` if the recipient has set none.
    set_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// The inputs of a digest.
#[derive(Serialize)]
struct Collected<'a> {
    digest: DigestId,
    until: Timestamp,
    timezone: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

/// The category collects no messages on the channel, or only those over a limit, or the type is critical.
pub(super) fn digest(trail: &mut Trail<'_>) -> Ruling {
    let facts = trail.facts;
    let collects = |plan: &DigestPlan<'_>| plan.channels.contains(&trail.channel);
    let Some(plan) = facts.digest.filter(collects) else {
        return Ruling::Pass;
    };
    if facts.definition.critical {
        trail.note("digest", "skip", &Input("critical", true));
        return Ruling::Pass;
    }
    let zone = zone(facts);
    let Some(window) = plan.definition.window(zone, facts.now) else {
        return Ruling::Pass;
    };
    let key = plan.definition.key_of(&facts.event.data);
    let recipient = facts.recipient.identity(facts.address_key);
    let category = &facts.definition.category;
    let id = DigestId::derive(
        facts.tenant,
        &recipient,
        category,
        key.as_deref(),
        trail.channel,
        window.end,
    );
    let digest = Digest { id, window };
    if facts.category.overflow == Overflow::Digest {
        trail.digest = Some(digest);
        return Ruling::Pass;
    }
    let inputs = Collected {
        digest: id,
        until: window.end,
        timezone: zone.name(),
        key: key.as_deref(),
    };
    if facts
        .event
        .expires_at
        .is_some_and(|expires_at| expires_at <= window.end)
    {
        trail.wait = Some(Wait {
            until: window.end,
            zone,
        });
        trail.note("digest", "stop", &inputs);
        return Ruling::Stop(Reason::ExpiresInDigest);
    }
    trail.note("digest", "wait", &inputs);
    Ruling::Collect(digest)
}

/// It is no quiet hour of the recipient, or the type is critical.
pub(super) fn quiet_hours(trail: &mut Trail<'_>) -> Ruling {
    let facts = trail.facts;
    let (windows, set_by) = windows(facts);
    if windows.is_empty() {
        return Ruling::Pass;
    }
    if facts.definition.critical {
        trail.note("quiet_hours", "skip", &Input("critical", true));
        return Ruling::Pass;
    }
    let zone = zone(facts);
    let until = quiet_until(windows, zone, facts.now);
    let inputs = Quiet {
        timezone: zone.name(),
        set_by,
        until,
    };
    let Some(until) = until else {
        trail.note("quiet_hours", "pass", &inputs);
        return Ruling::Pass;
    };
    trail.wait = Some(Wait { until, zone });
    if facts
        .event
        .expires_at
        .is_some_and(|expires_at| expires_at <= until)
    {
        trail.note("quiet_hours", "stop", &inputs);
        return Ruling::Stop(Reason::ExpiresInQuietHours);
    }
    trail.note("quiet_hours", "wait", &inputs);
    Ruling::Wait(until, Reason::QuietHours)
}

/// The recipient's own windows, or those of the catalog.
fn windows<'a>(facts: &Facts<'a>) -> (&'a [QuietHours], &'static str) {
    match facts
        .user
        .and_then(|user| user.preferences.quiet_hours.as_deref())
    {
        Some(own) => (own, "user"),
        None => (facts.quiet_hours, "catalog"),
    }
}

/// The timezone that the event names for the recipient, or else the user's own, or else the tenant's.
pub(super) fn zone(facts: &Facts<'_>) -> Zone {
    let named = facts.recipient.timezone.as_deref();
    let own = || facts.user.and_then(|user| user.timezone.as_deref());
    let read = |name: &str| name.parse().ok();
    named
        .and_then(read)
        .or_else(|| own().and_then(read))
        .unwrap_or(facts.zone)
}
