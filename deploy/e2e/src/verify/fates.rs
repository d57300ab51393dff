//! Checks that each accepted event was routed, each of its deliveries has ended, and each `sent` one arrived.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use serde::Deserialize;

use super::{Evidence, Finding};
use crate::{
    api::Api,
    load::{Entry, Outcome},
};

/// The number of events that are requested one by one.
const SAMPLE: usize = 300;
/// The most requests at the same time.
const AT_ONCE: usize = 8;
/// Final statuses of deliveries that were not sent.
const NOT_SENT: [&str; 6] = [
    "dead_lettered",
    "failed",
    "suppressed",
    "expired",
    "cancelled",
    "digested",
];

/// Checks the answers to sources, and that each event has the expected deliveries.
pub(super) fn events(evidence: &Evidence) -> Finding {
    let by_event = evidence.by_event();
    let mut violations = Vec::new();
    for entry in &evidence.entries {
        let id = &entry.event.id;
        match &entry.outcome {
            Some(Outcome::Accepted) => {}
            Some(Outcome::Refused(reason)) => violations.push(format!("event {id} was refused: {reason}")),
            None => violations.push(format!("event {id} was never accepted")),
        }
        let count = by_event.get(id.as_str()).map_or(0, Vec::len);
        if entry.is_accepted() && !entry.event.deliveries().contains(&count) {
            let expected = entry.event.deliveries();
            violations.push(format!(
                "event {id} has {count} deliveries and not {expected:?}: {:?}",
                entry.event
            ));
        }
    }
    let accepted = evidence
        .entries
        .iter()
        .filter(|entry| entry.is_accepted())
        .count();
    Finding::new(
        format!("{accepted} accepted events have the deliveries that come of them"),
        violations,
    )
}

#[derive(Deserialize)]
struct Shown {
    status: String,
    decisions: Vec<serde_json::Value>,
}

/// Requests single events: those without a delivery, for which there is no other evidence, and a sample of all.
pub(super) async fn decisions(api: &Api, evidence: &Evidence) -> Finding {
    let by_event = evidence.by_event();
    let accepted: Vec<&Entry> = evidence
        .entries
        .iter()
        .filter(|entry| entry.is_accepted())
        .collect();
    let step = (accepted.len() / SAMPLE).max(1);
    let asked: Vec<&Entry> = accepted
        .iter()
        .enumerate()
        .filter(|(index, entry)| index % step == 0 || !by_event.contains_key(entry.event.id.as_str()))
        .map(|(_, entry)| *entry)
        .collect();
    let count = asked.len();
    let wrong: Vec<Option<String>> = futures::stream::iter(asked)
        .map(|entry| async move {
            let id = &entry.event.id;
            match api.get::<Shown>(&format!("/v1/events/{id}")).await {
                Ok(shown) if shown.status == "routed" && !shown.decisions.is_empty() => None,
                Ok(shown) if shown.status == "cancelled" && entry.cancelled.is_some() => None,
                Ok(Shown { status, decisions }) => Some(format!(
                    "event {id} is {status} with {} decisions",
                    decisions.len()
                )),
                Err(error) => Some(format!("event {id}: {error:#}")),
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let line = format!("{count} events asked for by id are routed with their decisions, or cancelled");
    Finding::new(line, wrong.into_iter().flatten().collect())
}

/// Checks that each delivery has ended, and that one that was not sent has a reason.
pub(super) fn deliveries(evidence: &Evidence) -> Finding {
    let mut violations = Vec::new();
    let mut unsent: BTreeMap<&str, usize> = BTreeMap::new();
    for delivery in evidence.deliveries.values() {
        let status = delivery.status.as_str();
        if status == "sent" {
            continue;
        }
        *unsent.entry(status).or_default() += 1;
        if !NOT_SENT.contains(&status) {
            violations.push(format!("delivery {} has not ended: {delivery:?}", delivery.id));
        } else if delivery.detail.is_none() || delivery.error_code.is_none() {
            violations.push(format!("delivery {} does not say why: {delivery:?}", delivery.id));
        }
    }
    let total = evidence.deliveries.len();
    Finding::new(
        format!("{total} deliveries have ended; not sent, with a reason: {unsent:?}"),
        violations,
    )
}

/// Checks that each `sent` message arrived, and that each message that arrived belongs to a known delivery.
pub(super) fn arrivals(evidence: &Evidence) -> Finding {
    let mut violations = Vec::new();
    let sent = evidence
        .deliveries
        .values()
        .filter(|delivery| delivery.status == "sent");
    let mut count = 0;
    for delivery in sent {
        count += 1;
        if !evidence.arrivals.contains_key(&delivery.id) {
            violations.push(format!(
                "delivery {} says sent and never arrived: {delivery:?}",
                delivery.id
            ));
        }
    }
    for id in evidence.arrivals.keys() {
        if !evidence.deliveries.contains_key(id) {
            violations.push(format!("a message of the unknown delivery {id} arrived"));
        }
    }
    if evidence.anonymous > 0 {
        violations.push(format!(
            "{} messages arrived without a delivery's id",
            evidence.anonymous
        ));
    }
    Finding::new(
        format!("{count} deliveries that say sent have arrived"),
        violations,
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::evidence::{Delivery, sound},
        *,
    };

    fn spoil(spoil: impl FnOnce(&mut Delivery)) -> Evidence {
        let mut evidence = sound::evidence();
        spoil(evidence.deliveries.get_mut("d-a").unwrap());
        evidence
    }

    #[test]
    fn a_sound_run_has_no_violations() {
        let evidence = sound::evidence();
        for finding in [events(&evidence), deliveries(&evidence), arrivals(&evidence)] {
            assert!(finding.violations.is_empty(), "{:?}", finding.violations);
        }
    }

    #[test]
    fn an_accepted_event_without_its_delivery_is_found() {
        let mut evidence = sound::evidence();
        evidence.deliveries.remove("d-a");
        assert_eq!(events(&evidence).violations.len(), 1);
    }

    #[test]
    fn a_delivery_that_has_not_ended_or_has_no_reason_is_found() {
        let pending = spoil(|delivery| "retrying".clone_into(&mut delivery.status));
        assert_eq!(deliveries(&pending).violations.len(), 1);
        let silent = spoil(|delivery| "dead_lettered".clone_into(&mut delivery.status));
        assert_eq!(deliveries(&silent).violations.len(), 1);
        let said = spoil(|delivery| {
            "dead_lettered".clone_into(&mut delivery.status);
            delivery.detail = Some("the provider refused".to_owned());
            delivery.error_code = Some("20503".to_owned());
        });
        assert!(deliveries(&said).violations.is_empty());
    }

    #[test]
    fn a_missing_message_and_one_of_an_unknown_delivery_are_found() {
        let mut evidence = sound::evidence();
        evidence.arrivals.remove("d-a");
        evidence.arrivals.insert("d-z".to_owned(), 7);
        assert_eq!(arrivals(&evidence).violations.len(), 2);
    }
}
