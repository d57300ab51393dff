//! The plan of a step: for each letter the records of its verdict, or the reason for which it stays as it is.

use std::sync::Arc;

use carillon_bus::{
    OutRecord, Topics, headers,
    replay::{Replay, replay, replay_edited},
};
use carillon_domain::{
    Delivery, DeliveryStatus, EventId, StatusRecord, Timestamp,
    dead_letter::SkipReason,
    status::{DeliveryUpdate, STATUS_VERSION, TimelineStep, VerdictGiven},
    stored_letter::RejectedEvent,
};
use carillon_store::{
    StoreError,
    dead_letter_jobs::{JobKind, JobStep, JobView, SettledLetter},
    dead_letters::{LetterBatch, LetterRecord},
    outbox::OutboxRecord,
};

use crate::SchedulerDeps;

/// The step over a batch of letters.
pub(crate) async fn step(
    deps: &SchedulerDeps,
    job: &JobView,
    batch: &LetterBatch,
    now: Timestamp,
) -> Result<JobStep, StoreError> {
    let topics = deps.bus.topics();
    let mut step = JobStep::default();
    // Letters of this very job: records that it put back have failed again. The clocks of two processes may differ, so the
    // time at which it died does not tell.
    let own = job.id.to_string();
    let is_own = |letter: &LetterRecord| {
        letter
            .headers
            .iter()
            .any(|(name, value)| name == headers::REPLAY && *value == own)
    };
    let letters = batch.letters.iter().filter(|letter| !is_own(letter));
    if job.kind == JobKind::Discard {
        step.letters.extend(letters.map(|letter| SettledLetter {
            id: letter.id,
            generation: None,
            records: vec![verdict(topics, job, letter, None, now)],
        }));
        return Ok(step);
    }
    let put_back = |letter: &LetterRecord| match &job.edit {
        Some(edit) => replay_edited(topics, letter.stored(&job.tenant), edit, job.id, now),
        None => replay(topics, letter.stored(&job.tenant), job.id, now),
    };
    let replays: Vec<(&LetterRecord, Result<Replay, SkipReason>)> =
        letters.map(|letter| (letter, put_back(letter))).collect();
    let events = replays
        .iter()
        .filter_map(|(_, replay)| replay.as_ref().ok()?.event());
    let events: Vec<RejectedEvent> = events.cloned().collect();
    // For each event, in order, the reason for which the router would not route it.
    let in_the_way = deps.store.events().standing_in_the_way(&job.tenant, &events);
    let mut in_the_way = in_the_way.await?.into_iter();
    for (letter, replay) in replays {
        let settled = replay.and_then(|replay| match replay {
            Replay::Delivery {
                record,
                delivery,
                generation,
            } => Ok(SettledLetter {
                id: letter.id,
                generation: Some(generation),
                records: vec![
                    // The delivery is reopened before its letter is closed: the delivery of an open letter is never
                    // deleted, and a new row would be counted once more.
                    queued(topics, job, &delivery, generation, now),
                    verdict(topics, job, letter, Some(delivery.event_id), now),
                    outbox_record(record),
                ],
            }),
            Replay::Event { record, event } => match event.and_then(|_| in_the_way.next().flatten()) {
                Some(reason) => Err(reason),
                None => Ok(SettledLetter {
                    id: letter.id,
                    generation: None,
                    records: vec![verdict(topics, job, letter, None, now), outbox_record(record)],
                }),
            },
        });
        match settled {
            Ok(settled) => step.letters.push(settled),
            Err(reason) => *step.skipped.entry(reason).or_default() += 1,
        }
    }
    Ok(step)
}

/// The status by which the tracker moves the letter to its state.
fn verdict(
    topics: &Topics,
    job: &JobView,
    letter: &LetterRecord,
    event_id: Option<EventId>,
    now: Timestamp,
) -> OutboxRecord {
    let given = StatusRecord::Verdict(VerdictGiven {
        v: STATUS_VERSION,
        tenant: job.tenant.clone(),
        letter_id: letter.id,
        verdict: job.kind.verdict(),
        job_id: job.id,
        at: now,
        event_id,
    });
    status(topics, job.tenant.as_str(), &given)
}

/// The status of a delivery that is put back.
fn queued(
    topics: &Topics,
    job: &JobView,
    delivery: &Delivery,
    generation: u32,
    now: Timestamp,
) -> OutboxRecord {
    let detail = match job.edit {
        Some(_) => "a replay has put it back from the dead letters, with an edit of its data",
        None => "a replay has put it back from the dead letters",
    };
    let update = StatusRecord::Delivery(DeliveryUpdate {
        v: STATUS_VERSION,
        tenant: delivery.tenant.clone(),
        delivery_id: delivery.delivery_id,
        event_id: delivery.event_id.clone(),
        source: Arc::clone(&delivery.source),
        event_type: Arc::clone(&delivery.event_type),
        category: Arc::clone(&delivery.category),
        user_id: delivery.user_id.clone(),
        channel: delivery.channel,
        accepted_at: delivery.accepted_at,
        generation,
        attempt: 0,
        attempts: None,
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        next_attempt_at: None,
        steps: vec![TimelineStep {
            at: now,
            status: DeliveryStatus::Queued,
            code: None,
            detail: Some(detail.to_owned()),
        }],
    });
    status(topics, delivery.tenant.as_str(), &update)
}

fn status(topics: &Topics, tenant: &str, status: &StatusRecord) -> OutboxRecord {
    let record = OutRecord::new(topics.status(), status.record_key(), status.to_wire());
    outbox_record(record.with(headers::TENANT, tenant.to_owned()))
}

fn outbox_record(record: OutRecord) -> OutboxRecord {
    OutboxRecord {
        topic: record.topic,
        key: record.key.map(Into::into),
        headers: record.headers.encode(),
        value: record.value.into(),
    }
}
