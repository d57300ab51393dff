//! Claim → publish → mark. A crash between any two neither loses nor doubles an event: an event that was claimed and
//! not marked may be claimed again after its lease, and the router routes only the first record of an event.

use std::{collections::HashMap, sync::Arc};

use carillon_bus::{BusError, OutRecord, headers};
use carillon_domain::{EventId, TenantId, clock::later};
use carillon_runtime::http::{Problem, ProblemKind};
use carillon_store::{
    Lease,
    events::{EventKey, IngestClaim, IngestVerdict},
};

use super::{Checked, patience::in_time};
use crate::{error::ApiError, state::GatewayState};

/// An event that is on the bus.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) event_id: EventId,
    pub(crate) source: Arc<str>,
    pub(crate) duplicate: bool,
}

/// Publishes events with one claim, one publish and one mark for all; returns one result for each, in order.
pub(crate) async fn publish(
    state: &GatewayState,
    tenant: &TenantId,
    mut events: Vec<Checked>,
) -> Result<Vec<Result<Accepted, Problem>>, ApiError> {
    let verdicts = claim(state, tenant, &events).await?;
    let mut records = Vec::new();
    let mut claimed = Vec::new();
    for (checked, verdict) in events.iter_mut().zip(&verdicts) {
        if *verdict == IngestVerdict::Claimed {
            records.push(record(state, tenant, checked));
            claimed.push(key(tenant, checked));
        }
    }
    if !records.is_empty() {
        match state.bus.publish(records).await {
            Ok(_) => {}
            Err(error @ BusError::TooLarge { .. }) => {
                state.store.events().abandon(state.0.owner, &claimed).await?;
                return Err(error.into());
            }
            // Some events may be on the bus. Their claims stay until the lease has ended; after that a repeat is
            // possible.
            Err(error) => {
                let ApiError(problem) = error.into();
                return Err(problem.with_retry_after(state.config.claim_lease).into());
            }
        }
        state.store.events().note_published(claimed).await;
    }
    for alike in verdicts.chunk_by(|one, next| one == next) {
        metrics::counter!("carillon_events_total", "status" => status(alike[0]))
            .increment(alike.len() as u64);
    }
    Ok(events
        .into_iter()
        .zip(verdicts)
        .map(|(checked, verdict)| {
            let accepted = |duplicate| Accepted {
                event_id: checked.event.id.clone(),
                source: Arc::clone(&checked.event.source),
                duplicate,
            };
            match verdict {
                IngestVerdict::Claimed => Ok(accepted(false)),
                IngestVerdict::Duplicate => Ok(accepted(true)),
                IngestVerdict::Conflict => {
                    let text = "an event of this id and source was accepted with other content";
                    Err(Problem::new(ProblemKind::IdempotencyConflict, text))
                }
                IngestVerdict::InProgress => {
                    let text = "the same event is being accepted by another request";
                    let problem = Problem::new(ProblemKind::InProgress, text);
                    Err(problem.with_retry_after(state.config.claim_lease))
                }
            }
        })
        .collect())
}

/// The label of an event in `carillon_events_total`.
fn status(verdict: IngestVerdict) -> &'static str {
    match verdict {
        IngestVerdict::Claimed => "accepted",
        IngestVerdict::Duplicate => "duplicate",
        IngestVerdict::Conflict => "conflict",
        IngestVerdict::InProgress => "in_progress",
    }
}

fn key(tenant: &TenantId, checked: &Checked) -> EventKey {
    EventKey {
        tenant: tenant.clone(),
        event_id: checked.event.id.clone(),
        source: Arc::clone(&checked.event.source),
    }
}

/// Claims all events. If a batch has two events of the same identity, the second is compared with the first.
async fn claim(
    state: &GatewayState,
    tenant: &TenantId,
    events: &[Checked],
) -> Result<Vec<IngestVerdict>, ApiError> {
    let lease = Lease {
        owner: state.0.owner,
        until: later(state.clock.now(), state.config.claim_lease),
    };
    let mut first: HashMap<(&EventId, &str), ([u8; 32], usize)> = HashMap::new();
    let mut slots = Vec::with_capacity(events.len());
    let mut claims = Vec::with_capacity(events.len());
    for checked in events {
        let fingerprint = checked.fingerprint;
        match first.get(&(&checked.event.id, &*checked.event.source)) {
            Some((other, claim)) if *other == fingerprint => slots.push(ClaimSlot::RepeatOf(*claim)),
            Some(_) => slots.push(ClaimSlot::ConflictsWithAnother),
            None => {
                let name = (&checked.event.id, &*checked.event.source);
                first.insert(name, (fingerprint, claims.len()));
                slots.push(ClaimSlot::Claim(claims.len()));
                claims.push(IngestClaim {
                    key: key(tenant, checked),
                    event_type: Arc::clone(&checked.type_name),
                    fingerprint,
                    lease,
                });
            }
        }
    }
    let store = state.store.events();
    let verdicts = in_time(store.claim_ingest(claims)).await?;
    let of = |claim: usize| verdicts.get(claim).copied().unwrap_or(IngestVerdict::InProgress);
    Ok(slots
        .into_iter()
        .map(|slot| match slot {
            ClaimSlot::Claim(claim) => of(claim),
            ClaimSlot::RepeatOf(claim) => match of(claim) {
                IngestVerdict::Claimed => IngestVerdict::Duplicate,
                verdict => verdict,
            },
            ClaimSlot::ConflictsWithAnother => IngestVerdict::Conflict,
        })
        .collect())
}

/// The relation of an event to the earlier ones of its batch.
enum ClaimSlot {
    /// The first event of its identity, with this claim.
    Claim(usize),
    /// The same content as the event with this claim.
    RepeatOf(usize),
    /// Other content under the same identity.
    ConflictsWithAnother,
}

fn record(state: &GatewayState, tenant: &TenantId, checked: &mut Checked) -> OutRecord {
    let wire = std::mem::take(&mut checked.wire);
    let topic = state.bus.topics().events(checked.lane);
    OutRecord::new(topic, checked.event.record_key(tenant), wire)
        .with(headers::TENANT, tenant.to_string())
        .with(headers::CONTENT_TYPE, "application/cloudevents+json")
        .with(headers::VIA, "gateway")
}
