//! Deliveries by their providers' ids of messages (table `delivery_messages`).

use std::{collections::BTreeSet, time::Duration};

use super::DeliveryRow;
use crate::{
    db::{Db, Input, Prunable, Tx, prunable},
    error::StoreError,
};

const PRUNABLE: Prunable = prunable!("delivery_messages", "created_at");

/// Notes the ids that rows of deliveries name.
pub(super) async fn insert(tx: &mut Tx, rows: &[DeliveryRow]) -> Result<(), StoreError> {
    let named = rows.iter().filter_map(|row| {
        let id = row.provider_message_id.as_deref()?;
        Some((row.tenant.as_str(), id, row.id.0, row.created_at))
    });
    let named: BTreeSet<_> = named.collect();
    if named.is_empty() {
        return Ok(());
    }
    Input::new(named.len())
        .text("tenant", named.iter().map(|(tenant, ..)| *tenant))
        .text("provider_message_id", named.iter().map(|(_, id, ..)| *id))
        .uuid("delivery_id", named.iter().map(|(_, _, delivery, _)| *delivery))
        .time("created_at", named.iter().map(|(.., at)| *at))
        .execute(
            tx.conn(),
            "INSERT INTO delivery_messages (tenant, provider_message_id, delivery_id, created_at)
            SELECT tenant, provider_message_id, delivery_id, created_at FROM input WHERE true
            ON CONFLICT (tenant, provider_message_id, delivery_id) DO NOTHING",
        )
        .await?;
    Ok(())
}

/// Deletes the ids of deliveries that were made longer ago than `age`. Returns their number.
pub(super) async fn prune(db: &Db, age: Duration) -> Result<u64, StoreError> {
    db.prune(PRUNABLE, age).await
}
