//! `POST /reveal`: an admin reveals the hidden values of a page.

use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{Dashboard, page::PageError, session::SignedIn, sign_in::local};
use crate::privacy::Sight;

#[derive(Deserialize)]
pub(crate) struct Asked {
    csrf: String,
    page: String,
}

/// Notes the reveal in the audit log and redirects to the page, which shows the values for five minutes.
pub(crate) async fn reveal(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Form(asked): Form<Asked>,
) -> Result<Response, PageError> {
    signed_in.check_form(&asked.csrf)?;
    let page = local(&asked.page);
    Sight::reveal(&dashboard.gateway, &signed_in.caller, page).await?;
    dashboard.sessions.reveal(&signed_in.token, page);
    Ok(Redirect::to(page).into_response())
}
