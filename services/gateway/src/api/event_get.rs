//! `GET /v1/events/{id}`.

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use carillon_domain::{EventId, Timestamp, decide::Decision, status::EventVerdict};
use carillon_runtime::http::{Path, Problem, ProblemKind};
use carillon_store::{
    events::ClaimedEvent,
    read_model::{DeliveryView, EventView},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::waiting;
use crate::{
    auth::Caller,
    error::ApiError,
    input::Query,
    openapi::answers,
    privacy::{Sight, mask_decisions, mask_delivery, mask_of, without_hashes},
    state::GatewayState,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    source: Option<String>,
    #[serde(default)]
    reveal: bool,
}

/// An event with its decisions and deliveries.
#[derive(Debug, Serialize)]
pub(crate) struct EventDocument {
    pub(crate) event_id: EventId,
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    /// `accepted`, `scheduled`, `routed`, `cancelled`, `skipped` or `rejected`.
    pub(crate) status: &'static str,
    /// The time until which a scheduled event waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheduled_for: Option<Timestamp>,
    /// Why it was skipped: `tombstone`, `deleted_row` or `no_recipient`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    pub(crate) event: Option<Box<RawValue>>,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) deliveries: Vec<DeliveryView>,
    /// Whether sensitive values and addresses are masked.
    pub(crate) masked: bool,
}

/// An event, each decision with its reasons, and its deliveries.
///
/// Never 404 after a 202: until the router has decided, the status is `accepted`. An event with a future `sendat` is
/// `scheduled` until then, and `scheduled_for` is that time.
#[utoipa::path(
    get, path = "/v1/events/{id}", tag = "events",
    params(("id" = String, Path, description = "The event's id"),
        ("source" = Option<String>, Query, description = "Needed where several sources use the id"),
        ("reveal" = Option<bool>, Query, description = "Show masked values; admins only, noted in the audit log")),
    responses(
        (status = 200, description = "The event", body = answers::EventDocument),
        (status = 404, description = "No event of this id was accepted", body = Problem),
        (status = 409, description = "Several sources use the id", body = Problem),
    )
)]
pub(crate) async fn get_event(
    State(state): State<GatewayState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<EventDocument>, ApiError> {
    let sight = Sight::asked(&state, &caller, asked.reveal, &uri).await?;
    find(
        &state,
        &caller,
        sight,
        &EventId::from(id),
        asked.source.as_deref(),
    )
    .await
    .map(Json)
}

/// Finds an event in the read model, or else among the claims.
pub(crate) async fn find(
    state: &GatewayState,
    caller: &Caller,
    sight: Sight,
    id: &EventId,
    source: Option<&str>,
) -> Result<EventDocument, ApiError> {
    let tenant = caller.tenant();
    let mut decided = state.store.read_model().event(tenant, id, source).await?;
    let claims = state.store.events().find(tenant, id, source).await?;
    only_source(&decided, &claims)?;
    if let Some(view) = decided.pop() {
        return document(state, caller, sight, view).await;
    }
    let claim = claims
        .into_iter()
        .next()
        .ok_or_else(|| ApiError::no_event(id, source))?;
    Ok(EventDocument {
        event_id: claim.key.event_id,
        source: claim.key.source.to_string(),
        event_type: claim.event_type,
        status: "accepted",
        scheduled_for: None,
        reason: None,
        event: None,
        decisions: Vec::new(),
        deliveries: Vec::new(),
        masked: !sight.is_revealed(),
    })
}

/// Refuses an id that several sources use.
pub(crate) fn only_source(views: &[EventView], claims: &[ClaimedEvent]) -> Result<(), ApiError> {
    let mut sources: Vec<&str> = views.iter().map(|view| view.source.as_str()).collect();
    sources.extend(claims.iter().map(|claim| &*claim.key.source));
    sources.sort_unstable();
    sources.dedup();
    if sources.len() > 1 {
        let text = format!(
            "several sources have an event of this id; name one of: {}",
            sources.join(", ")
        );
        return Err(ApiError::new(ProblemKind::AmbiguousEvent, text));
    }
    Ok(())
}

/// The status of an event.
pub(crate) fn status_of(verdict: EventVerdict) -> &'static str {
    match verdict {
        EventVerdict::Scheduled => "scheduled",
        EventVerdict::Cancelled => "cancelled",
        EventVerdict::Rejected => "rejected",
        EventVerdict::Routed | EventVerdict::Duplicate => "routed",
        EventVerdict::Tombstone | EventVerdict::DeletedRow | EventVerdict::NoRecipient => "skipped",
    }
}

async fn document(
    state: &GatewayState,
    caller: &Caller,
    sight: Sight,
    mut view: EventView,
) -> Result<EventDocument, ApiError> {
    let ids = view.decisions.iter().filter_map(|decision| decision.delivery_id);
    let mut deliveries = state.store.read_model().by_ids(caller.tenant(), ids).await?;
    without_hashes(&mut view.decisions);
    if !sight.is_revealed() {
        let mask = mask_of(state, caller.tenant(), Some(&view.event_type)).await?;
        view.event = view.event.and_then(|event| mask.event(event.get()));
        mask_decisions(&mut view.decisions);
        deliveries.iter_mut().for_each(mask_delivery);
    }
    waiting::explain(state, &mut deliveries).await?;
    let status = status_of(view.verdict);
    let reason = view.verdict.is_skipped().then(|| view.verdict.into());
    Ok(EventDocument {
        event_id: view.event_id,
        source: view.source,
        event_type: view.event_type,
        status,
        scheduled_for: view.due.filter(|_| view.verdict == EventVerdict::Scheduled),
        reason,
        event: view.event,
        decisions: view.decisions,
        deliveries,
        masked: !sight.is_revealed(),
    })
}
