//! Calls of the routes under `/v1` by pages, within the process: a page that changes what another crate's routes change has
//! their checks, their conditions and their entries in the audit log.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use carillon_runtime::http::{Problem, ProblemError, ProblemKind};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{page::PageError, session::SignedIn};
use crate::error::ApiError;

/// The largest answer that a page reads, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// A request of a signed-in user.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// The entity tag that must be the present one.
    pub(super) if_match: Option<&'a str>,
    pub(super) body: Option<Value>,
}

/// An answer of success: its entity tag and its document.
pub(super) struct Answered<T> {
    pub(super) etag: Option<String>,
    pub(super) document: T,
}

/// An answer that is a problem.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    pub(super) errors: Vec<ProblemError>,
}

impl From<Refused> for PageError {
    fn from(refused: Refused) -> Self {
        let kind = match refused.status {
            StatusCode::NOT_FOUND => ProblemKind::NotFound,
            StatusCode::FORBIDDEN => ProblemKind::Forbidden,
            StatusCode::PRECONDITION_FAILED => ProblemKind::PreconditionFailed,
            StatusCode::TOO_MANY_REQUESTS => ProblemKind::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => ProblemKind::Unavailable,
            status if status.is_client_error() => ProblemKind::Validation,
            _ => ProblemKind::Internal,
        };
        Problem::new(kind, refused.detail)
            .with_errors(refused.errors)
            .into()
    }
}

/// The members of a problem document that pages show.
#[derive(Debug, Deserialize)]
struct ProblemDocument {
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<ErrorDocument>,
}

#[derive(Debug, Deserialize)]
struct ErrorDocument {
    pointer: String,
    code: String,
    message: String,
}

/// Calls a route as the signed-in user. The outer error is a fault; the inner one is the route's refusal.
pub(super) async fn call<T: DeserializeOwned>(
    api: &Router,
    signed_in: &SignedIn,
    call: Call<'_>,
) -> Result<Result<Answered<T>, Refused>, PageError> {
    let mut request = Request::builder().method(call.method).uri(call.path);
    if let Some(etag) = call.if_match {
        request = request.header(header::IF_MATCH, etag);
    }
    let body = match call.body {
        None => Body::empty(),
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        }
    };
    // A form may hold anything, and its values are in the path.
    let mut request = request.body(body).map_err(|_| ApiError::not_found("template"))?;
    request.extensions_mut().insert(signed_in.caller.0.clone());
    let Ok(response) = api.clone().oneshot(request).await;
    let status = response.status();
    let etag = response.headers().get(header::ETAG);
    let etag = etag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let bytes = to_bytes(response.into_body(), MAX_ANSWER)
        .await
        .map_err(|_| unreadable())?;
    if status.is_success() {
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let document = serde_json::from_slice(text).map_err(|_| unreadable())?;
        return Ok(Ok(Answered { etag, document }));
    }
    let problem: ProblemDocument = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    let errors = problem.errors.into_iter().map(|error| ProblemError {
        pointer: error.pointer,
        code: error.code,
        message: error.message,
    });
    Ok(Err(Refused {
        status,
        detail: problem.detail,
        errors: errors.collect(),
    }))
}

fn unreadable() -> PageError {
    Problem::new(ProblemKind::Internal, "the answer of a route could not be read").into()
}
