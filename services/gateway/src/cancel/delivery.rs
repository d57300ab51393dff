//! Ending deliveries before they are sent: a claim in the send ledger, with the outcome `cancelled` (or, after an
//! acknowledgement of another delivery, `suppressed`), for the attempt that comes next. A
//! worker that reads the delivery, now or when its retry is due, finds the outcome and sends nothing.

use std::collections::HashSet;

use carillon_domain::{
    DeliveryId, DeliveryStatus, StatusRecord, TenantId,
    conclusion::{Conclusion, Consequence},
    status::{DeliveryUpdate, STATUS_VERSION, TimelineStep},
};
use carillon_store::{
    StoreError,
    api_keys::Principal,
    read_model::DeliveryView,
    send_ledger::{ClaimVerdict, SendKey, Taken},
};
use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::{CancelResult, DeliveryCancelled, not_yet, record};
use crate::{error::ApiError, ingest::in_time, state::GatewayState};

/// The most attempts, after the one that the read model shows, that are looked through.
const MOST: u32 = 64;

/// Cancels a delivery.
pub(crate) async fn delivery(
    state: &GatewayState,
    who: &Principal,
    id: DeliveryId,
    route: &str,
) -> Result<DeliveryCancelled, ApiError> {
    let found = in_time(state.store.read_model().delivery(&who.tenant, id)).await?;
    let view = found.ok_or_else(|| ApiError::missing("delivery", id.0))?;
    let ending = Ending::cancelled(state, who, route);
    let mut answers = deliveries(state, &ending, std::slice::from_ref(&view)).await?;
    answers.pop().ok_or_else(|| ApiError::missing("delivery", id.0))
}

/// The end that deliveries get if no worker has claimed them.
pub(crate) struct Ending<'a> {
    pub(crate) tenant: &'a TenantId,
    /// The outcome that the ledger gets.
    pub(crate) conclusion: Conclusion,
    /// The API key that cancels them, and the path, for the audit log; `None` if it is no cancellation.
    pub(crate) cancelled_by: Option<(&'a Principal, &'a str)>,
}

impl<'a> Ending<'a> {
    /// Deliveries that are cancelled.
    pub(super) fn cancelled(state: &GatewayState, who: &'a Principal, route: &'a str) -> Self {
        Self {
            tenant: &who.tenant,
            conclusion: Conclusion::cancelled(state.clock.now(), &who.name),
            cancelled_by: Some((who, route)),
        }
    }
}

/// A delivery whose end is not known yet.
struct Open {
    index: usize,
    attempt: u32,
}

/// Ends deliveries, which counts as cancelling them; returns one answer for each, in order.
pub(crate) async fn deliveries(
    state: &GatewayState,
    ending: &Ending<'_>,
    views: &[DeliveryView],
) -> Result<Vec<DeliveryCancelled>, ApiError> {
    let Ending {
        tenant,
        conclusion,
        cancelled_by,
    } = ending;
    let own = conclusion.status().unwrap_or(DeliveryStatus::Cancelled);
    let outcome = serde_json::value::to_raw_value(conclusion).map_err(|error| {
        tracing::error!(%error, "a cancellation cannot be serialised");
        ApiError::from(StoreError::Corrupt {
            what: "a cancellation",
        })
    })?;
    let ended = |view: &DeliveryView| DeliveryCancelled {
        result: CancelResult::AlreadyFinal,
        status: view.status,
    };
    let mut answers: Vec<DeliveryCancelled> = views.iter().map(ended).collect();
    let (mut statuses, mut won) = (Vec::new(), Vec::new());
    let mut open: Vec<Open> = views
        .iter()
        .enumerate()
        .filter(|(_, view)| !view.status.is_ended())
        .map(|(index, view)| Open {
            index,
            attempt: next_attempt(view),
        })
        .collect();
    while !open.is_empty() {
        let claims: Vec<(SendKey, Box<RawValue>)> = open
            .iter()
            .map(|one| (key(&views[one.index], one.attempt), outcome.clone()))
            .collect();
        let ledger = state.store.send_ledger();
        let verdicts = match cancelled_by {
            Some((who, route)) => in_time(ledger.cancel(who, route, &claims)).await?,
            None => in_time(ledger.end(&claims)).await?,
        };
        let mut again = Vec::new();
        for (one, verdict) in open.into_iter().zip(verdicts) {
            let view = &views[one.index];
            let said = |conclusion: &Conclusion| {
                update(
                    tenant,
                    view,
                    view.generation,
                    one.attempt,
                    conclusion.steps.clone(),
                )
            };
            match judge(verdict, own) {
                Judged::Ended(answer, Some(conclusion)) => {
                    statuses.push(said(&conclusion));
                    answers[one.index] = answer;
                }
                Judged::Ended(answer, None) => answers[one.index] = answer,
                Judged::Won => {
                    won.push((one.index, one.attempt));
                    statuses.push(said(conclusion));
                    answers[one.index] = DeliveryCancelled {
                        result: CancelResult::Cancelled,
                        status: own,
                    };
                }
                Judged::Another if one.attempt < view.attempt + MOST => again.push(Open {
                    attempt: one.attempt + 1,
                    ..one
                }),
                Judged::Another => {
                    answers[one.index] = DeliveryCancelled {
                        result: CancelResult::TooLate,
                        status: view.status,
                    };
                }
            }
        }
        open = again;
    }
    for index in maybe_sent(state, views, &won).await? {
        answers[index].result = CancelResult::TooLate;
    }
    publish(state, tenant, statuses).await?;
    Ok(answers)
}

/// Publishes the statuses of deliveries whose ends are stored.
pub(crate) async fn publish(
    state: &GatewayState,
    tenant: &TenantId,
    statuses: Vec<StatusRecord>,
) -> Result<(), ApiError> {
    if statuses.is_empty() {
        return Ok(());
    }
    let records = statuses.iter().map(|status| record(state, tenant, status));
    state.bus.publish(records.collect()).await.map_err(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the bus did not take the statuses of deliveries"
        );
        not_yet("the request is stored, and its status is not published yet: repeat the request")
    })?;
    Ok(())
}

/// Of cancelled deliveries (index and cancelled attempt), those with an earlier attempt that may have been sent.
async fn maybe_sent(
    state: &GatewayState,
    views: &[DeliveryView],
    cancelled: &[(usize, u32)],
) -> Result<Vec<usize>, ApiError> {
    let earlier: Vec<SendKey> = cancelled
        .iter()
        .flat_map(|(index, attempt)| (1..*attempt).map(|attempt| key(&views[*index], attempt)))
        .collect();
    let taken = in_time(state.store.send_ledger().taken(&earlier)).await?;
    let uncertain: HashSet<DeliveryId> = taken
        .into_iter()
        .filter(|(_, taken)| is_uncertain(taken.outcome.as_ref()))
        .map(|(key, _)| key.delivery_id)
        .collect();
    let indices = cancelled.iter().map(|(index, _)| *index);
    Ok(indices
        .filter(|index| uncertain.contains(&views[*index].id))
        .collect())
}

/// Whether an attempt with this outcome may have been sent. An attempt without an outcome, or with one that cannot be read,
/// may have been.
fn is_uncertain(outcome: Option<&serde_json::Value>) -> bool {
    let conclusion = outcome.and_then(|outcome| Conclusion::deserialize(outcome).ok());
    conclusion.is_none_or(|conclusion| {
        let mut steps = conclusion.steps.iter();
        steps.any(|step| step.status == DeliveryStatus::Uncertain)
    })
}

/// The attempt that a worker claims next, as far as the read model knows. An attempt that is being sent, or may have been,
/// is looked up in the ledger.
pub(crate) fn next_attempt(view: &DeliveryView) -> u32 {
    match view.status {
        DeliveryStatus::Sending | DeliveryStatus::Uncertain => view.attempt.max(1),
        _ => view.attempt + 1,
    }
}

/// An attempt of a delivery's present generation.
pub(crate) fn key(view: &DeliveryView, attempt: u32) -> SendKey {
    SendKey {
        accepted_at: view.created_at,
        delivery_id: view.id,
        generation: view.generation,
        attempt,
    }
}

/// The meaning of a verdict of the ledger.
enum Judged {
    /// The attempt is ended by this request.
    Won,
    /// The delivery has ended, or is being sent. With the conclusion of an earlier request of this kind, whose status may not
    /// have been published.
    Ended(DeliveryCancelled, Option<Box<Conclusion>>),
    /// The attempt has ended and another one follows.
    Another,
}

/// `own` is the status in which deliveries end by this request.
fn judge(verdict: ClaimVerdict, own: DeliveryStatus) -> Judged {
    let ended = |result, status| Judged::Ended(DeliveryCancelled { result, status }, None);
    let Taken { outcome, .. } = match verdict {
        ClaimVerdict::Claimed => return Judged::Won,
        ClaimVerdict::Taken(taken) => taken,
    };
    let Some(outcome) = outcome else {
        return ended(CancelResult::TooLate, DeliveryStatus::Sending);
    };
    let Ok(conclusion) = serde_json::from_value::<Conclusion>(outcome) else {
        return ended(CancelResult::TooLate, DeliveryStatus::Uncertain);
    };
    let status = match &conclusion.verdict {
        Consequence::Again { .. } => return Judged::Another,
        Consequence::Sent { .. } => DeliveryStatus::Sent,
        Consequence::Dead { .. } => DeliveryStatus::DeadLettered,
        Consequence::Over => conclusion.status().unwrap_or(DeliveryStatus::Failed),
    };
    let answer = DeliveryCancelled {
        result: CancelResult::AlreadyFinal,
        status,
    };
    Judged::Ended(answer, (status == own).then(|| Box::new(conclusion)))
}

/// The status record of an attempt. The worker that reads a delivery that was ended publishes the same one later.
pub(crate) fn update(
    tenant: &TenantId,
    view: &DeliveryView,
    generation: u32,
    attempt: u32,
    steps: Vec<TimelineStep>,
) -> StatusRecord {
    StatusRecord::Delivery(DeliveryUpdate {
        v: STATUS_VERSION,
        tenant: tenant.clone(),
        delivery_id: view.id,
        event_id: view.event_id.clone(),
        source: view.source.as_str().into(),
        event_type: view.event_type.as_str().into(),
        category: view.category.as_str().into(),
        user_id: view.user_id.clone(),
        channel: view.channel,
        accepted_at: view.created_at,
        generation,
        attempt,
        attempts: None,
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        next_attempt_at: None,
        steps,
    })
}

#[cfg(test)]
mod tests {
    use carillon_store::Lease;
    use serde_json::{Value, json};

    use super::*;

    fn taken(outcome: Option<Value>) -> ClaimVerdict {
        let now: carillon_domain::Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        ClaimVerdict::Taken(Taken {
            lease: Lease {
                owner: uuid::Uuid::nil(),
                until: now,
            },
            claimed_at: now,
            outcome,
        })
    }

    #[test]
    fn an_attempt_that_may_have_been_sent_is_uncertain() {
        let outcome = |status: &str| {
            json!({"verdict": {"kind": "again", "due": "2026-11-24T10:00:05Z", "counts": true},
                "steps": [{"at": "2026-11-24T10:00:00Z", "status": status}]})
        };
        assert!(is_uncertain(Some(&outcome("uncertain"))));
        assert!(is_uncertain(Some(&json!({"odd": true}))));
        assert!(is_uncertain(None));
        assert!(!is_uncertain(Some(&outcome("retrying"))));
    }

    #[test]
    fn the_answer_follows_the_entry_of_the_ledger() {
        use CancelResult::{AlreadyFinal, TooLate};
        use DeliveryStatus as S;
        let step = |status: &str| json!([{"at": "2026-11-24T10:00:00Z", "status": status}]);
        let cases = [
            (None, TooLate, S::Sending),
            (Some(json!({"odd": true})), TooLate, S::Uncertain),
            (
                Some(json!({"verdict": {"kind": "sent", "message_id": "m"}, "steps": step("sent")})),
                AlreadyFinal,
                S::Sent,
            ),
            (
                Some(
                    json!({"verdict": {"kind": "dead", "class": "terminal", "code": "c", "reason": "r"},
                    "steps": step("dead_lettered")}),
                ),
                AlreadyFinal,
                S::DeadLettered,
            ),
            (
                Some(json!({"verdict": {"kind": "over"}, "steps": step("expired")})),
                AlreadyFinal,
                S::Expired,
            ),
            (
                Some(json!({"verdict": {"kind": "over"}, "steps": step("cancelled")})),
                AlreadyFinal,
                S::Cancelled,
            ),
        ];
        for (outcome, result, status) in cases {
            let Judged::Ended(answer, repeated) = judge(taken(outcome.clone()), S::Cancelled) else {
                panic!("{outcome:?}")
            };
            assert_eq!((answer.result, answer.status), (result, status), "{outcome:?}");
            assert_eq!(repeated.is_some(), status == S::Cancelled);
        }
        let again =
            json!({"verdict": {"kind": "again", "due": "2026-11-24T10:00:05Z", "counts": true}, "steps": []});
        assert!(matches!(judge(taken(Some(again)), S::Cancelled), Judged::Another));
        assert!(matches!(judge(ClaimVerdict::Claimed, S::Cancelled), Judged::Won));
    }
}
