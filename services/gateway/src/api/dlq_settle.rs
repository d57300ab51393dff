//! `POST /v1/dlq/replay` and `POST /v1/dlq/discard`.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{StatusCode, Uri, request::Parts},
    response::{IntoResponse as _, Response},
};
use carillon_runtime::http::{JsonBody, NoConditions, Problem, read_capped};
use carillon_store::dead_letter_jobs::JobKind;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::{Caller, Operator},
    error::ApiError,
    ingest::{self, Keyed},
    input::{MAX_BODY, NoQuery, Query, json_of},
    letters::{self, Rehearsal, SettleBody},
    privacy::{Reveal, Sight},
    state::GatewayState,
};

/// A job that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobMade {
    pub(crate) job_id: Uuid,
    /// The path of the job.
    pub(crate) status_url: String,
    /// The number of letters that were selected.
    pub(crate) total: u64,
}

/// Put dead letters back, to be sent or decided once more.
///
/// A job does it in the background, each letter at most once. A delivery is sent with its original data and the present
/// template, address and opt-outs, and with its generation plus 1. Letters that cannot be put back are skipped and
/// counted by reason; a message that fails again is a new dead letter. A rejected event is put back as a new record, if
/// the router has not claimed it.
///
/// With `canary`, some letters go first. The others wait until each of those has ended, and the job stops if more than
/// `canary_tolerance` percent have failed again.
///
/// With `edit`, one letter is put back with another content; the original stays as it is. A dry run shows the changes. The
/// event is checked as a post of it is: pointers of such errors begin with `/edited`. An event with values that are hidden
/// from the caller is edited only by an admin with `reveal=true`.
#[utoipa::path(
    post, path = "/v1/dlq/replay", tag = "dlq", request_body = SettleBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Replays the answer for 24 h, so that one job is made; a dry run ignores it"),
        ("reveal" = Option<bool>, Query, description = "Edit with all values in view; admins only, noted in the audit log")),
    responses(
        (status = 200, description = "The outcomes of a dry run", body = Rehearsal),
        (status = 202, description = "The job was made", body = JobMade),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 409, description = "The first request with this `Idempotency-Key` is still at work", body = Problem),
        (status = 422, description = "A field is wrong, or none of the ids can be put back", body = Problem),
    )
)]
pub(crate) async fn replay_dead_letters(
    State(state): State<GatewayState>,
    Operator(caller): Operator,
    Query(asked): Query<Reveal>,
    OriginalUri(uri): OriginalUri,
    NoConditions: NoConditions,
    parts: Parts,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let caller = Caller(caller);
    settle(state, caller, JobKind::Replay, asked, uri, parts, body).await
}

/// Give dead letters up. They stay visible with the verdict until they are deleted by age.
#[utoipa::path(
    post, path = "/v1/dlq/discard", tag = "dlq", request_body = SettleBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Replays the answer for 24 h, so that one job is made; a dry run ignores it")),
    responses(
        (status = 200, description = "The outcomes of a dry run", body = Rehearsal),
        (status = 202, description = "The job was made", body = JobMade),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 409, description = "The first request with this `Idempotency-Key` is still at work", body = Problem),
        (status = 422, description = "A field is wrong, or all of the ids are settled already", body = Problem),
    )
)]
pub(crate) async fn discard_dead_letters(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    parts: Parts,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (caller, uri) = (Caller(caller.0), parts.uri.clone());
    settle(
        state,
        caller,
        JobKind::Discard,
        Reveal::default(),
        uri,
        parts,
        body,
    )
    .await
}

async fn settle(
    state: GatewayState,
    caller: Caller,
    kind: JobKind,
    asked: Reveal,
    uri: Uri,
    parts: Parts,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let key = ingest::key(&parts.headers)?;
    let bytes = read_capped(body, MAX_BODY).await?;
    let body: SettleBody = json_of(&bytes)?;
    let is_dry = body.dry_run;
    let settling = body.checked(kind)?;
    let settling = settling.without_ignored(&state, caller.tenant()).await?;
    // A reveal is noted only if there is something to see.
    let reveals = asked.reveal && settling.edit.is_some();
    let sight = Sight::asked(&state, &caller, reveals, &uri).await?;
    if is_dry {
        let rehearsal = letters::rehearse(&state, caller.tenant(), sight, &settling).await?;
        return Ok(Json(rehearsal).into_response());
    }
    let keyed = key.map(|key| Keyed::new(caller.tenant(), key, &parts, &bytes, state.clock.now()));
    let of_work = state.clone();
    let work = async move {
        let id = Uuid::now_v7();
        let total = letters::create(&of_work, &caller.0, sight, settling, id).await?;
        let made = JobMade {
            job_id: id,
            status_url: format!("/v1/dlq/jobs/{id}"),
            total,
        };
        Ok((StatusCode::ACCEPTED, Json(made)).into_response())
    };
    match keyed {
        Some(keyed) => ingest::replayed(state, keyed, work).await,
        None => work.await,
    }
}
