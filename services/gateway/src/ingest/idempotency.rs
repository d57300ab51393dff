//! `Idempotency-Key`: a repeated request gets the whole answer of the first one for 24 hours. An answer that depends
//! on users, the catalog or the time is not stored, because these may change; nothing was published for the events
//! that it refuses.

use std::{future::Future, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use carillon_domain::{
    TenantId, Timestamp,
    clock::later,
    event::{MediaType, TRACE_ATTRIBUTES},
    field_error::quoted,
};
use carillon_runtime::http::{Passing, Problem, ProblemKind};
use carillon_store::{
    Lease,
    idempotency::{Begin, IdempotentRequest, StoredResponse},
};
use sha2::{Digest as _, Sha256};
use tracing::Instrument as _;
use uuid::Uuid;

use super::attributes;
use crate::{error::ApiError, state::GatewayState};

const HEADER: &str = "idempotency-key";
/// The time after which a request that never ended gives up its key.
const LEASE: Duration = Duration::from_mins(1);

/// Whether a repeat of the request may be answered otherwise, judged by the status.
pub(crate) fn is_passing(status: u16) -> bool {
    status >= 500 || matches!(status, 409 | 429)
}

/// The key, if the request has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let name = HeaderName::from_static(HEADER);
    if !headers.contains_key(&name) {
        return Ok(None);
    }
    let value = attributes::only(headers, &name)?;
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    // The key may become an event's id, so the rule for ids applies. (A tab is a control character.)
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        let given = String::from_utf8_lossy(value.as_bytes());
        let expected = format!(
            "expected 1 to 255 visible ASCII characters, not {}",
            quoted(&given)
        );
        let malformed = attributes::wrong(&name, "format", &expected);
        let problem = Problem::new(ProblemKind::Validation, malformed.detail);
        return Err(problem.with_errors(malformed.errors).into());
    }
    Ok(Some(text.to_owned()))
}

/// A request with a key.
#[derive(Debug)]
pub(crate) struct Keyed {
    tenant: TenantId,
    /// Method and path.
    route: String,
    key: String,
    fingerprint: [u8; 32],
    lease: Lease,
}

impl Keyed {
    /// A request with its decoded body, which begins now.
    pub(crate) fn new(tenant: &TenantId, key: String, parts: &Parts, body: &[u8], now: Timestamp) -> Self {
        Self {
            lease: Lease {
                owner: Uuid::now_v7(),
                until: later(now, LEASE),
            },
            tenant: tenant.clone(),
            route: format!("{} {}", parts.method, parts.uri.path()),
            key,
            fingerprint: fingerprint(parts, body),
        }
    }

    fn request(&self) -> IdempotentRequest<'_> {
        IdempotentRequest {
            tenant: &self.tenant,
            route: &self.route,
            key: &self.key,
            fingerprint: self.fingerprint,
            lease: self.lease,
        }
    }
}

/// SHA-256 of the request: method, path, media type, the attributes in its headers (without those of its trace), and
/// its body.
fn fingerprint(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(parts.method.as_str().as_bytes());
    part(parts.uri.path().as_bytes());
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    part(
        MediaType::parse(content_type.unwrap_or_default())
            .essence()
            .as_bytes(),
    );
    let mut attributes: Vec<(&str, &[u8])> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value.as_bytes())))
        .filter(|(name, _)| !TRACE_ATTRIBUTES.contains(name))
        .collect();
    attributes.sort_unstable();
    for (name, value) in attributes {
        part(name.as_bytes());
        part(value);
    }
    part(body);
    hasher.finalize().into()
}

/// Returns the answer to the first request with this key, or carries out the work. Work that has begun runs to its
/// end even if the client leaves, so that a repeat finds its answer.
pub(crate) async fn replayed(
    state: GatewayState,
    keyed: Keyed,
    work: impl Future<Output = Result<Response, ApiError>> + Send + 'static,
) -> Result<Response, ApiError> {
    let task = async move { first_or_again(&state, &keyed, work).await };
    match tokio::spawn(task.in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ApiError::new(ProblemKind::Unavailable, "the gateway is stopping")),
        },
    }
}

async fn first_or_again(
    state: &GatewayState,
    keyed: &Keyed,
    work: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let request = keyed.request();
    match state.store.idempotency().begin(&request).await? {
        Begin::Replay(answer) => return Ok(again(answer)),
        Begin::InProgress => {
            let problem = Problem::new(
                ProblemKind::InProgress,
                "the first request of this key is still at work",
            );
            return Err(problem.with_retry_after(Duration::from_secs(1)).into());
        }
        Begin::Conflict => {
            let text = "the Idempotency-Key was used with another request: its method, path, media type, ce- headers or \
                        body differ";
            return Err(ApiError::new(ProblemKind::IdempotencyConflict, text));
        }
        Begin::Fresh => {}
    }
    let response = work.await.unwrap_or_else(IntoResponse::into_response);
    let (parts, body) = response.into_parts();
    let body = carillon_runtime::http::read_capped(body, 16 << 20).await?;
    let is_passing = parts.extensions.get::<Passing>().is_some() || is_passing(parts.status.as_u16());
    if is_passing {
        state.store.idempotency().abandon(&request).await?;
    } else {
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let answer = StoredResponse {
            status: parts.status.as_u16(),
            content_type: content_type.unwrap_or("application/json").to_owned(),
            body: body.to_vec(),
        };
        state.store.idempotency().finish(&request, &answer).await?;
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn again(answer: StoredResponse) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    if let Ok(value) = HeaderValue::from_str(&answer.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
        .headers_mut()
        .insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}
