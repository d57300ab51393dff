//! `GET /v1/decisions`.

use axum::{Json, extract::State};
use carillon_domain::{
    Channel, Moment,
    decide::{Outcome, Reason},
};
use carillon_runtime::http::Problem;
use carillon_store::read_model::{DecisionFilter, DecisionView};
use serde::Deserialize;

use crate::{
    auth::Caller,
    error::ApiError,
    input::{Given, Listed, Query, page},
    openapi::{answers, schemas},
    privacy::mask_decision,
    state::GatewayState,
};

/// The query. Each filter may be repeated; a decision has to match one of its values.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    user: Vec<String>,
    event: Vec<String>,
    channel: Vec<Channel>,
    outcome: Vec<Outcome>,
    reason: Vec<Reason>,
    from: Given<Moment>,
    to: Given<Moment>,
    limit: Given<u32>,
    cursor: Given<String>,
}

/// Decisions, newest first.
///
/// Every recipient, channel and address of every event, sent or not, with the reason as a word and as a sentence. The rules
/// that were applied are shown with the event (`/v1/events/{id}`). A message that has waited has a decision for each time
/// that it was decided.
#[utoipa::path(
    get, path = "/v1/decisions", tag = "events",
    params(
        ("user" = Option<Vec<String>>, Query, description = "May be repeated, like all filters; one of the values has to match"),
        ("event" = Option<Vec<String>>, Query, description = "The event's id"),
        ("channel" = Option<Vec<schemas::ChannelName>>, Query),
        ("outcome" = Option<Vec<schemas::OutcomeName>>, Query),
        ("reason" = Option<Vec<schemas::ReasonName>>, Query),
        ("from" = Option<schemas::MomentText>, Query, description = "Decided at or after"),
        ("to" = Option<schemas::MomentText>, Query, description = "Decided before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "1 to 500, default 50"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = answers::DecisionPage),
        (status = 422, description = "A filter is wrong", body = Problem),
    )
)]
pub(crate) async fn list_decisions(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Listed<DecisionView>>, ApiError> {
    let page = page(asked.limit.0, asked.cursor.0.as_deref())?;
    let filter = DecisionFilter {
        user: asked.user,
        event: asked.event,
        channel: asked.channel,
        outcome: asked.outcome,
        reason: asked.reason,
        from: asked.from.0.map(|Moment(at)| at),
        to: asked.to.0.map(|Moment(at)| at),
    };
    let model = state.store.read_model();
    let mut found = model.decisions(caller.tenant(), &filter, page).await?;
    found.items.iter_mut().for_each(mask_decision);
    Ok(Json(Listed {
        items: found.items,
        next_cursor: found.next_cursor,
    }))
}
