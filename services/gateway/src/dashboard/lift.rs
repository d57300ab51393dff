//! `/users/{id}/lift`: the button that takes an address of a user from the suppression list.

use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_domain::UserId;
use carillon_runtime::http::Path;
use carillon_store::api_keys::Role;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{Dashboard, page::PageError, session::SignedIn, user::contacts};
use crate::error::ApiError;

/// The form. Addresses are masked on the page, so it names one by its place, and the masked address shows that the place is
/// still that of the same address.
#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    csrf: String,
    place: usize,
    masked: String,
}

/// Lifts the entry. It may be lifted already.
pub(crate) async fn lift(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, PageError> {
    signed_in.check_form(&confirmed.csrf)?;
    signed_in.check_role(Role::Operator)?;
    let (store, who) = (&dashboard.gateway.store, &signed_in.caller.0);
    let id = UserId::from(id);
    let user = store.users().get(&who.tenant, &id).await?;
    let user = user.ok_or_else(|| ApiError::no_user(&id))?.value;
    let contact = contacts(user).into_iter().nth(confirmed.place);
    let contact = contact.filter(|contact| contact.masked() == confirmed.masked);
    let result = match contact {
        None => "stale",
        Some(contact) => {
            let suppressions = store.suppressions();
            let (channel, address) = (contact.channel, contact.address.as_str());
            if suppressions.lift(who, channel, address, None).await? {
                "lifted"
            } else {
                "not_listed"
            }
        }
    };
    let id = utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC);
    Ok(Redirect::to(&format!("/users/{id}?result={result}")).into_response())
}
