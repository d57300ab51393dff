//! Measures the time from the restart of a killed process to the end of the deliveries that were in flight at the kill.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Evidence,
    evidence::{Delivery, timeline},
};
use crate::{
    api::Api,
    console::Console,
    plan::FaultKind,
    recoveries::{Strike, line, others},
};

/// The worker's code for an attempt whose owner died.
const WORKER_LOST: &str = "worker-lost";

/// Lines for the report by kind of fault. A fault is left out if another one fell between it and the last end.
pub(super) async fn summary(
    api: &Api,
    evidence: &Evidence,
    strikes: &[Strike],
    console: Console,
) -> Vec<String> {
    let mut by_kind: BTreeMap<String, (usize, Vec<Duration>)> = BTreeMap::new();
    for (index, strike) in strikes.iter().enumerate() {
        let (FaultKind::Kill(_), Some(ended)) = (strike.kind, strike.ended) else {
            continue;
        };
        let Some((count, took)) = last_end(api, evidence, strike, console).await else {
            continue;
        };
        if others(strikes, index, strike.began, ended + took).is_empty() {
            let (counts, times) = by_kind.entry(strike.kind.to_string()).or_default();
            *counts += count;
            times.push(took);
        }
    }
    by_kind
        .into_iter()
        .map(|(kind, (count, times))| format!("{}   of {count} deliveries", line(&kind, times)))
        .collect()
}

/// Deliveries in flight when the fault began: events accepted by then, deliveries not ended. Returns their number and
/// the time from the end of the fault to the end of the last one. Deliveries that a provider refused are excluded.
async fn last_end(
    api: &Api,
    evidence: &Evidence,
    strike: &Strike,
    console: Console,
) -> Option<(usize, Duration)> {
    let began = console.on_the_wall(strike.began);
    let by_event = evidence.by_event();
    let accepted = evidence
        .entries
        .iter()
        .filter(|entry| entry.is_accepted() && entry.decided_at() < strike.began);
    let in_flight = accepted
        .flat_map(|entry| by_event.get(entry.event.id.as_str()).into_iter().flatten())
        .filter(|delivery| delivery.updated_at > began);
    let (mut count, mut last) = (0, began);
    for delivery in in_flight {
        if delivery.attempt <= 1 || was_lost_with_its_worker(api, delivery).await {
            count += 1;
            last = last.max(delivery.updated_at);
        }
    }
    let ended = console.on_the_wall(strike.ended?);
    (count > 0).then(|| (count, (last - ended).to_std().unwrap_or_default()))
}

async fn was_lost_with_its_worker(api: &Api, delivery: &Delivery) -> bool {
    let steps = timeline(api, &delivery.id).await.unwrap_or_default();
    let codes: Vec<&str> = steps.iter().filter_map(|step| step.code.as_deref()).collect();
    codes.first() == Some(&WORKER_LOST) && codes.iter().all(|code| *code == WORKER_LOST)
}
