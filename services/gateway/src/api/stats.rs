//! `GET /v1/stats`.

use axum::{Json, extract::State};
use carillon_store::audit::AuditCounts;
use serde::Serialize;

use crate::{auth::Caller, error::ApiError, state::GatewayState};

/// The installation's books.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    #[serde(flatten)]
    counts: AuditCounts,
    events_difference: i64,
    deliveries_difference: i64,
}

/// The auditor's counts: what was acknowledged and what became of it. Both differences are 0 at rest.
#[utoipa::path(
    get, path = "/v1/stats", tag = "events",
    responses((status = 200, description = "The counts", body = serde_json::Value))
)]
pub(crate) async fn get_stats(State(state): State<GatewayState>, _: Caller) -> Result<Json<Stats>, ApiError> {
    let counts = state.store.audit().counts().await?;
    Ok(Json(Stats {
        counts,
        events_difference: counts.event_difference(),
        deliveries_difference: counts.delivery_difference(),
    }))
}
