//! Checks of digests: each window of a user has one digest, which arrives after the window's end, and each of its members
//! stands in exactly one digest.

use std::collections::{HashMap, HashSet};

use carillon_domain::Timestamp;

use super::{Evidence, Finding, collected::Digests};
use crate::events::{Kind, quiet_users};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let digests = &evidence.digests;
    let mut violations = windows(digests);
    let quiet = quiet_users();
    let sent = digests.sent.iter();
    violations.extend(sent.filter_map(|id| message(evidence, &quiet, id)));
    let mut collected = 0;
    let by_event = evidence.by_event();
    for entry in &evidence.entries {
        let id = entry.event.id.as_str();
        if entry.event.kind != Kind::WishlistPriceDrop {
            continue;
        }
        let [delivery] = by_event.get(id).map_or(&[][..], Vec::as_slice) else {
            // Another check expects one.
            continue;
        };
        let is_digested = delivery.status == "digested";
        collected += usize::from(is_digested);
        let lines = lines_about(evidence, id);
        // A digest may end as a dead letter, and is not read then.
        if lines > 1 || (!is_digested && lines > 0) || (is_digested && lines == 0 && all_arrived(evidence)) {
            violations.push(format!(
                "event {id}, whose delivery is {}, stands {lines} times in digests",
                delivery.status
            ));
        }
    }
    let line = format!(
        "{collected} messages stand in {} digests, each once, none before its window's end",
        digests.sent.len()
    );
    Finding::new(line, violations)
}

/// Windows with more than one digest.
fn windows(digests: &Digests) -> Vec<String> {
    let mut of_window: HashMap<(&str, Timestamp), &str> = HashMap::new();
    let mut violations = Vec::new();
    for (id, end) in &digests.ends {
        let user = digests.users.get(id).map_or("", String::as_str);
        if let Some(other) = of_window.insert((user, *end), id) {
            violations.push(format!(
                "{user}'s window until {end} has the digests {other} and {id}"
            ));
        }
    }
    violations
}

/// The fault of a digest's message, if there is one.
fn message(evidence: &Evidence, quiet: &HashSet<String>, id: &str) -> Option<String> {
    let deliveries: Vec<_> = evidence
        .deliveries
        .values()
        .filter(|delivery| delivery.event_id == id)
        .collect();
    let [delivery] = deliveries[..] else {
        return Some(format!("digest {id} has {} deliveries", deliveries.len()));
    };
    let arrived = evidence.arrived_at.get(&delivery.id)?;
    let mut earliest = *evidence.digests.ends.get(id)?;
    if delivery.user_id.as_ref().is_some_and(|user| quiet.contains(user)) {
        earliest = earliest.max(evidence.quiet_until);
    }
    (*arrived < earliest).then(|| format!("digest {id} arrived at {arrived}, before {earliest}"))
}

/// The number of lines about an event in the digests that arrived.
fn lines_about(evidence: &Evidence, event: &str) -> usize {
    let line = format!("- {event}, ");
    let texts = evidence.texts.values();
    texts.map(|text| text.matches(&line).count()).sum()
}

/// Whether the message of each digest has arrived.
fn all_arrived(evidence: &Evidence) -> bool {
    let mut of_digests = evidence
        .deliveries
        .values()
        .filter(|delivery| evidence.digests.sent.contains(&delivery.event_id));
    of_digests.all(|delivery| evidence.arrivals.contains_key(&delivery.id))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::evidence::sound, *};
    use crate::events::user_id;

    /// Event `a` is a member of the digest whose only delivery is that of event `b`.
    fn evidence() -> Evidence {
        let mut evidence = sound::evidence();
        evidence.entries[0].event.kind = Kind::WishlistPriceDrop;
        "digested".clone_into(&mut evidence.deliveries.get_mut("d-a").unwrap().status);
        evidence.arrivals.remove("d-a");
        evidence.arrived_at.remove("d-a");
        evidence
            .texts
            .insert("d-b".to_owned(), "Cheaper:\n- a, 39.00\n".to_owned());
        let end = evidence.arrived_at["d-b"];
        evidence.digests = Digests {
            ends: [("b".to_owned(), end)].into(),
            users: [("b".to_owned(), user_id(1))].into(),
            sent: ["b".to_owned()].into(),
        };
        evidence
    }

    #[test]
    fn a_member_that_is_missing_or_doubled_or_was_cancelled_and_sent_is_found() {
        assert_eq!(check(&evidence()).violations, [""; 0]);
        for text in ["Cheaper:", "- a, 39.00\n- a, 39.00"] {
            let mut wrong = evidence();
            wrong.texts.insert("d-b".to_owned(), text.to_owned());
            assert_eq!(check(&wrong).violations.len(), 1, "{text}");
        }
        let mut sent = evidence();
        "cancelled".clone_into(&mut sent.deliveries.get_mut("d-a").unwrap().status);
        assert_eq!(check(&sent).violations.len(), 1);
    }

    #[test]
    fn an_early_digest_and_a_second_digest_of_a_window_are_found() {
        let mut early = evidence();
        for end in early.digests.ends.values_mut() {
            *end += Duration::from_millis(1);
        }
        assert_eq!(check(&early).violations.len(), 1);
        let mut second = evidence();
        let end = second.digests.ends["b"];
        second.digests.ends.insert("c".to_owned(), end);
        second.digests.users.insert("c".to_owned(), user_id(1));
        assert_eq!(check(&second).violations.len(), 1);
    }
}
