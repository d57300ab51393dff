//! `/v1/dlq/groups`: causes of dead letters, how people handle them, and their planned replays.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use carillon_runtime::http::{ConditionHeaders, Conditions, JsonBody, Path, Problem};
use serde::Deserialize;

use crate::{
    auth::{Caller, Operator},
    error::ApiError,
    input::{MergePatch, NoQuery, Query, json, tagged},
    letters::{self, GroupDocument, Groups, HandlingBody, PlanBody, Shown},
    openapi::{answers, schemas},
    state::GatewayState,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    ignored: Shown,
}

/// Dead letters by cause, the most frequent first.
///
/// Ignored causes are left out unless they are asked for; `hidden` counts them.
#[utoipa::path(
    get, path = "/v1/dlq/groups", tag = "dlq",
    params(("ignored" = Option<schemas::IgnoredName>, Query, description = "`false` (default): causes that are not ignored; `true`: the ignored ones; `any`: all")),
    responses((status = 200, description = "The causes", body = answers::DeadLetterGroups),
        (status = 422, description = "A filter is wrong", body = Problem))
)]
pub(crate) async fn list_groups(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Groups>, ApiError> {
    letters::groups(&state, caller.tenant(), asked.ignored)
        .await
        .map(Json)
}

fn answered(group: GroupDocument) -> Response {
    tagged(&group.etag(), Json(group))
}

/// A cause of dead letters, with its note, owner and planned replay.
///
/// The `ETag` is the version of the handling, not of the counts.
#[utoipa::path(
    get, path = "/v1/dlq/groups/{fingerprint}", tag = "dlq",
    params(("fingerprint" = String, Path, min_length = 1)),
    responses((status = 200, description = "The cause", body = answers::DeadLetterGroup),
        (status = 404, description = "No dead letter has this cause", body = Problem))
)]
pub(crate) async fn get_group(
    State(state): State<GatewayState>,
    caller: Caller,
    NoQuery: NoQuery,
    Path(fingerprint): Path<String>,
) -> Result<Response, ApiError> {
    letters::group(&state, caller.tenant(), &fingerprint)
        .await
        .map(answered)
}

/// Change a cause's note, owner, or whether it is ignored: JSON merge patch (RFC 7396).
///
/// An ignored cause raises no alert. Lists and jobs over a filter leave it out unless they are asked for it. Its
/// letters are kept, and can still be replayed. The audit log gets an entry.
#[utoipa::path(
    patch, path = "/v1/dlq/groups/{fingerprint}", tag = "dlq",
    params(("fingerprint" = String, Path, min_length = 1), ConditionHeaders),
    request_body(content = HandlingBody, example = json!({"owner": "team checkout", "ignored": true})),
    responses((status = 200, description = "Changed", body = answers::DeadLetterGroup),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "No dead letter has this cause", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 415, description = "Neither a merge patch nor JSON", body = Problem),
        (status = 422, description = "A field is wrong", body = Problem))
)]
pub(crate) async fn patch_group(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(fingerprint): Path<String>,
    conditions: Conditions,
    MergePatch: MergePatch,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let body: HandlingBody = json(body).await?;
    letters::change(&state, &caller.0, &fingerprint, body, &conditions)
        .await
        .map(answered)
}

/// Plan a replay of a cause that begins by itself: once a newer version of a template is published, or once a provider
/// account is open again.
///
/// One job is made, over the letters that are open then, with a canary of ten letters unless the request says otherwise. It
/// is an ordinary job (`/v1/dlq/jobs`). A cause has one planned replay at a time: a further one replaces it. A condition that
/// holds already begins the replay at once. The audit log gets an entry for the plan and one for the job.
#[utoipa::path(
    put, path = "/v1/dlq/groups/{fingerprint}/planned-replay", tag = "dlq",
    params(("fingerprint" = String, Path, min_length = 1), ConditionHeaders),
    request_body(content = PlanBody, example = json!({"template": {"id": "OrderShipped/email", "after": 3}})),
    responses((status = 200, description = "Planned", body = answers::DeadLetterGroup),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "No dead letter has this cause", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "A field is wrong, or the account is not closed", body = Problem))
)]
pub(crate) async fn put_planned_replay(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(fingerprint): Path<String>,
    conditions: Conditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let body: PlanBody = json(body).await?;
    letters::plan(&state, &caller.0, &fingerprint, body, &conditions)
        .await
        .map(answered)
}

/// Cancel the planned replay of a cause. A replay that has begun is a job, which is cancelled as such.
#[utoipa::path(
    delete, path = "/v1/dlq/groups/{fingerprint}/planned-replay", tag = "dlq",
    params(("fingerprint" = String, Path, min_length = 1), ConditionHeaders),
    responses((status = 204, description = "Cancelled"),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "No replay of this cause is planned", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem))
)]
pub(crate) async fn delete_planned_replay(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    Path(fingerprint): Path<String>,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    letters::cancel_plan(&state, &caller.0, &fingerprint, &conditions).await?;
    Ok(StatusCode::NO_CONTENT)
}
