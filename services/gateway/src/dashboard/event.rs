//! `/events/{id}`: an event with its decisions, their reasons, and its deliveries.

use askama::Template;
use axum::{extract::State, response::Response};
use carillon_domain::{EventId, decide::Outcome};
use carillon_runtime::http::Path;
use carillon_store::{api_keys::Role, read_model::DeliveryView};
use serde::Deserialize;

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    api::event_get::{EventDocument, find},
    cancel::CancelResult,
    error::ApiError,
    input::Query,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    source: Option<String>,
    /// The result of a cancellation that led here.
    cancel: Option<CancelResult>,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Option<Frame>,
    event: EventDocument,
    json: Option<String>,
    items: Vec<DeliveryView>,
    may_cancel: bool,
    /// The result of a cancellation, as a sentence.
    cancelled: Option<&'static str>,
}

/// The colour of an outcome, beside its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(super) fn tone(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Send => "good",
        Outcome::Defer | Outcome::Digest => "busy",
        Outcome::Suppress | Outcome::Duplicate => "calm",
        Outcome::Drop => "warn",
    }
}

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let Asked { source, cancel } = asked?.0;
    let id = EventId::from(id);
    let mut event = find(
        &dashboard.gateway,
        &signed_in.caller,
        signed_in.sight,
        &id,
        source.as_deref(),
    )
    .await?;
    let value: Option<serde_json::Value> = event
        .event
        .as_deref()
        .and_then(|json| serde_json::from_str(json.get()).ok());
    let is_open = matches!(event.status, "accepted" | "scheduled")
        || event
            .deliveries
            .iter()
            .any(|delivery| !delivery.status.is_ended());
    Ok(render(&EventPage {
        // Right after a cancellation, the read model may not show it yet.
        may_cancel: is_open && cancel.is_none() && signed_in.role() >= Role::Operator,
        cancelled: cancel.map(CancelResult::sentence),
        frame: Some(signed_in.frame(NavSection::Deliveries)),
        json: value.map(|value| format!("{value:#}")),
        items: std::mem::take(&mut event.deliveries),
        event,
    }))
}
