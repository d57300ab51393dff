//! The fates of the letters that a canary has put back: a delivery's by its status in the read model, an event's by the
//! router's claim or by a new dead letter.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use carillon_bus::replay::{Replay, replay, replay_edited};
use carillon_domain::{DeliveryId, DeliveryStatus, Timestamp, stored_letter::RejectedEvent};
use carillon_store::{
    StoreError,
    dead_letter_jobs::{CanaryFates, JobView},
    dead_letters::{BatchOf, DeadLetterFilter, LetterRecord},
};
use uuid::Uuid;

use crate::SchedulerDeps;

/// The shortest and longest time between two looks.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);
/// The most letters that are looked at; no canary has more.
const MAX_LETTERS: u32 = 1_000;

/// The time until the next look: half as long again as the time since `before`.
pub(crate) fn next_look(now: Timestamp, before: Timestamp) -> Duration {
    let passed = (now - before).to_std().unwrap_or_default();
    (passed * 3 / 2).clamp(SHORTEST, LONGEST)
}

/// A letter that was put back.
enum PutBackAs {
    /// As this generation of a delivery.
    Delivery(DeliveryId, u32),
    /// As an event, whose identity is known if its bytes are one.
    Event(Option<RejectedEvent>),
    /// It is not in the read model any more, so its fate cannot be told.
    Gone,
}

/// The fate of a letter that was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Fine,
    Failed,
}

/// The fates of the letters that a job has put back so far.
pub(crate) async fn fates(deps: &SchedulerDeps, job: &JobView) -> Result<CanaryFates, StoreError> {
    let jobs = deps.store.dead_letter_jobs();
    let put_back = jobs.put_back(&job.tenant, job.id, MAX_LETTERS).await?;
    let generations: HashMap<Uuid, u32> = put_back
        .iter()
        .map(|letter| (letter.letter_id, letter.generation().unwrap_or(0)))
        .collect();
    let filter = DeadLetterFilter {
        ids: put_back.iter().map(|letter| letter.letter_id).collect(),
        ..DeadLetterFilter::default()
    };
    let mut sent = Vec::new();
    if !filter.ids.is_empty() {
        each(deps, job, &filter, |letter| {
            // At the time of the job: an expiry that has passed since does not matter here.
            let stored = letter.stored(&job.tenant);
            let made = match &job.edit {
                Some(edit) => replay_edited(deps.bus.topics(), stored, edit, job.id, job.created_at),
                None => replay(deps.bus.topics(), stored, job.id, job.created_at),
            };
            sent.push(match made {
                Ok(Replay::Delivery { delivery, .. }) => {
                    let generation = generations.get(&letter.id).copied().unwrap_or(0);
                    PutBackAs::Delivery(delivery.delivery_id, generation)
                }
                Ok(Replay::Event { event, .. }) => PutBackAs::Event(event),
                Err(_) => PutBackAs::Gone,
            });
        })
        .await?;
    }
    sent.resize_with(put_back.len().max(sent.len()), || PutBackAs::Gone);
    let of_deliveries = of_deliveries(deps, job, &sent).await?;
    let of_events = of_events(deps, job, &sent).await?;
    let mut fates = CanaryFates::default();
    for fate in of_deliveries.into_iter().chain(of_events) {
        fates.sent += 1;
        fates.ended += u32::from(fate != Fate::Open);
        fates.failed += u32::from(fate == Fate::Failed);
    }
    let gone = sent.iter().filter(|sent| matches!(sent, PutBackAs::Gone)).count();
    let gone = u32::try_from(gone).unwrap_or(u32::MAX);
    (fates.sent, fates.ended) = (fates.sent + gone, fates.ended + gone);
    Ok(fates)
}

/// Calls for each letter of a selection.
async fn each(
    deps: &SchedulerDeps,
    job: &JobView,
    filter: &DeadLetterFilter,
    mut call: impl FnMut(&LetterRecord),
) -> Result<(), StoreError> {
    let mut of = BatchOf {
        tenant: &job.tenant,
        filter,
        until: None,
        after: None,
        limit: MAX_LETTERS,
    };
    loop {
        let batch = deps.store.dead_letters().batch(of).await?;
        batch.letters.iter().for_each(&mut call);
        if !batch.has_more {
            return Ok(());
        }
        of.after = batch.end;
    }
}

async fn of_deliveries(
    deps: &SchedulerDeps,
    job: &JobView,
    sent: &[PutBackAs],
) -> Result<Vec<Fate>, StoreError> {
    let sent: Vec<(DeliveryId, u32)> = sent
        .iter()
        .filter_map(|sent| match sent {
            PutBackAs::Delivery(id, generation) => Some((*id, *generation)),
            _ => None,
        })
        .collect();
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let ids = sent.iter().map(|(id, _)| *id);
    let found = deps.store.read_model().by_ids(&job.tenant, ids).await?;
    let found: HashMap<DeliveryId, (u32, DeliveryStatus)> = found
        .into_iter()
        .map(|delivery| (delivery.id, (delivery.generation, delivery.status)))
        .collect();
    let fates = sent.iter().map(|(id, generation)| {
        // The tracker will bring a delivery that is not there yet.
        let state = found.get(id).copied();
        state.map_or(Fate::Open, |(now, status)| fate(*generation, now, status))
    });
    Ok(fates.collect())
}

/// The fate of the replay of a delivery with this generation, by the delivery's present state.
fn fate(generation: u32, now: u32, status: DeliveryStatus) -> Fate {
    use DeliveryStatus as S;
    match (now.cmp(&generation), status) {
        (Ordering::Less, _) => Fate::Open,
        // It was put back once more, so it was a dead letter again.
        (Ordering::Greater, _) | (_, S::Failed | S::DeadLettered | S::Bounced) => Fate::Failed,
        (_, status) if status.is_ended() => Fate::Fine,
        _ => Fate::Open,
    }
}

/// An event is fine once it is claimed by another record than the rejected one. It has failed once one of its records
/// is a dead letter again.
async fn of_events(deps: &SchedulerDeps, job: &JobView, sent: &[PutBackAs]) -> Result<Vec<Fate>, StoreError> {
    let sent: Vec<&Option<RejectedEvent>> = sent
        .iter()
        .filter_map(|sent| match sent {
            PutBackAs::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let filter = DeadLetterFilter {
        queue: vec![None],
        replayed_by: vec![job.id],
        ..DeadLetterFilter::default()
    };
    let (mut failed, mut failed_unread) = (HashSet::new(), 0_usize);
    each(deps, job, &filter, |letter| {
        let made = replay(
            deps.bus.topics(),
            letter.stored(&job.tenant),
            job.id,
            job.created_at,
        );
        match made.as_ref().ok().and_then(Replay::event) {
            Some(event) => drop(failed.insert((event.event_id.clone(), Arc::clone(&event.source)))),
            None => failed_unread += 1,
        }
    })
    .await?;
    let events: Vec<RejectedEvent> = sent.iter().filter_map(|event| (*event).clone()).collect();
    let claims = deps.store.events().standing_in_the_way(&job.tenant, &events);
    let mut claims = claims.await?.into_iter();
    let fates = sent.into_iter().map(|event| match event {
        Some(event) => {
            let is_claimed = claims.next().flatten().is_some();
            if failed.contains(&(event.event_id.clone(), Arc::clone(&event.source))) {
                Fate::Failed
            } else if is_claimed {
                Fate::Fine
            } else {
                Fate::Open
            }
        }
        // A record that is no event can only fail.
        None if failed_unread > 0 => {
            failed_unread -= 1;
            Fate::Failed
        }
        None => Fate::Open,
    });
    Ok(fates.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_up_to_a_bound() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let begin = at("2026-11-24T10:00:00Z");
        for (now, expected) in [("10:00:00", 1_000), ("10:00:04", 6_000), ("11:00:00", 15_000)] {
            let look = next_look(at(&format!("2026-11-24T{now}Z")), begin);
            assert_eq!(look.as_millis(), expected, "{now}");
        }
    }

    #[test]
    fn a_replay_s_fate_is_that_of_its_own_generation() {
        use DeliveryStatus as S;
        for (now, status, expected) in [
            (0, S::DeadLettered, Fate::Open),
            (1, S::Queued, Fate::Open),
            (1, S::Retrying, Fate::Open),
            (1, S::Sent, Fate::Fine),
            (1, S::Suppressed, Fate::Fine),
            (1, S::DeadLettered, Fate::Failed),
            (1, S::Bounced, Fate::Failed),
            (2, S::Sent, Fate::Failed),
        ] {
            assert_eq!(fate(1, now, status), expected, "{now} {status}");
        }
    }
}
