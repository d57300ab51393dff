//! `GET /v1/stats`.

use axum::{Json, extract::State};
use carillon_runtime::http::Problem;
use carillon_store::audit::{Accepted, AuditCounts};
use serde::Serialize;

use crate::{auth::OfInstallation, error::ApiError, input::NoQuery, openapi::answers, state::GatewayState};

/// The installation's books.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    #[serde(flatten)]
    counts: AuditCounts,
    events_difference: i64,
    deliveries_difference: i64,
    accepted: Vec<Accepted>,
}

/// The auditor's counts of events and deliveries, and their differences, both of which are 0 at rest. Differences that an
/// operator has accepted are left out of them, and are in `accepted` with time, name and reason.
///
/// They cover all tenants of the installation, so only the operator's own tenant `default` may read them.
#[utoipa::path(
    get, path = "/v1/stats", tag = "events",
    responses((status = 200, description = "The counts", body = answers::Stats),
        (status = 403, description = "Needs a key of the tenant default", body = Problem))
)]
pub(crate) async fn get_stats(
    State(state): State<GatewayState>,
    _: OfInstallation,
    NoQuery: NoQuery,
) -> Result<Json<Stats>, ApiError> {
    let audit = state.store.audit();
    let (counts, accepted) = (audit.counts().await?, audit.accepted().await?);
    Ok(Json(Stats {
        counts,
        events_difference: counts.event_difference(),
        deliveries_difference: counts.delivery_difference(),
        accepted,
    }))
}
