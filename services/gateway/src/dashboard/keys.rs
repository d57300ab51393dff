//! `/keys`: the tenant's API keys, which admins see and revoke.

use askama::Template;
use axum::{
    Form,
    extract::{OriginalUri, State},
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_store::api_keys::{ApiKeyInfo, Role};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::{Id, Query},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    /// The key that a form has revoked.
    revoked: Option<Uuid>,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Option<Frame>,
    keys: Vec<ApiKeyInfo>,
    /// The key of this session.
    own: Uuid,
    /// The name of the key that was revoked.
    revoked: Option<String>,
}

/// Renders the page.
pub(crate) async fn list(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let Asked { revoked } = asked?.0;
    signed_in.check_role(Role::Admin)?;
    let keys = dashboard.gateway.store.api_keys();
    let keys = keys.list(signed_in.caller.tenant()).await?;
    let is_revoked = |key: &&ApiKeyInfo| Some(key.id) == revoked && key.revoked_at.is_some();
    Ok(render(&KeysPage {
        frame: Some(signed_in.frame(NavSection::Keys)),
        revoked: keys.iter().find(is_revoked).map(|key| key.name.clone()),
        own: signed_in.caller.0.key_id,
        keys,
    }))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    csrf: String,
}

/// Revokes a key. The audit log gets an entry.
pub(crate) async fn revoke(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    OriginalUri(uri): OriginalUri,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, PageError> {
    signed_in.check_form(&confirmed.csrf)?;
    signed_in.check_role(Role::Admin)?;
    let id = id?.0;
    let keys = dashboard.gateway.store.api_keys();
    if !keys.revoke_as(&signed_in.caller.0, id, uri.path()).await? {
        return Err(ApiError::not_found("API key that is in force").into());
    }
    Ok(Redirect::to(&format!("/keys?revoked={id}")).into_response())
}
