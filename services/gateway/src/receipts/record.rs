//! Receipts become records of the status topic and entries of the suppression list.

use std::{sync::Arc, time::Duration};

use carillon_bus::{OutRecord, headers};
use carillon_domain::{
    StatusRecord, Timestamp, contact,
    receipt::DeliveryReceipt,
    status::{STATUS_VERSION, TimelineStep},
};
use carillon_providers::{Receipt, ReceiptStep, Reference, SuppressedAddress};
use carillon_runtime::http::{Problem, ProblemKind};
use carillon_store::{
    send_ledger::SendKey,
    suppressions::{OptIn, Strike},
};

use super::{
    ReceiptAccount,
    proof::{Proofs, stop_resends},
};
use crate::{error::ApiError, ingest::in_time, state::GatewayState};

/// `Retry-After` when the bus did not take the records.
const SOON: Duration = Duration::from_secs(2);

/// Records receipts, durably on success. Attempts that would send a reported message again are stopped before. After an error some may be recorded, and the provider repeats the call. The
/// repeat is harmless: an address is suppressed once, and readers count records of the same receipt once.
pub(crate) async fn record(
    state: &GatewayState,
    account: &ReceiptAccount,
    receipts: Vec<Receipt>,
) -> Result<(), ApiError> {
    let now = state.clock.now();
    let (mut records, mut strikes, mut results) = (Vec::new(), Vec::new(), Vec::new());
    let mut proofs = Proofs::default();
    for receipt in receipts {
        if let Some(address) = receipt.opted_in {
            results.push(opt_in(state, account, address).await?);
            continue;
        }
        let opened = receipt
            .reference
            .as_deref()
            .map(|text| state.0.reference_key.open(text, now));
        let reference = match opened {
            Some(Ok(reference)) => reference,
            // The call is genuine, so the provider is not told to repeat it: the receipt belongs to a message that another
            // installation sent through the account, or to a delivery that is deleted by now.
            Some(Err(bad)) => {
                results.push(bad.name());
                continue;
            }
            None => {
                results.push("without-reference");
                continue;
            }
        };
        results.push(match &receipt.step {
            Some(step) => step.status.as_str(),
            None if receipt.suppressed.is_some() => "suppressed",
            None => "ignored",
        });
        if let Some(suppressed) = &receipt.suppressed {
            strikes.push(strike(state, account, &reference, suppressed).await?);
        }
        if let Some(step) = receipt.step.clone() {
            proofs.note(attempt_of(&reference), step.status, receipt.message_id.as_ref());
            records.push(status(state, account, reference, &receipt, step, now));
        }
    }
    if !strikes.is_empty() {
        let suppressions = state.store.suppressions();
        in_time(suppressions.strike(&strikes)).await?;
    }
    stop_resends(state, account, proofs).await?;
    if !records.is_empty() {
        state.bus.publish(records).await.map_err(|error| {
            tracing::warn!(account = %account.name, error = &error as &dyn std::error::Error, "the bus did not take receipts");
            let text = "the bus did not take the receipts in time; repeat the call";
            ApiError::from(Problem::new(ProblemKind::Unavailable, text).with_retry_after(SOON))
        })?;
    }
    for result in results {
        metrics::counter!("carillon_receipts_total", "account" => account.name.to_string(), "result" => result).increment(1);
    }
    Ok(())
}

/// Ends the opt-outs of an address that the account has reported. Returns the result's name in metrics.
async fn opt_in(
    state: &GatewayState,
    account: &ReceiptAccount,
    address: String,
) -> Result<&'static str, ApiError> {
    let opt_in = OptIn {
        channel: account.channel,
        address,
        provider: Arc::clone(&account.name),
    };
    let suppressions = state.store.suppressions();
    let tenants = in_time(suppressions.opt_in(&opt_in)).await?;
    Ok(if tenants.is_empty() {
        "opted-in-before"
    } else {
        "opted-in"
    })
}

/// The record of a receipt. Its key is that of the delivery's other records, so it follows them in their partition.
fn status(
    state: &GatewayState,
    account: &ReceiptAccount,
    reference: Reference,
    receipt: &Receipt,
    step: ReceiptStep,
    now: Timestamp,
) -> OutRecord {
    // A provider's clock may differ from ours: no step lies before its event or in the future.
    let at = receipt.at.unwrap_or(now).min(now).max(reference.accepted_at);
    let tenant = reference.tenant.to_string();
    let record = StatusRecord::Receipt(DeliveryReceipt {
        v: STATUS_VERSION,
        tenant: reference.tenant,
        delivery_id: reference.delivery_id,
        event_id: reference.event_id,
        accepted_at: reference.accepted_at,
        generation: reference.generation,
        attempt: reference.attempt,
        provider: Arc::clone(&account.name),
        provider_message_id: receipt.message_id.clone(),
        receipt_id: receipt.id.clone(),
        step: TimelineStep {
            at,
            status: step.status,
            code: step.code,
            detail: step.detail,
        },
    });
    let topic = state.bus.topics().status();
    OutRecord::new(topic, record.record_key(), record.to_wire()).with(headers::TENANT, tenant)
}

/// The attempt that a reference names.
fn attempt_of(reference: &Reference) -> SendKey {
    SendKey {
        accepted_at: reference.accepted_at,
        delivery_id: reference.delivery_id,
        generation: reference.generation,
        attempt: reference.attempt,
    }
}

/// The entry of an address that takes no messages any more. It counts from the time at which the message was sent: an address
/// that was registered or lifted since then is not affected.
async fn strike(
    state: &GatewayState,
    account: &ReceiptAccount,
    reference: &Reference,
    suppressed: &SuppressedAddress,
) -> Result<Strike, ApiError> {
    let ledger = state.store.send_ledger();
    let claimed_at = in_time(ledger.claimed_at(attempt_of(reference)));
    Ok(Strike {
        tenant: reference.tenant.clone(),
        channel: account.channel,
        address_hash: state
            .store
            .address_key()
            .hash(account.channel, &suppressed.address),
        masked: contact::mask(account.channel, &suppressed.address),
        reason: suppressed.reason,
        code: suppressed.code.clone(),
        provider: Arc::clone(&account.name),
        delivery_id: reference.delivery_id,
        seen_at: claimed_at.await?.unwrap_or(reference.accepted_at),
    })
}
