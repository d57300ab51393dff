//! `/v1/dlq/jobs`.

use axum::{Json, extract::State};
use carillon_runtime::http::{NoConditions, Problem};
use carillon_store::dead_letter_jobs::{Cancelled, JobState, Moved};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::{Caller, Operator},
    error::ApiError,
    input::{Given, Id, Listed, NoQuery, Query, page},
    letters::JobDocument,
    openapi::answers,
    state::GatewayState,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    limit: Given<u32>,
    cursor: Given<String>,
}

/// Jobs that replay or discard dead letters, newest first.
#[utoipa::path(
    get, path = "/v1/dlq/jobs", tag = "dlq",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, default 50"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "next_cursor of the page before")),
    responses((status = 200, description = "A page", body = answers::JobPage))
)]
pub(crate) async fn list_jobs(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Listed<JobDocument>>, ApiError> {
    let page = page(asked.limit.0, asked.cursor.0.as_deref())?;
    let found = state.store.dead_letter_jobs().list(caller.tenant(), page).await?;
    Ok(Json(Listed {
        items: found.items.into_iter().map(JobDocument::of).collect(),
        next_cursor: found.next_cursor,
    }))
}

/// A job: its progress, and the numbers of letters that stay as they are by reason.
#[utoipa::path(
    get, path = "/v1/dlq/jobs/{id}", tag = "dlq", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The job", body = JobDocument),
        (status = 404, description = "The job does not exist", body = Problem))
)]
pub(crate) async fn get_job(
    State(state): State<GatewayState>,
    caller: Caller,
    Id(id): Id,
    NoQuery: NoQuery,
) -> Result<Json<JobDocument>, ApiError> {
    let found = state.store.dead_letter_jobs().get(caller.tenant(), id).await?;
    let job = found.ok_or_else(|| ApiError::missing("job", id))?;
    Ok(Json(JobDocument::of(job)))
}

/// The result of a cancellation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CancelAnswer {
    /// `cancelled`, or `already_ended` if the job had ended before.
    #[schema(example = "cancelled")]
    result: &'static str,
    job: JobDocument,
}

/// Cancel a job. Letters that it has settled stay settled; no further letter is settled.
#[utoipa::path(
    post, path = "/v1/dlq/jobs/{id}/cancel", tag = "dlq", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "Cancelled, or ended before", body = CancelAnswer),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "The job does not exist", body = Problem))
)]
pub(crate) async fn cancel_job(
    State(state): State<GatewayState>,
    caller: Operator,
    Id(id): Id,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
) -> Result<Json<CancelAnswer>, ApiError> {
    let (result, job) = match state.store.dead_letter_jobs().cancel(&caller.0, id).await? {
        None => return Err(ApiError::missing("job", id)),
        Some(Cancelled::Now(job)) => ("cancelled", job),
        Some(Cancelled::HadEnded(job)) => ("already_ended", job),
    };
    Ok(Json(CancelAnswer {
        result,
        job: JobDocument::of(*job),
    }))
}

/// The result of a pause or a resumption.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MoveAnswer {
    /// `paused` or `resumed`; `already_paused` or `already_running` if it was so before, or its canary has stopped it;
    /// `already_ended` if the job has ended.
    #[schema(example = "paused")]
    result: &'static str,
    job: JobDocument,
}

impl MoveAnswer {
    fn of(id: Uuid, moved: Option<Moved>, result: &'static str) -> Result<Json<Self>, ApiError> {
        let Moved { is_moved, job } = moved.ok_or_else(|| ApiError::missing("job", id))?;
        let result = match (is_moved, job.state) {
            (true, _) => result,
            (false, JobState::Paused | JobState::Stopped) => "already_paused",
            (false, JobState::Running) => "already_running",
            (false, _) => "already_ended",
        };
        Ok(Json(Self {
            result,
            job: JobDocument::of(job),
        }))
    }
}

/// Pause a job. Letters that it has settled stay settled; no further letter is settled until the job is resumed.
#[utoipa::path(
    post, path = "/v1/dlq/jobs/{id}/pause", tag = "dlq", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "Paused, or not running before", body = MoveAnswer),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "The job does not exist", body = Problem))
)]
pub(crate) async fn pause_job(
    State(state): State<GatewayState>,
    caller: Operator,
    Id(id): Id,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
) -> Result<Json<MoveAnswer>, ApiError> {
    MoveAnswer::of(
        id,
        state.store.dead_letter_jobs().pause(&caller.0, id).await?,
        "paused",
    )
}

/// Resume a job that is paused, or that its canary has stopped. It goes on where it stopped.
#[utoipa::path(
    post, path = "/v1/dlq/jobs/{id}/resume", tag = "dlq", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "Resumed, or not paused before", body = MoveAnswer),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "The job does not exist", body = Problem))
)]
pub(crate) async fn resume_job(
    State(state): State<GatewayState>,
    caller: Operator,
    Id(id): Id,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
) -> Result<Json<MoveAnswer>, ApiError> {
    MoveAnswer::of(
        id,
        state.store.dead_letter_jobs().resume(&caller.0, id).await?,
        "resumed",
    )
}
