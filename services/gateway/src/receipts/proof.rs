//! Receipts as proof: a report that a message has gone out ends the attempts that would send it again. An attempt that is under way gets the
//! proof as its outcome: its worker, or the one that takes it over, finds it and sends no other. Of an attempt that has ended, the next one
//! is claimed in the send ledger with its outcome, as a cancellation does: the first claim wins, so either the worker sends it or it is never
//! sent.

use std::collections::BTreeMap;

use carillon_domain::{
    DeliveryStatus, Timestamp,
    conclusion::{Conclusion, Consequence},
    status::TimelineStep,
};
use carillon_store::{
    StoreError,
    send_ledger::{ClaimVerdict, SendKey, Taken},
};
use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::ReceiptAccount;
use crate::{error::ApiError, ingest::in_time, state::GatewayState};

/// The most attempts after the reported one that are looked through.
const MOST: u32 = 64;
/// The code of the step about an attempt that turned out to be accepted.
const PROVEN: &str = "proven-by-receipt";

/// Attempts that receipts have shown to be accepted, with the provider's ids of the messages.
#[derive(Default)]
pub(super) struct Proofs(BTreeMap<SendKey, Option<String>>);

impl Proofs {
    /// Notes the receipt of an attempt. A provider that reports a failure of its own has not sent the message.
    pub(super) fn note(&mut self, attempt: SendKey, status: DeliveryStatus, message_id: Option<&String>) {
        let has_gone_out = matches!(
            status,
            DeliveryStatus::Sent
                | DeliveryStatus::Delivered
                | DeliveryStatus::Bounced
                | DeliveryStatus::Opened
                | DeliveryStatus::Clicked
                | DeliveryStatus::Complained
        );
        if has_gone_out {
            self.0.entry(attempt).or_insert_with(|| message_id.cloned());
        }
    }
}

/// An attempt that may follow a proven one.
struct Pending {
    proven: SendKey,
    message_id: Option<String>,
    attempt: u32,
}

impl Pending {
    fn key(&self) -> SendKey {
        SendKey {
            attempt: self.attempt,
            ..self.proven
        }
    }

    /// The outcome of the attempt: it is not sent. Its step belongs to the attempt before it, whose state is the delivery's.
    fn outcome(&self, account: &str, at: Timestamp) -> Result<Box<RawValue>, ApiError> {
        let detail =
            "a receipt of the provider proves that the message has gone out, so it is not sent again";
        let step = TimelineStep {
            at,
            status: DeliveryStatus::Sent,
            code: Some(PROVEN.to_owned()),
            detail: Some(detail.to_owned()),
        };
        let conclusion = Conclusion::proven(self.attempt - 1, account, self.message_id.clone(), step);
        raw(&conclusion)
    }
}

fn raw(conclusion: &Conclusion) -> Result<Box<RawValue>, ApiError> {
    serde_json::value::to_raw_value(conclusion).map_err(|error| {
        tracing::error!(%error, "the outcome of a proven attempt cannot be serialised");
        StoreError::Corrupt { what: "an outcome" }.into()
    })
}

/// The outcome of an attempt whose receipt comes before its worker has recorded the provider's answer.
fn sent(account: &str, message_id: Option<String>, at: Timestamp) -> Result<Box<RawValue>, ApiError> {
    let detail =
        "a receipt of the provider proves that the message has gone out; its answer was not recorded by then";
    raw(&Conclusion {
        verdict: Consequence::Sent { message_id },
        steps: vec![TimelineStep {
            at,
            status: DeliveryStatus::Sent,
            code: Some(PROVEN.to_owned()),
            detail: Some(detail.to_owned()),
        }],
        provider: Some(account.to_owned()),
        ..Conclusion::default()
    })
}

/// The claims of proven attempts after which another one may follow. Those under way have the proof as their outcome now.
async fn unproven(
    state: &GatewayState,
    account: &ReceiptAccount,
    proofs: &Proofs,
    now: Timestamp,
) -> Result<Vec<SendKey>, ApiError> {
    let ledger = state.store.send_ledger();
    let attempts: Vec<SendKey> = proofs.0.keys().copied().collect();
    let mut taken = in_time(ledger.taken(&attempts)).await?;
    let under_way = |(key, taken): &(SendKey, Taken)| taken.outcome.is_none().then_some(*key);
    let open: Vec<SendKey> = taken.iter().filter_map(under_way).collect();
    if !open.is_empty() {
        let outcomes = open
            .iter()
            .map(|key| {
                let message_id = proofs.0.get(key).cloned().flatten();
                Ok((*key, sent(&account.name, message_id, now)?))
            })
            .collect::<Result<Vec<_>, ApiError>>()?;
        let proven = in_time(ledger.prove(&outcomes)).await?;
        // The others have ended meanwhile.
        let ended: Vec<SendKey> = open.into_iter().filter(|key| !proven.contains(key)).collect();
        taken.retain(|(_, taken)| taken.outcome.is_some());
        taken.extend(in_time(ledger.taken(&ended)).await?);
    }
    let may_be_followed = taken.into_iter().filter(|(_, taken)| may_go_on(taken));
    Ok(may_be_followed.map(|(key, _)| key).collect())
}

/// Ends the attempts that would send the messages of proven attempts again. An attempt that sends such a message again already cannot be
/// stopped; the one after it can.
pub(super) async fn stop_resends(
    state: &GatewayState,
    account: &ReceiptAccount,
    proofs: Proofs,
) -> Result<(), ApiError> {
    if proofs.0.is_empty() {
        return Ok(());
    }
    let ledger = state.store.send_ledger();
    let now = state.clock.now();
    let mut pending: Vec<Pending> = unproven(state, account, &proofs, now)
        .await?
        .into_iter()
        .map(|proven| Pending {
            proven,
            message_id: proofs.0.get(&proven).cloned().flatten(),
            attempt: proven.attempt + 1,
        })
        .collect();
    while !pending.is_empty() {
        let outcomes = pending
            .iter()
            .map(|one| Ok((one.key(), one.outcome(&account.name, now)?)))
            .collect::<Result<Vec<_>, ApiError>>()?;
        let verdicts = in_time(ledger.end(&outcomes)).await?;
        let mut further = Vec::new();
        for (one, verdict) in pending.into_iter().zip(verdicts) {
            match verdict {
                ClaimVerdict::Claimed => {
                    metrics::counter!("carillon_resends_stopped_total", "account" => account.name.to_string())
                        .increment(1);
                }
                ClaimVerdict::Taken(taken)
                    if may_go_on(&taken) && one.attempt < one.proven.attempt + MOST =>
                {
                    further.push(Pending {
                        attempt: one.attempt + 1,
                        ..one
                    });
                }
                ClaimVerdict::Taken(_) => {}
            }
        }
        pending = further;
    }
    Ok(())
}

/// Whether another attempt may follow this one: it is under way, its outcome cannot be read, or its outcome is another attempt.
fn may_go_on(taken: &Taken) -> bool {
    let outcome = taken.outcome.as_ref();
    let conclusion = outcome.and_then(|outcome| Conclusion::deserialize(outcome).ok());
    conclusion.is_none_or(|conclusion| matches!(conclusion.verdict, Consequence::Again { .. }))
}
