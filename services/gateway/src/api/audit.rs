//! `GET /v1/audit`.

use axum::{Json, extract::State};
use carillon_runtime::http::Problem;
use carillon_store::audit_log::AuditEntry;
use serde::Deserialize;

use crate::{
    auth::Admin,
    error::ApiError,
    input::{Given, Listed, Query, page},
    openapi::answers,
    state::GatewayState,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    limit: Given<u32>,
    cursor: Given<String>,
}

/// The audit log, newest first: reveals of sensitive values and addresses, changes of the suppression list, jobs of
/// dead letters, the handling of their causes, cancellations and acknowledgements. Each entry has the API key, the time
/// and the path.
#[utoipa::path(
    get, path = "/v1/audit", tag = "keys",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, default 50"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "next_cursor of the page before")),
    responses((status = 200, description = "A page", body = answers::AuditPage),
        (status = 403, description = "Needs the role admin", body = Problem))
)]
pub(crate) async fn list_audit(
    State(state): State<GatewayState>,
    caller: Admin,
    Query(asked): Query<Asked>,
) -> Result<Json<Listed<AuditEntry>>, ApiError> {
    let page = page(asked.limit.0, asked.cursor.0.as_deref())?;
    let found = state.store.audit_log().list(caller.tenant(), page).await?;
    Ok(Json(Listed {
        items: found.items,
        next_cursor: found.next_cursor,
    }))
}
