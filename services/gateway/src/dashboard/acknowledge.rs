//! `/deliveries/{id}/acknowledge`: the button with which a person says that the recipient has seen a message. The page then
//! shows the result.

use axum::{
    Form,
    extract::{OriginalUri, State},
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_domain::{DeliveryId, DeliveryStatus};
use carillon_store::api_keys::Role;
use serde::Deserialize;

use super::{Dashboard, page::PageError, session::SignedIn};
use crate::{
    acknowledge::{self, AcknowledgeResult},
    error::ApiError,
    input::Id,
};

#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    csrf: String,
}

/// Whether a message of a delivery with this status may have been seen, and is not known to be.
pub(super) fn may_be_seen(status: DeliveryStatus) -> bool {
    use DeliveryStatus as S;
    matches!(
        status,
        S::Sending | S::Retrying | S::Uncertain | S::Sent | S::Delivered
    )
}

/// The result as a sentence.
pub(super) fn sentence(result: AcknowledgeResult) -> &'static str {
    match result {
        AcknowledgeResult::Acknowledged => {
            "It was acknowledged: the recipient has seen it. Messages that would have followed it are stopped."
        }
        AcknowledgeResult::AlreadyAcknowledged => "It had been acknowledged before.",
        AcknowledgeResult::NotSent => {
            "No message has gone out, so none can have been seen. Nothing was acknowledged."
        }
    }
}

/// Acknowledges a delivery.
pub(crate) async fn acknowledge(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    OriginalUri(uri): OriginalUri,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, PageError> {
    signed_in.check_form(&confirmed.csrf)?;
    signed_in.check_role(Role::Operator)?;
    let id = DeliveryId(id?.0);
    let (gateway, who) = (&dashboard.gateway, &signed_in.caller.0);
    let answer = acknowledge::acknowledge(gateway, who, id, uri.path()).await?;
    let result: &str = answer.result.into();
    Ok(Redirect::to(&format!("/deliveries/{id}?acknowledge={result}")).into_response())
}
