//! Checks that nothing was sent before its time, and that answers about cancelled events are true.

use futures::StreamExt as _;
use serde::Deserialize;

use super::{
    Evidence, Finding,
    evidence::{Delivery, is_uncertain, timeline},
};
use crate::{
    api::Api,
    events::quiet_users,
    load::{Cancelled, Entry},
};

/// The most requests at the same time.
const AT_ONCE: usize = 8;

/// Checks that no message arrived before its event's `sendat`, nor within the quiet hours of its recipient.
pub(super) fn nothing_is_early(evidence: &Evidence) -> Finding {
    let by_event = evidence.by_event();
    let quiet = quiet_users();
    let mut violations = Vec::new();
    let (mut scheduled, mut deferred) = (0, 0);
    for entry in &evidence.entries {
        for delivery in by_event.get(entry.event.id.as_str()).into_iter().flatten() {
            let Some(arrived) = evidence.arrived_at.get(&delivery.id) else {
                continue;
            };
            if let Some(sendat) = entry.event.waits.sendat {
                scheduled += 1;
                if *arrived < sendat {
                    violations.push(format!(
                        "delivery {} of event {} arrived at {arrived}, before its sendat {sendat}",
                        delivery.id, entry.event.id
                    ));
                }
            }
            let has_quiet_hours = delivery.user_id.as_ref().is_some_and(|user| quiet.contains(user));
            if has_quiet_hours && entry.event.keeps_quiet() {
                deferred += 1;
                if *arrived < evidence.quiet_until {
                    violations.push(format!(
                        "delivery {} arrived at {arrived}, in quiet hours until {}",
                        delivery.id, evidence.quiet_until
                    ));
                }
            }
        }
    }
    let line = format!(
        "nothing is early: {scheduled} messages with sendat, {deferred} to users with quiet hours until {}",
        evidence.quiet_until.format("%H:%M")
    );
    Finding::new(line, violations)
}

#[derive(Debug, Deserialize)]
struct Shown {
    status: String,
}

/// Checks the answers to requests to cancel: an event that was cancelled as a whole has no deliveries, and a cancelled
/// delivery did not arrive.
pub(super) async fn cancelled(api: &Api, evidence: &Evidence) -> Finding {
    let asked = evidence
        .entries
        .iter()
        .filter_map(|entry| Some((entry, entry.cancelled.as_ref()?)));
    let statuses: Vec<_> = futures::stream::iter(asked)
        .map(|(entry, answer)| async move {
            let shown = api.get::<Shown>(&format!("/v1/events/{}", entry.event.id)).await;
            (
                entry,
                answer,
                shown.map_or_else(|error| format!("{error:#}"), |shown| shown.status),
            )
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut violations = Vec::new();
    let mut counts = [("cancelled", 0), ("too_late", 0), ("already_final", 0)];
    for (entry, answer, status) in &statuses {
        if let Some((_, count)) = counts.iter_mut().find(|(result, _)| *result == answer.result) {
            *count += 1;
        }
        violations.extend(contradiction(evidence, entry, answer, status));
    }
    for delivery in evidence.deliveries.values() {
        // An attempt before the cancelled one may have been sent, and then says so.
        if delivery.status == "cancelled"
            && evidence.arrivals.contains_key(&delivery.id)
            && !timeline(api, &delivery.id)
                .await
                .is_ok_and(|steps| is_uncertain(&steps))
        {
            violations.push(format!(
                "the cancelled delivery {} arrived: {delivery:?}",
                delivery.id
            ));
        }
    }
    Finding::new(
        format!(
            "answers to {} requests to cancel are true: {counts:?}",
            statuses.len()
        ),
        violations,
    )
}

/// The contradiction between an answer to a request to cancel and the event's end; `None` if there is none.
fn contradiction(evidence: &Evidence, entry: &Entry, answer: &Cancelled, status: &str) -> Option<String> {
    let id = &entry.event.id;
    let of_event = || {
        evidence
            .deliveries
            .values()
            .filter(|delivery| delivery.event_id == *id)
    };
    let is_cancelled = match status {
        "cancelled" => of_event().next().is_none(),
        // It had been decided before; some of its deliveries were cancelled.
        "routed" => of_event().any(|delivery| delivery.status == "cancelled"),
        other => return Some(format!("event {id} is {other} after the request to cancel it")),
    };
    let is_true = match &*answer.result {
        "cancelled" => is_cancelled,
        // An earlier try without an answer may have cancelled it, or some of its deliveries.
        "already_final" => answer.is_repeated || !is_cancelled,
        // A cancelled delivery may have been sent by an earlier attempt.
        "too_late" => answer.is_repeated || !is_cancelled || was_tried(&mut of_event()),
        _ => false,
    };
    (!is_true).then(|| {
        format!(
            "event {id} is {status}, and the answer was {answer:?}: {:?}",
            of_event().collect::<Vec<_>>()
        )
    })
}

/// Whether there are cancelled deliveries, and each was tried before.
fn was_tried(of_event: &mut dyn Iterator<Item = &Delivery>) -> bool {
    let mut cancelled = of_event
        .filter(|delivery| delivery.status == "cancelled")
        .peekable();
    cancelled.peek().is_some() && cancelled.all(|delivery| delivery.attempt > 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::evidence::sound, *};
    use crate::events::user_id;

    fn answer(result: &str) -> Cancelled {
        Cancelled {
            result: result.to_owned(),
            is_repeated: false,
        }
    }

    #[test]
    fn a_message_before_its_sendat_or_in_quiet_hours_is_found() {
        let mut evidence = sound::evidence();
        assert!(nothing_is_early(&evidence).violations.is_empty());
        let arrived = evidence.arrived_at["d-a"];
        evidence.entries[0].event.waits.sendat = Some(arrived + Duration::from_millis(1));
        assert_eq!(nothing_is_early(&evidence).violations.len(), 1);
        evidence.entries[0].event.waits.sendat = Some(arrived);
        assert!(nothing_is_early(&evidence).violations.is_empty());
        evidence.deliveries.get_mut("d-b").unwrap().user_id = Some(user_id(5));
        evidence.quiet_until = arrived + Duration::from_millis(1);
        assert_eq!(nothing_is_early(&evidence).violations.len(), 1);
    }

    #[test]
    fn an_answer_that_contradicts_the_events_end_is_found() {
        let mut evidence = sound::evidence();
        let entry = evidence.entries[0].clone();
        let found = |evidence: &Evidence, result: &str, status: &str| {
            contradiction(evidence, &entry, &answer(result), status).is_some()
        };
        assert!(!found(&evidence, "too_late", "routed"));
        assert!(found(&evidence, "cancelled", "routed"));
        assert!(found(&evidence, "cancelled", "cancelled"), "it has a delivery");
        assert!(found(&evidence, "already_final", "pending"));
        "cancelled".clone_into(&mut evidence.deliveries.get_mut("d-a").unwrap().status);
        assert!(!found(&evidence, "cancelled", "routed"));
        evidence.deliveries.remove("d-a");
        assert!(!found(&evidence, "cancelled", "cancelled"));
        assert!(found(&evidence, "too_late", "cancelled"));
    }
}
