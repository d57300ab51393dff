//! `/deliveries/{id}`: a delivery with its timeline and the content of its message.

use askama::Template;
use axum::{
    extract::State,
    http::header,
    response::{Html, IntoResponse, Response},
};
use carillon_domain::DeliveryId;
use carillon_render::Content;
use carillon_store::{
    api_keys::Role,
    read_model::{DeliveryView, StepView},
};
use serde::Deserialize;

use super::{
    Dashboard,
    acknowledge::{may_be_seen, sentence as acknowledge_sentence},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    acknowledge::AcknowledgeResult,
    api::deliveries::{DeliveryDocument, find},
    cancel::CancelResult,
    error::ApiError,
    input::{Id, NoQuery, Query},
};

/// The content security policy of a message's HTML, which is foreign: no scripts, no forms, no loading, no navigation
/// out of its frame.
const MESSAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; sandbox";

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Option<Frame>,
    item: DeliveryView,
    timeline: Vec<StepView>,
    content: Option<Content>,
    may_cancel: bool,
    may_acknowledge: bool,
    /// The result of a cancellation or an acknowledgement, as a sentence.
    said: Option<&'static str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    /// The result of a cancellation that led here.
    cancel: Option<CancelResult>,
    /// The result of an acknowledgement that led here.
    acknowledge: Option<AcknowledgeResult>,
}

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let Asked { cancel, acknowledge } = asked?.0;
    let DeliveryDocument {
        delivery,
        timeline,
        content,
        masked: _,
    } = find(
        &dashboard.gateway,
        &signed_in.caller,
        signed_in.sight,
        DeliveryId(id?.0),
        None,
    )
    .await?;
    Ok(render(&DeliveryPage {
        // Right after a button was pressed, the read model may not show its effect yet.
        may_cancel: !delivery.status.is_ended() && cancel.is_none() && signed_in.role() >= Role::Operator,
        may_acknowledge: may_be_seen(delivery.status)
            && acknowledge.is_none()
            && signed_in.role() >= Role::Operator,
        said: acknowledge
            .map(acknowledge_sentence)
            .or(cancel.map(CancelResult::sentence)),
        frame: Some(signed_in.frame(NavSection::Deliveries)),
        item: delivery,
        timeline,
        content,
    }))
}

/// The HTML of an e-mail, for the frame in the page.
pub(crate) async fn message(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    asked: Result<NoQuery, ApiError>,
) -> Result<Response, PageError> {
    let NoQuery = asked?;
    let document = find(
        &dashboard.gateway,
        &signed_in.caller,
        signed_in.sight,
        DeliveryId(id?.0),
        None,
    )
    .await?;
    match document.content {
        Some(Content::Email { html: Some(html), .. }) => {
            Ok(([(header::CONTENT_SECURITY_POLICY, MESSAGE_POLICY)], Html(html)).into_response())
        }
        _ => Err(ApiError::not_found("HTML of this delivery").into()),
    }
}
