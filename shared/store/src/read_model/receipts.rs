//! Receipts of providers. Each becomes a row of `attempts`, and may change the state of its delivery. A receipt
//! contains the delivery's id only. The delivery's decision, which precedes all receipts in their partition, has
//! written the other columns of the delivery's row.

use std::{collections::HashSet, sync::Arc};

use carillon_domain::{
    Channel, DeliveryState, EventId, TenantId, Timestamp, UserId, receipt::DeliveryReceipt,
};

use super::{
    AttemptRow, DeliveryRow,
    attempts::{self, receipt_digest},
    deliveries,
};
use crate::{
    columns::int,
    counters::Changes,
    db::{Input, Tx},
    error::StoreError,
};

/// A receipt with its delivery's row, and whether the read model contains the delivery and the receipt.
#[derive(sqlx::FromRow)]
struct Found {
    place: i32,
    tenant: String,
    event_id: String,
    source: String,
    event_type: String,
    category: String,
    user_id: Option<String>,
    channel: String,
    created_at: Timestamp,
    known: bool,
}

/// Looks up receipts. A step is never earlier than its event, so PostgreSQL need not read the partitions of earlier
/// days.
const LOOK_UP: &str = "SELECT i.place, d.tenant, d.event_id, d.source, d.event_type, d.category, d.user_id, d.channel, d.created_at,
        EXISTS (SELECT 1 FROM attempts AS a
            WHERE a.created_at = i.created_at AND a.delivery_id = i.delivery_id AND a.generation = i.generation
                AND a.attempt = i.attempt AND a.at >= i.created_at AND a.digest = i.digest) AS known
    FROM input AS i JOIN deliveries AS d ON d.id = i.delivery_id AND d.tenant = i.tenant AND d.created_at = i.created_at";

/// Applies receipts. A repeated receipt changes nothing. A receipt whose delivery was deleted meanwhile changes nothing
/// either, and is counted.
pub(super) async fn apply(
    tx: &mut Tx,
    receipts: &[DeliveryReceipt],
    changes: &mut Changes,
) -> Result<(), StoreError> {
    if receipts.is_empty() {
        return Ok(());
    }
    let mut seen = HashSet::new();
    let receipts: Vec<(i64, &DeliveryReceipt)> = receipts
        .iter()
        .map(|receipt| {
            (
                receipt_digest(&receipt.receipt_id, Some(&receipt.provider)),
                receipt,
            )
        })
        .filter(|(digest, receipt)| {
            seen.insert((receipt.delivery_id, receipt.generation, receipt.attempt, *digest))
        })
        .collect();
    let each = || receipts.iter().map(|(_, receipt)| *receipt);
    let found: Vec<Found> = Input::new(receipts.len())
        .int("place", (0..).take(receipts.len()))
        .text("tenant", each().map(|receipt| receipt.tenant.as_str()))
        .uuid("delivery_id", each().map(|receipt| receipt.delivery_id.0))
        .time("created_at", each().map(|receipt| receipt.accepted_at))
        .int("generation", each().map(|receipt| int(receipt.generation)))
        .int("attempt", each().map(|receipt| int(receipt.attempt)))
        .big("digest", receipts.iter().map(|(digest, _)| *digest))
        .fetch(tx.conn(), LOOK_UP)
        .await?;
    let lost = receipts.len().saturating_sub(found.len());
    if lost > 0 {
        metrics::counter!("carillon_tracker_receipts_without_delivery_total").increment(lost as u64);
    }
    let new = found.into_iter().filter(|found| !found.known);
    let (mut rows, mut steps) = (Vec::new(), Vec::new());
    for found in new {
        let place = usize::try_from(found.place)
            .ok()
            .and_then(|place| receipts.get(place));
        let Some((_, receipt)) = place else { continue };
        rows.push(found.row(receipt)?);
        steps.push(AttemptRow {
            delivery_id: receipt.delivery_id,
            created_at: receipt.accepted_at,
            generation: receipt.generation,
            attempt: receipt.attempt,
            counted: None,
            provider: Some(Arc::clone(&receipt.provider)),
            due_at: None,
            steps: vec![receipt.step.clone()],
            receipt_id: Some(receipt.receipt_id.clone()),
        });
    }
    deliveries::apply(tx, &rows, changes).await?;
    attempts::insert(tx, &steps).await
}

impl Found {
    /// The row of the delivery, in the state that the receipt reports.
    fn row(self, receipt: &DeliveryReceipt) -> Result<DeliveryRow, StoreError> {
        let corrupt = StoreError::Corrupt {
            what: "a delivery's channel",
        };
        Ok(DeliveryRow {
            id: receipt.delivery_id,
            tenant: TenantId::from(self.tenant),
            event_id: EventId::from(self.event_id),
            source: self.source.into(),
            event_type: self.event_type.into(),
            category: self.category.into(),
            user_id: self.user_id.map(UserId::from),
            channel: self.channel.parse::<Channel>().map_err(|_| corrupt)?,
            state: DeliveryState {
                generation: receipt.generation,
                attempt: receipt.attempt,
                status: receipt.step.status,
            },
            created_at: self.created_at,
            at: receipt.step.at,
            reason: receipt.step.detail.clone(),
            error_code: receipt.step.code.clone(),
            to_masked: None,
            provider: Some(Arc::clone(&receipt.provider)),
            provider_message_id: receipt.provider_message_id.clone(),
            template: None,
            queued: None,
        })
    }
}
