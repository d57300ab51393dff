//! Who is asking. A handler that does not name a [`Caller`] cannot know a tenant, so nobody forgets it.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use carillon_domain::TenantId;
use carillon_runtime::http::ProblemKind;
use carillon_store::api_keys::{Principal, Role};

use crate::{error::ApiError, state::GatewayState};

/// Whoever holds a valid API key; any role may read.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

/// A caller who may send and change users: operators and admins.
#[derive(Debug, Clone)]
pub struct Operator(pub Principal);

/// A caller who may change the catalog, templates and keys.
#[derive(Debug, Clone)]
pub(crate) struct Admin(pub(crate) Principal);

/// A caller of the operator's own tenant, `default`: the only ones who see what concerns the whole installation.
#[derive(Debug, Clone)]
pub(crate) struct OfInstallation;

impl Caller {
    /// Whether they see what concerns the whole installation, and not their tenant alone.
    #[must_use]
    pub fn is_of_installation(&self) -> bool {
        self.0.tenant == TenantId::default()
    }

    /// Whose data they see.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }
}

impl Operator {
    /// Whose data they change.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }
}

impl Admin {
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }
}

/// The API key's secret in the request's headers.
pub(crate) fn secret(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let secret = value
        .strip_prefix("Bearer ")
        .or_else(|| value.strip_prefix("bearer "))?;
    Some(secret.trim())
}

/// The caller that [`crate::limits::admit`] authenticated.
fn principal(parts: &Parts, needed: Role) -> Result<Principal, ApiError> {
    let Some(principal) = parts.extensions.get::<Principal>() else {
        let text = match secret(&parts.headers) {
            Some(_) => "the API key is unknown or revoked",
            None => "expected Authorization: Bearer <API key>",
        };
        return Err(ApiError::new(ProblemKind::Unauthorized, text));
    };
    if principal.role < needed {
        let text = format!("this needs the role {needed}; the key is a {}'s", principal.role);
        return Err(ApiError::new(ProblemKind::Forbidden, text));
    }
    Ok(principal.clone())
}

impl FromRequestParts<GatewayState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &GatewayState) -> Result<Self, ApiError> {
        principal(parts, Role::Viewer).map(Self)
    }
}

impl FromRequestParts<GatewayState> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &GatewayState) -> Result<Self, ApiError> {
        principal(parts, Role::Operator).map(Self)
    }
}

impl FromRequestParts<GatewayState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &GatewayState) -> Result<Self, ApiError> {
        principal(parts, Role::Admin).map(Self)
    }
}

impl FromRequestParts<GatewayState> for OfInstallation {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &GatewayState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.is_of_installation() {
            return Ok(Self);
        }
        let text = format!(
            "this concerns the whole installation; it needs a key of the tenant {}, and the key is of another",
            TenantId::default()
        );
        Err(ApiError::new(ProblemKind::Forbidden, text))
    }
}
