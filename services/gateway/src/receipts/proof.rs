//! Receipts as proof: a report that a message has gone out ends the attempts that wait to send it again. The next attempt is claimed in the
//! send ledger with its outcome, as a cancellation does: the first claim wins, so either the worker sends it or it is never sent.

use std::collections::BTreeMap;

use carillon_domain::{
    DeliveryStatus,
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
    fn outcome(&self, account: &str, at: carillon_domain::Timestamp) -> Result<Box<RawValue>, ApiError> {
        let detail = format!(
            "a receipt of the provider proves that the message of attempt {} has gone out, so attempt {} is not sent",
            self.proven.attempt, self.attempt
        );
        let step = TimelineStep {
            at,
            status: DeliveryStatus::Sent,
            code: Some(PROVEN.to_owned()),
            detail: Some(detail),
        };
        let conclusion = Conclusion::proven(self.attempt - 1, account, self.message_id.clone(), step);
        serde_json::value::to_raw_value(&conclusion).map_err(|error| {
            tracing::error!(%error, "the outcome of a proven attempt cannot be serialised");
            StoreError::Corrupt { what: "an outcome" }.into()
        })
    }
}

/// Ends the attempts that would send the messages of proven attempts again. An attempt that is under way cannot be stopped; the one after it
/// can.
pub(super) async fn stop_resends(
    state: &GatewayState,
    account: &ReceiptAccount,
    proofs: Proofs,
) -> Result<(), ApiError> {
    if proofs.0.is_empty() {
        return Ok(());
    }
    let ledger = state.store.send_ledger();
    let attempts: Vec<SendKey> = proofs.0.keys().copied().collect();
    let taken = in_time(ledger.taken(&attempts)).await?;
    let mut pending: Vec<Pending> = taken
        .into_iter()
        .filter(|(_, taken)| may_go_on(taken))
        .map(|(proven, _)| Pending {
            proven,
            message_id: proofs.0.get(&proven).cloned().flatten(),
            attempt: proven.attempt + 1,
        })
        .collect();
    let now = state.clock.now();
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
