//! The data with which a delivery was sent again: that of its dead letter, with the edit of the replay.

use std::sync::Arc;

use carillon_bus::replay;
use carillon_store::read_model::DeliveryView;
use serde_json::value::RawValue;

use super::editing::stored;
use crate::{auth::Caller, error::ApiError, state::GatewayState};

/// The data of a delivery's present generation, if it is a replay whose dead letter is still known.
pub(crate) async fn sent_data(
    state: &GatewayState,
    caller: &Caller,
    delivery: &DeliveryView,
) -> Result<Option<Arc<RawValue>>, ApiError> {
    if delivery.generation == 0 {
        return Ok(None);
    }
    let (tenant, jobs) = (caller.tenant(), state.store.dead_letter_jobs());
    let letters = state
        .store
        .dead_letters()
        .of_delivery(tenant, delivery.id)
        .await?;
    let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    let verdicts = jobs.verdicts(tenant, &ids).await?;
    let sent = verdicts
        .into_iter()
        .find(|verdict| verdict.generation == Some(delivery.generation));
    let Some(verdict) = sent else { return Ok(None) };
    let Some(letter) = letters.iter().find(|letter| letter.id == verdict.letter_id) else {
        return Ok(None);
    };
    let mut document = replay::document(stored(tenant, letter));
    if verdict.is_edited
        && let Some(edit) = jobs.get(tenant, verdict.job_id).await?.and_then(|job| job.edit)
    {
        let Ok(edited) = edit.apply(&document) else {
            return Ok(None);
        };
        document = edited;
    }
    let data = document
        .at("/data")
        .and_then(|json| RawValue::from_string(json).ok());
    Ok(data.map(Arc::from))
}
