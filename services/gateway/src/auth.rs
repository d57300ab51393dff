//! Authentication. A handler learns the tenant only through a [`Caller`] or a type like it, so none can omit the
//! check.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use carillon_domain::TenantId;
use carillon_runtime::http::ProblemKind;
use carillon_store::api_keys::{Principal, Role};

use crate::error::ApiError;

/// The holder of a valid API key of any role; every role may read.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

/// A caller with the role operator or admin, who may send events and change users.
#[derive(Debug, Clone)]
pub struct Operator(pub Principal);

/// A caller with the role admin, who may change the catalog, templates and keys.
#[derive(Debug, Clone)]
pub(crate) struct Admin(pub(crate) Principal);

/// A caller of the operator's own tenant, `default`, the only one whose callers see data of the whole installation.
#[derive(Debug, Clone)]
pub(crate) struct OfInstallation;

impl Caller {
    /// Whether the caller sees data of the whole installation, not only of the own tenant.
    #[must_use]
    pub fn is_of_installation(&self) -> bool {
        self.0.tenant == TenantId::default()
    }

    /// The tenant whose data the caller sees.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }
}

impl Operator {
    /// The tenant whose data the caller changes.
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

/// The caller that [`crate::admission::admit`] authenticated.
fn principal(parts: &Parts, needed: Role) -> Result<Principal, ApiError> {
    let Some(principal) = parts.extensions.get::<Principal>() else {
        let text = match secret(&parts.headers) {
            Some(_) => "the API key is unknown or revoked",
            None => "expected Authorization: Bearer <API key>",
        };
        return Err(ApiError::new(ProblemKind::Unauthorized, text));
    };
    check_role(principal, needed)?;
    Ok(principal.clone())
}

/// Refuses keys whose role does not include the needed one.
pub(crate) fn check_role(principal: &Principal, needed: Role) -> Result<(), ApiError> {
    if principal.role >= needed {
        return Ok(());
    }
    let text = format!(
        "this needs the role {needed}; the key has the role {}",
        principal.role
    );
    Err(ApiError::new(ProblemKind::Forbidden, text))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        principal(parts, Role::Viewer).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        principal(parts, Role::Operator).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        principal(parts, Role::Admin).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfInstallation {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
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
