//! `/v1/users/{id}/opt-outs/{channel}`.

use axum::{extract::State, http::StatusCode};
use carillon_domain::{Channel, FieldError, UserId, field_error::quoted};
use carillon_runtime::http::{NoConditions, Path, Problem, ProblemKind};

use crate::{auth::Operator, error::ApiError, input::NoQuery, openapi::schemas, state::GatewayState};

/// Take back an opt-out (STOP): the user has agreed to messages to the present address again. Writing the profile again
/// does not take it back. Unlike `DELETE /v1/suppressions/{channel}/{address}`, it needs no address and lifts no other
/// reason. The audit log gets an entry.
#[utoipa::path(
    delete, path = "/v1/users/{id}/opt-outs/{channel}", tag = "users",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"),
        ("channel" = schemas::ChannelName, Path)),
    responses((status = 204, description = "Taken back"),
        (status = 404, description = "The user does not exist or has not opted out", body = Problem))
)]
pub(crate) async fn delete_opt_out(
    State(state): State<GatewayState>,
    caller: Operator,
    NoQuery: NoQuery,
    NoConditions: NoConditions,
    Path((id, channel)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let channel: Channel = channel.parse().map_err(|_| {
        let expected = format!("expected {}, not {}", Channel::names(), quoted(&channel));
        ApiError::fields(vec![FieldError::new("/channel", "type", expected)])
    })?;
    let users = state.store.users();
    let id = UserId::from(id);
    let had = users.consent(&caller.0, &id, channel).await;
    if had.map_err(|error| ApiError::of_user(error, &id))? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let text = format!("the user {} has no opt-out by {channel}", quoted(id.as_str()));
        Err(ApiError::new(ProblemKind::NotFound, text))
    }
}
