//! `POST /v1/deliveries/{id}/acknowledge`.

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use carillon_domain::DeliveryId;
use carillon_runtime::http::{NoConditions, Problem};

use crate::{
    acknowledge::{self, DeliveryAcknowledged},
    auth::Operator,
    error::ApiError,
    input::{Id, NoQuery},
    state::GatewayState,
};

/// Say that the recipient has seen a message.
///
/// The app calls this, because no provider reports it. Messages that follow this one in a fallback order (`wait` of the
/// event type) are stopped unless a worker has claimed them; `fallbacks` counts them by result. The same request may be
/// repeated. `not_sent`: no message has gone out, and nothing is noted.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/acknowledge", tag = "deliveries",
    params(("id" = uuid::Uuid, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "Noted, or the reason why not", body = DeliveryAcknowledged),
        (status = 403, description = "The key's role may only read", body = Problem),
        (status = 404, description = "The delivery does not exist", body = Problem),
    )
)]
pub(crate) async fn acknowledge_delivery(
    State(state): State<GatewayState>,
    caller: Operator,
    Id(id): Id,
    NoQuery: NoQuery,
    OriginalUri(uri): OriginalUri,
    NoConditions: NoConditions,
) -> Result<Json<DeliveryAcknowledged>, ApiError> {
    acknowledge::acknowledge(&state, &caller.0, DeliveryId(id), &uri.to_string())
        .await
        .map(Json)
}
