//! Converts status records to rows. Pure, so that a rebuild gives the same rows.

use std::sync::Arc;

use carillon_bus::Record;
use carillon_domain::{
    DeliveryId, DeliveryState, DeliveryStatus, StatusRecord,
    decide::{Decision, Outcome},
    status::{DeliveryUpdate, EventDecided, TimelineStep},
};
use carillon_runtime::Fair;
use carillon_store::read_model::{AttemptRow, DeliveryRow, EventRow, Projection, Queued, StoredOffset};

/// The rows of a batch.
pub(crate) async fn projection(
    consumer: &str,
    records: &[&Record],
    offsets: Vec<StoredOffset>,
) -> Projection {
    let mut projection = Projection {
        consumer: consumer.to_owned(),
        offsets,
        ..Projection::default()
    };
    let mut fair = Fair::default();
    for record in records {
        fair.step().await;
        match StatusRecord::parse(&record.value) {
            Ok(StatusRecord::EventDecided(decided)) => add_event(&mut projection, decided),
            Ok(StatusRecord::Delivery(update)) => add_update(&mut projection, update),
            Ok(StatusRecord::Receipt(receipt)) => projection.receipts.push(receipt),
            Ok(StatusRecord::Verdict(given)) => projection.verdicts.push(given),
            Err(error) => {
                // Only our own roles write to this topic; a record that cannot be read was written by another
                // program.
                metrics::counter!("carillon_tracker_unreadable_total").increment(1);
                tracing::error!(topic = %record.topic, partition = record.partition, offset = record.offset, %error,
                    "a status record cannot be read; it is left out of the read model");
            }
        }
    }
    projection
}

/// The deliveries that have reached their recipients or have failed for good, by which messages that follow them are decided.
pub(crate) fn for_fallbacks(projection: &Projection) -> Vec<DeliveryId> {
    let says = |status: DeliveryStatus| status.has_reached() || status.has_failed();
    let updates = projection.deliveries.iter();
    let updates = updates.filter(|row| says(row.state.status)).map(|row| row.id);
    let receipts = projection.receipts.iter();
    let receipts = receipts.filter(|receipt| says(receipt.step.status));
    updates
        .chain(receipts.map(|receipt| receipt.delivery_id))
        .collect()
}

fn add_event(projection: &mut Projection, decided: EventDecided) {
    for decision in &decided.decisions {
        projection.deliveries.extend(queued(&decided, decision));
        projection.attempts.extend(deferred(&decided, decision));
    }
    projection.events.push(EventRow {
        origin: decided.origin,
        part: decided.part,
        tenant: decided.tenant,
        event_id: decided.event_id,
        source: decided.source,
        event_type: decided.event_type,
        at: decided.at,
        verdict: decided.verdict,
        via_gateway: decided.via_gateway,
        parts: decided.parts,
        release: decided.release,
        due: decided.due,
        user_id: decided.user_id,
        event: decided.event,
        decisions: decided.decisions,
    });
}

/// The delivery of a decision to send, in the state `queued`, or of one to defer or for a digest, in the state `deferred`.
fn queued(decided: &EventDecided, decision: &Decision) -> Option<DeliveryRow> {
    let status = match decision.outcome {
        Outcome::Send => DeliveryStatus::Queued,
        Outcome::Defer | Outcome::Digest => DeliveryStatus::Deferred,
        Outcome::Suppress | Outcome::Drop | Outcome::Duplicate => return None,
    };
    let reason: &'static str = decision.reason.into();
    Some(DeliveryRow {
        id: decision.delivery_id?,
        tenant: decided.tenant.clone(),
        event_id: decided.event_id.clone(),
        source: Arc::clone(&decided.source),
        event_type: Arc::clone(&decided.event_type),
        category: Arc::clone(&decision.category),
        user_id: decision.user_id.clone(),
        channel: decision.channel,
        state: DeliveryState {
            generation: 0,
            attempt: 0,
            status,
        },
        created_at: decided.accepted_at,
        at: decided.at,
        reason: Some(reason.to_owned()),
        error_code: None,
        to_masked: decision.to_masked.clone(),
        provider: None,
        provider_message_id: None,
        template: None,
        queued: (status == DeliveryStatus::Queued).then(|| Queued {
            at: decided.at,
            reason,
            detail: decision.sentence.clone(),
        }),
    })
}

/// The step of a decision to defer a delivery, or for a digest.
fn deferred(decided: &EventDecided, decision: &Decision) -> Option<AttemptRow> {
    if !matches!(decision.outcome, Outcome::Defer | Outcome::Digest) {
        return None;
    }
    let reason: &'static str = decision.reason.into();
    Some(AttemptRow {
        delivery_id: decision.delivery_id?,
        created_at: decided.accepted_at,
        generation: 0,
        attempt: 0,
        counted: None,
        provider: None,
        due_at: None,
        steps: vec![TimelineStep {
            at: decided.at,
            status: DeliveryStatus::Deferred,
            code: Some(reason.to_owned()),
            detail: Some(decision.sentence.clone()),
        }],
        receipt_id: None,
    })
}

fn add_update(projection: &mut Projection, update: DeliveryUpdate) {
    projection.deliveries.extend(reached(&update));
    projection.attempts.push(AttemptRow {
        delivery_id: update.delivery_id,
        created_at: update.accepted_at,
        generation: update.generation,
        attempt: update.attempt,
        counted: update.attempts,
        provider: update.provider,
        due_at: update.next_attempt_at,
        steps: update.steps,
        receipt_id: None,
    });
}

/// Code and detail of a step, empty if absent.
fn words(step: &TimelineStep) -> (&str, &str) {
    (
        step.code.as_deref().unwrap_or_default(),
        step.detail.as_deref().unwrap_or_default(),
    )
}

/// The delivery in the greatest of the states that the steps reach: that is its state after all of them.
fn reached(update: &DeliveryUpdate) -> Option<DeliveryRow> {
    let state = |step: &TimelineStep| DeliveryState {
        generation: update.generation,
        attempt: update.attempt,
        status: step.status,
    };
    let step = update.steps.iter().max_by(|a, b| {
        let by_state = (state(a).precedence(), a.at).cmp(&(state(b).precedence(), b.at));
        by_state.then_with(|| words(a).cmp(&words(b)))
    })?;
    Some(DeliveryRow {
        id: update.delivery_id,
        tenant: update.tenant.clone(),
        event_id: update.event_id.clone(),
        source: Arc::clone(&update.source),
        event_type: Arc::clone(&update.event_type),
        category: Arc::clone(&update.category),
        user_id: update.user_id.clone(),
        channel: update.channel,
        state: state(step),
        created_at: update.accepted_at,
        at: step.at,
        reason: step.detail.clone(),
        error_code: step.code.clone(),
        to_masked: update.to_masked.clone(),
        provider: update.provider.clone(),
        provider_message_id: update.provider_message_id.clone(),
        template: update.template.clone(),
        queued: None,
    })
}
