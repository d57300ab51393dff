//! `POST /v1/simulate`.

use axum::{
    Json,
    body::Body,
    extract::{OriginalUri, Request, State},
};
use carillon_domain::Moment;
use carillon_runtime::http::{Problem, read_capped};
use serde::Deserialize;

use crate::{
    auth::Caller,
    error::ApiError,
    ingest,
    input::{Given, MAX_BODY, Query},
    openapi::{answers, schemas},
    privacy::Sight,
    simulation::{self, SimulationDocument, SimulationRequest},
    state::GatewayState,
};

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    at: Given<Moment>,
    reveal: bool,
}

/// Simulate an event.
///
/// The router's decisions about the event and the messages that would be sent, with nothing sent, counted or stored. The
/// event is posted as to `/v1/events` and is checked by the same rules, or it is the member `event` of an envelope with the
/// conditions: `at` is the time of the decisions, and `as_if` has preferences in place of those of the event's users, or
/// another catalog. Limits are looked at as they are counted now; the suppression list and templates are the present ones.
#[utoipa::path(
    post, path = "/v1/simulate", tag = "events",
    params(("at" = Option<schemas::MomentText>, Query, description = "The time of the decisions; now if absent"),
        ("reveal" = Option<bool>, Query, description = "Show masked values; admins only, noted in the audit log")),
    request_body(content(
        (schemas::EventOrSimulation = "application/json", example = json!({
            "event": {"type": "OrderShipped", "recipients": [{"user_id": "u-42"}], "data": {"order_id": "1001", "carrier": "DHL"}},
            "at": "2026-11-28T02:00:00Z", "as_if": {"preferences": {"global": {"sms": false}}}})),
        (schemas::CloudEvent = "application/cloudevents+json"),
    )),
    responses(
        (status = 200, description = "What would happen", body = answers::SimulationDocument),
        (status = 400, description = "Not JSON, or a header that cannot be read", body = Problem),
        (status = 403, description = "Only an admin may reveal", body = Problem),
        (status = 413, description = "Too large", body = Problem),
        (status = 415, description = "Another media type or content encoding; `Accept-Encoding` names those that are taken", body = Problem),
        (status = 422, description = "The event would be refused, or a condition is wrong", body = Problem),
    )
)]
pub(crate) async fn post_simulate(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
    OriginalUri(uri): OriginalUri,
    request: Request<Body>,
) -> Result<Json<SimulationDocument>, ApiError> {
    let sight = Sight::asked(&state, &caller, asked.reveal, &uri).await?;
    let (parts, body) = request.into_parts();
    let body = read_capped(body, MAX_BODY).await?;
    let (tenant, now, bytes) = (caller.tenant().clone(), state.clock.now(), body.len());
    let read = move || SimulationRequest::read(&parts.headers, &body, &tenant, asked.at.0, now);
    let request = ingest::aside(&state, bytes, read).await?;
    simulation::simulate(&state, &caller, sight, request)
        .await
        .map(Json)
}
