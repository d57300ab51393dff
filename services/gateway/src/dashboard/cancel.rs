//! `/events/{id}/cancel` and `/deliveries/{id}/cancel`: the buttons of the pages, which then show the result.

use axum::{
    Form,
    extract::{OriginalUri, State},
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_domain::{DeliveryId, EventId};
use carillon_runtime::http::Path;
use carillon_store::api_keys::Role;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{Dashboard, page::PageError, session::SignedIn};
use crate::{cancel, error::ApiError, input::Id};

#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    csrf: String,
    #[serde(default)]
    source: Option<String>,
}

/// Cancels an event.
pub(crate) async fn event(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, PageError> {
    signed_in.check_form(&confirmed.csrf)?;
    signed_in.check_role(Role::Operator)?;
    let (gateway, who) = (&dashboard.gateway, &signed_in.caller.0);
    let source = confirmed.source.as_deref();
    let event_id = EventId::from(id.as_str());
    let answer = cancel::event(gateway, who, &event_id, source, uri.path()).await?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let source = source.map_or_else(String::new, |source| format!("source={}&", encoded(source)));
    let (id, result) = (encoded(&id), answer.result.as_str());
    Ok(Redirect::to(&format!("/events/{id}?{source}cancel={result}")).into_response())
}

/// Cancels a delivery.
pub(crate) async fn delivery(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    OriginalUri(uri): OriginalUri,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, PageError> {
    signed_in.check_form(&confirmed.csrf)?;
    signed_in.check_role(Role::Operator)?;
    let id = DeliveryId(id?.0);
    let answer = cancel::delivery(&dashboard.gateway, &signed_in.caller.0, id, uri.path()).await?;
    let result = answer.result.as_str();
    Ok(Redirect::to(&format!("/deliveries/{id}?cancel={result}")).into_response())
}
