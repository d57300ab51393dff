//! `GET /v1/activity`.

use axum::{Json, extract::State};
use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, EventId, FieldError, Moment, Timestamp, UserId,
    decide::{Outcome, Reason},
    field_error::quoted,
};
use carillon_runtime::http::Problem;
use carillon_store::read_model::activity::{
    ActivityCursor, ActivityFilter, ActivityOutcome, ActivityView, OutcomeFilter,
};
use serde::{Deserialize, Serialize};

use crate::{
    activity::{FoundAs, Search, search},
    api::event_get::status_of,
    auth::Caller,
    error::ApiError,
    input::{Given, Query},
    openapi::{answers, schemas},
    privacy::{mask_decision, masked},
    state::GatewayState,
};

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    q: Given<String>,
    event: Given<String>,
    #[serde(rename = "type")]
    event_type: Given<String>,
    user: Given<String>,
    address: Given<String>,
    outcome: Given<OutcomeName>,
    reason: Given<Reason>,
    code: Given<String>,
    provider_message_id: Given<String>,
    from: Given<Moment>,
    to: Given<Moment>,
    limit: Given<u32>,
    cursor: Given<String>,
}

/// An outcome in a query.
#[derive(Debug, Clone, Copy, Deserialize, strum::EnumString, strum::AsRefStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum OutcomeName {
    NotSent,
    Send,
    Suppress,
    Defer,
    Digest,
    Drop,
    Duplicate,
}

impl From<OutcomeName> for OutcomeFilter {
    fn from(name: OutcomeName) -> Self {
        Self::Is(match name {
            OutcomeName::NotSent => return Self::NotSent,
            OutcomeName::Send => Outcome::Send,
            OutcomeName::Suppress => Outcome::Suppress,
            OutcomeName::Defer => Outcome::Defer,
            OutcomeName::Digest => Outcome::Digest,
            OutcomeName::Drop => Outcome::Drop,
            OutcomeName::Duplicate => Outcome::Duplicate,
        })
    }
}

/// An event of the list.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ActivityDocument {
    pub(crate) event_id: EventId,
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) at: Timestamp,
    pub(crate) status: &'static str,
    pub(crate) scheduled_for: Option<Timestamp>,
    pub(crate) outcomes: Vec<OutcomeDocument>,
    pub(crate) has_more: bool,
}

/// The outcome for a recipient on a channel.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OutcomeDocument {
    pub(crate) at: Timestamp,
    pub(crate) recipient: String,
    pub(crate) user_id: Option<UserId>,
    pub(crate) channel: Channel,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Reason,
    pub(crate) sentence: String,
    pub(crate) to_masked: Option<String>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) delivery_id: Option<DeliveryId>,
    pub(crate) status: Option<DeliveryStatus>,
    pub(crate) code: Option<String>,
    pub(crate) detail: Option<String>,
}

impl From<ActivityView> for ActivityDocument {
    fn from(view: ActivityView) -> Self {
        Self {
            event_id: view.event_id,
            source: view.source,
            event_type: view.event_type,
            at: view.at,
            status: status_of(view.verdict),
            scheduled_for: view.due,
            outcomes: view.outcomes.into_iter().map(OutcomeDocument::from).collect(),
            has_more: view.has_more,
        }
    }
}

impl From<ActivityOutcome> for OutcomeDocument {
    fn from(outcome: ActivityOutcome) -> Self {
        let mut decision = outcome.decision;
        mask_decision(&mut decision);
        Self {
            at: decision.at,
            recipient: decision.recipient,
            user_id: decision.user_id,
            channel: decision.channel,
            outcome: decision.outcome,
            reason: decision.reason,
            sentence: decision.sentence,
            to_masked: decision.to_masked,
            until: decision.until,
            delivery_id: decision.delivery_id,
            status: outcome.status,
            code: outcome.code,
            detail: outcome.detail.as_deref().map(masked),
        }
    }
}

/// A page of events.
#[derive(Debug, Serialize)]
pub(crate) struct ActivityList {
    items: Vec<ActivityDocument>,
    next_cursor: Option<String>,
    found_as: Option<FoundAs>,
}

/// Events, newest first, each with the outcomes for its recipients on each channel, sent or not.
///
/// An event has to match all given filters. A row has at most 20 outcomes, beginning with those that the filter found;
/// `/v1/events/{id}` has all of them with their rules. A message that has waited shows its last decision.
///
/// `q` is searched as an event's id, a delivery's id, an e-mail address, a phone number, a user's id, a provider's id
/// of a message, a device's token and an error code, in that order; `found_as` has the meaning that was found.
/// Addresses are compared as a whole, by their keyed hashes: those that users have now, and those to which guests'
/// messages went.
#[utoipa::path(
    get, path = "/v1/activity", tag = "events",
    params(
        ("q" = Option<String>, Query, description = "An exact id, address or code"),
        ("event" = Option<String>, Query, description = "The event's id"),
        ("type" = Option<String>, Query, description = "The event's type"),
        ("user" = Option<String>, Query, description = "A recipient's id"),
        ("address" = Option<String>, Query, description = "A recipient's exact e-mail address, phone number in E.164, or device token"),
        ("outcome" = Option<schemas::ActivityOutcomeName>, Query, description = "An outcome; `not_sent`: suppressed, dropped, or a duplicate"),
        ("reason" = Option<schemas::ReasonName>, Query),
        ("code" = Option<String>, Query, description = "The present error code of a delivery; not with `outcome` or `reason`"),
        ("provider_message_id" = Option<String>, Query, description = "The provider's id of a message; not with `outcome` or `reason`"),
        ("from" = Option<schemas::MomentText>, Query, description = "Decided at or after"),
        ("to" = Option<schemas::MomentText>, Query, description = "Decided before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "1 to 100, default 50"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$", description = "next_cursor of the page before, with the same filters"),
    ),
    responses(
        (status = 200, description = "A page", body = answers::ActivityPage),
        (status = 422, description = "A filter is wrong", body = Problem),
    )
)]
pub(crate) async fn list_activity(
    State(state): State<GatewayState>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<ActivityList>, ApiError> {
    let search_for = Search {
        q: asked.q.0,
        address: asked.address.0,
        user: asked.user.0,
        filter: ActivityFilter {
            event: asked.event.0,
            event_type: asked.event_type.0,
            who: None,
            outcome: asked.outcome.0.map(OutcomeFilter::from),
            reason: asked.reason.0,
            code: asked.code.0,
            provider_message_id: asked.provider_message_id.0,
            from: asked.from.0.map(|Moment(at)| at),
            to: asked.to.0.map(|Moment(at)| at),
        },
        limit: limit(asked.limit.0)?,
        after: after(asked.cursor.0.as_deref())?,
    };
    let found = search(&state, caller.tenant(), search_for).await?;
    Ok(Json(ActivityList {
        items: found.page.items.into_iter().map(ActivityDocument::from).collect(),
        next_cursor: found.page.next.map(|next| next.to_string()),
        found_as: found.found_as,
    }))
}

fn limit(limit: Option<u32>) -> Result<u32, ApiError> {
    match limit.unwrap_or(50) {
        limit @ 1..=100 => Ok(limit),
        limit => {
            let text = format!("the parameter limit: expected a whole number from 1 to 100, not {limit}");
            Err(ApiError::fields(vec![FieldError::new("/limit", "range", text)]))
        }
    }
}

/// The place of a cursor.
pub(crate) fn after(cursor: Option<&str>) -> Result<Option<ActivityCursor>, ApiError> {
    let Some(text) = cursor else { return Ok(None) };
    let place = ActivityCursor::parse(text).ok_or_else(|| {
        let expected = "the parameter cursor: expected next_cursor of an earlier answer, not";
        let text = format!("{expected} {}", quoted(text));
        ApiError::fields(vec![FieldError::new("/cursor", "format", text)])
    });
    place.map(Some)
}
