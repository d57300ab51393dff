//! Converts status records to rows. Pure, so that a rebuild gives the same rows.

use std::sync::Arc;

use carillon_bus::Record;
use carillon_domain::{
    DeliveryState, DeliveryStatus, StatusRecord,
    decide::{Decision, Outcome},
    status::{DeliveryUpdate, EventDecided},
};
use carillon_runtime::Fair;
use carillon_store::read_model::{DeliveryRow, EventRow, HistoryRow, Projection, StoredOffset};

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
            Ok(StatusRecord::Delivery(update)) => add_update(&mut projection, &update),
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

fn add_event(projection: &mut Projection, decided: EventDecided) {
    for decision in &decided.decisions {
        if let Some(row) = queued(&decided, decision) {
            projection.history.push(HistoryRow {
                delivery_id: row.id,
                created_at: row.created_at,
                state: row.state,
                at: row.at,
                provider: None,
                code: row.reason.clone(),
                detail: Some(decision.sentence.clone()),
                due_at: None,
            });
            projection.deliveries.push(row);
        }
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
        event: decided.event,
        decisions: decided.decisions,
    });
}

/// The delivery of a decision to send, in the state `queued`.
fn queued(decided: &EventDecided, decision: &Decision) -> Option<DeliveryRow> {
    if decision.outcome != Outcome::Send {
        return None;
    }
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
            status: DeliveryStatus::Queued,
        },
        created_at: decided.accepted_at.unwrap_or(decided.at),
        at: decided.at,
        reason: Some(reason.to_owned()),
        error_code: None,
        to_masked: decision.to_masked.clone(),
        provider: None,
        provider_message_id: None,
        template: None,
    })
}

fn add_update(projection: &mut Projection, update: &DeliveryUpdate) {
    let first = update.steps.first().map(|step| step.at);
    let Some(created_at) = update.accepted_at.or(first) else {
        return;
    };
    for (index, step) in update.steps.iter().enumerate() {
        let is_last = index + 1 == update.steps.len();
        let state = DeliveryState {
            generation: update.generation,
            attempt: update.attempt,
            status: step.status,
        };
        projection.history.push(HistoryRow {
            delivery_id: update.delivery_id,
            created_at,
            state,
            at: step.at,
            provider: update.provider.clone(),
            code: step.code.clone(),
            detail: step.detail.clone(),
            due_at: update.next_attempt_at.filter(|_| is_last),
        });
        projection.deliveries.push(DeliveryRow {
            id: update.delivery_id,
            tenant: update.tenant.clone(),
            event_id: update.event_id.clone(),
            source: Arc::clone(&update.source),
            event_type: Arc::clone(&update.event_type),
            category: Arc::clone(&update.category),
            user_id: update.user_id.clone(),
            channel: update.channel,
            state,
            created_at,
            at: step.at,
            reason: step.detail.clone(),
            error_code: step.code.clone(),
            to_masked: update.to_masked.clone(),
            provider: update.provider.clone(),
            provider_message_id: update.provider_message_id.clone(),
            template: update.template.clone(),
        });
    }
}
