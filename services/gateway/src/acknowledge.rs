//! Acknowledging deliveries: the app says that the recipient has seen the message. Messages that follow it in a fallback order
//! are stopped, as a cancellation stops them: the first claim wins, so the answer is true.

use carillon_domain::{
    DeliveryId, DeliveryStatus,
    conclusion::{Conclusion, Consequence},
    status::TimelineStep,
};
use carillon_store::{
    api_keys::Principal,
    fallbacks::{Acknowledgement, Acknowledging},
    read_model::DeliveryView,
    send_ledger::Taken,
};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::{
    cancel::{self, CancelResult, Ending, key, next_attempt, publish, update},
    error::ApiError,
    ingest::in_time,
    openapi::schemas,
    state::GatewayState,
};

/// The code of an acknowledgement in the timeline.
const ACKNOWLEDGED: &str = "acknowledged";

/// The effect of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum AcknowledgeResult {
    /// It is noted.
    Acknowledged,
    /// It had been noted before; nothing is noted twice.
    AlreadyAcknowledged,
    /// No message went out, so nothing is noted. The delivery's status says why.
    NotSent,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeliveryAcknowledged {
    pub(crate) result: AcknowledgeResult,
    /// The delivery's status afterwards.
    #[schema(value_type = schemas::StatusName)]
    pub(crate) status: DeliveryStatus,
    /// The deliveries that follow this one in a fallback order.
    pub(crate) fallbacks: FallbackCounts,
}

/// Numbers of following deliveries by the effect of the acknowledgement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FallbackCounts {
    /// They were waiting and are not sent.
    pub(crate) stopped: u64,
    /// A worker is sending them at this moment, or they may have been sent.
    pub(crate) too_late: u64,
    /// They had ended before.
    pub(crate) already_final: u64,
}

impl FallbackCounts {
    fn add(&mut self, result: CancelResult) {
        match result {
            CancelResult::Cancelled => self.stopped += 1,
            CancelResult::TooLate => self.too_late += 1,
            CancelResult::AlreadyFinal => self.already_final += 1,
        }
    }
}

/// Acknowledges a delivery. A repeat keeps the first acknowledgement, and completes the work if the first request did
/// not.
pub(crate) async fn acknowledge(
    state: &GatewayState,
    who: &Principal,
    id: DeliveryId,
    route: &str,
) -> Result<DeliveryAcknowledged, ApiError> {
    let found = in_time(state.store.read_model().delivery(&who.tenant, id)).await?;
    let view = found.ok_or_else(|| ApiError::missing("delivery", id.0))?;
    if !may_have_arrived(state, &view).await? {
        return Ok(DeliveryAcknowledged {
            result: AcknowledgeResult::NotSent,
            status: view.status,
            fallbacks: FallbackCounts::default(),
        });
    }
    let said = Acknowledging {
        delivery_id: view.id,
        channel: view.channel,
        generation: view.generation,
        attempt: view.attempt.max(1),
        who,
        route,
    };
    let acknowledgement = in_time(state.store.fallbacks().acknowledge(said)).await?;
    let fallbacks = stop_followers(state, who, &view).await?;
    let steps = vec![step(&acknowledgement)];
    let (generation, attempt) = (acknowledgement.generation, acknowledgement.attempt);
    let status = update(&who.tenant, &view, generation, attempt, steps);
    publish(state, &who.tenant, vec![status]).await?;
    let acknowledged = DeliveryStatus::Acknowledged;
    Ok(DeliveryAcknowledged {
        result: if acknowledgement.is_new {
            AcknowledgeResult::Acknowledged
        } else {
            AcknowledgeResult::AlreadyAcknowledged
        },
        // A status of greater rank, from a receipt, says more than an acknowledgement.
        status: if view.status.rank() > acknowledged.rank() {
            view.status
        } else {
            acknowledged
        },
        fallbacks,
    })
}

/// Whether a message of the delivery may have gone out. The ledger knows of attempts that the read model does not show yet.
async fn may_have_arrived(state: &GatewayState, view: &DeliveryView) -> Result<bool, ApiError> {
    use DeliveryStatus as S;
    match view.status {
        S::Accepted | S::Deferred | S::Queued => {
            let attempt = key(view, next_attempt(view));
            let taken = in_time(state.store.send_ledger().taken(&[attempt])).await?;
            Ok(taken.iter().any(|(_, taken)| may_have_been_sent(taken)))
        }
        S::Failed | S::Expired | S::Suppressed | S::Digested => Ok(false),
        // An earlier attempt may have been sent.
        S::Cancelled => Ok(view.attempt > 1),
        _ => Ok(true),
    }
}

/// Whether an attempt that was claimed may have been sent.
fn may_have_been_sent(taken: &Taken) -> bool {
    let outcome = taken.outcome.as_ref();
    let conclusion = outcome.and_then(|outcome| Conclusion::deserialize(outcome).ok());
    conclusion.is_none_or(|conclusion| conclusion.verdict != Consequence::Over)
}

/// Stops the deliveries that follow this one and that no worker has claimed. If the decision of such a delivery is not
/// in the read model yet, the router stops it, because it finds the acknowledgement.
async fn stop_followers(
    state: &GatewayState,
    who: &Principal,
    view: &DeliveryView,
) -> Result<FallbackCounts, ApiError> {
    let model = state.store.read_model();
    let events = in_time(model.event(&who.tenant, &view.event_id, Some(&view.source))).await?;
    let decisions = events.iter().flat_map(|event| &event.decisions);
    let follow = decisions.filter(|decision| decision.after.contains(&view.id));
    let mut ids: Vec<DeliveryId> = follow.filter_map(|decision| decision.delivery_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut counts = FallbackCounts::default();
    if ids.is_empty() {
        return Ok(counts);
    }
    let followers = in_time(model.by_ids(&who.tenant, ids.into_iter())).await?;
    let ending = Ending {
        tenant: &who.tenant,
        conclusion: Conclusion::not_needed(state.clock.now(), view.channel),
        cancelled_by: None,
    };
    for answer in cancel::deliveries(state, &ending, &followers).await? {
        counts.add(answer.result);
    }
    Ok(counts)
}

fn step(acknowledgement: &Acknowledgement) -> TimelineStep {
    TimelineStep {
        at: acknowledgement.at,
        status: DeliveryStatus::Acknowledged,
        code: Some(ACKNOWLEDGED.to_owned()),
        detail: Some(format!(
            "the API key {} says that the recipient has seen it",
            acknowledgement.key_name
        )),
    }
}

#[cfg(test)]
mod tests {
    use carillon_domain::Timestamp;
    use carillon_store::Lease;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attempt_may_have_been_sent_unless_it_ended_without_a_message() {
        let at: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let taken = |outcome| Taken {
            lease: Lease {
                owner: uuid::Uuid::nil(),
                until: at,
            },
            claimed_at: at,
            outcome,
        };
        let over = json!({"verdict": {"kind": "over"}, "steps": []});
        let sent = json!({"verdict": {"kind": "sent", "message_id": "m"}, "steps": []});
        assert!(!may_have_been_sent(&taken(Some(over))));
        for outcome in [Some(sent), Some(json!({"odd": true})), None] {
            assert!(may_have_been_sent(&taken(outcome)));
        }
    }
}
