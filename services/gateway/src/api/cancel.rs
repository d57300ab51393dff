//! `POST /v1/events/{id}/cancel` and `POST /v1/deliveries/{id}/cancel`.

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use carillon_domain::{DeliveryId, EventId};
use carillon_runtime::http::{NoConditions, Path, Problem};
use serde::Deserialize;

use crate::{
    auth::Operator,
    cancel::{self, DeliveryCancelled, EventCancelled},
    error::ApiError,
    input::{Id, NoQuery, Query},
    state::GatewayState,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    source: Option<String>,
}

/// Cancel an event.
///
/// An event that is not decided yet, or that waits for its `sendat`, is cancelled as a whole. If the event is decided, its
/// deliveries that no worker has claimed are cancelled; the answer counts the deliveries by result. A delivery that counts as
/// cancelled is not sent. The same request may be repeated.
#[utoipa::path(
    post, path = "/v1/events/{id}/cancel", tag = "events",
    params(("id" = String, Path, description = "The event's id"),
        ("source" = Option<String>, Query, description = "Needed where several sources use the id")),
    responses(
        (status = 200, description = "The result, the event's status, and its deliveries counted by result", body = EventCancelled),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "No event of this id was accepted", body = Problem),
        (status = 409, description = "Several sources use the id", body = Problem),
        (status = 503, description = "The event is being decided at this moment; repeat the request", body = Problem),
    )
)]
pub(crate) async fn cancel_event(
    State(state): State<GatewayState>,
    caller: Operator,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    OriginalUri(uri): OriginalUri,
    NoConditions: NoConditions,
) -> Result<Json<EventCancelled>, ApiError> {
    let id = EventId::from(id);
    let source = asked.source.as_deref();
    cancel::event(&state, &caller.0, &id, source, &uri.to_string())
        .await
        .map(Json)
}

/// Cancel a delivery that is not sent yet, also while it waits for another attempt.
///
/// `too_late`: a worker has claimed the attempt, or an earlier attempt is uncertain, and the message may have gone out; with
/// the status `cancelled`, no further attempt is made. `already_final`: the delivery had ended; `status` says how.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = uuid::Uuid, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "Cancelled, or the reason why not", body = DeliveryCancelled),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "The delivery does not exist", body = Problem),
    )
)]
pub(crate) async fn cancel_delivery(
    State(state): State<GatewayState>,
    caller: Operator,
    Id(id): Id,
    NoQuery: NoQuery,
    OriginalUri(uri): OriginalUri,
    NoConditions: NoConditions,
) -> Result<Json<DeliveryCancelled>, ApiError> {
    cancel::delivery(&state, &caller.0, DeliveryId(id), &uri.to_string())
        .await
        .map(Json)
}
