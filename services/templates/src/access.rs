//! Access. The layer in front of the routes authenticates the caller; the routes check its permissions.

use axum::{
    Router,
    extract::{FromRequestParts, Request},
    http::{header, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use carillon_domain::TenantId;
use carillon_runtime::{
    Secret,
    http::{Problem, ProblemKind, one_authorization},
};
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;

/// The header in which a role of Carillon names the tenant of the templates; `default` without it.
pub const TENANT_HEADER: &str = "carillon-tenant";

/// The caller: an extension of the request, inserted by the layer that authenticated it. Without it, all routes
/// answer 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateCaller {
    /// A role of Carillon, which may act for any tenant.
    Service,
    /// A tenant's API key.
    Tenant {
        /// The tenant of the key.
        tenant: TenantId,
        /// The reason for which it may not change templates, if it may not.
        refusal: Option<String>,
    },
}

/// The tenant whose templates may be read.
#[derive(Debug)]
pub(crate) struct Reads(pub(crate) TenantId);

/// The tenant whose templates may be changed.
#[derive(Debug)]
pub(crate) struct Writes(pub(crate) TenantId);

impl<S: Sync> FromRequestParts<S> for TemplateCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(ProblemKind::Unauthorized, "expected an API key"))
    }
}

impl<S: Sync> FromRequestParts<S> for Reads {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match TemplateCaller::from_request_parts(parts, state).await? {
            TemplateCaller::Service => Ok(Self(tenant_header(parts))),
            TemplateCaller::Tenant { tenant, .. } => Ok(Self(tenant)),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Writes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match TemplateCaller::from_request_parts(parts, state).await? {
            TemplateCaller::Service => Ok(Self(tenant_header(parts))),
            TemplateCaller::Tenant {
                tenant,
                refusal: None,
            } => Ok(Self(tenant)),
            TemplateCaller::Tenant {
                refusal: Some(text), ..
            } => Err(Problem::new(ProblemKind::Forbidden, text)),
        }
    }
}

fn tenant_header(parts: &Parts) -> TenantId {
    let header = parts
        .headers
        .get(TENANT_HEADER)
        .and_then(|value| value.to_str().ok());
    header.map(TenantId::from).unwrap_or_default()
}

/// Admits requests with the token, as [`TemplateCaller::Service`].
pub(crate) fn behind_token(router: Router, token: Secret) -> Router {
    router.layer(from_fn(move |request, next| admit(token.clone(), request, next)))
}

async fn admit(token: Secret, mut request: Request, next: Next) -> Response {
    if let Err(problem) = one_authorization(request.headers()) {
        return problem.into_response();
    }
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if !bool::from(given.ct_eq(token.expose_secret().as_bytes())) {
        return Problem::new(ProblemKind::Unauthorized, "expected the internal token").into_response();
    }
    request.extensions_mut().insert(TemplateCaller::Service);
    next.run(request).await
}
