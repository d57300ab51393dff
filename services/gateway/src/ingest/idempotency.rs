//! `Idempotency-Key`: the whole answer of the first request is given again (24 h).

use std::{future::Future, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use carillon_domain::TenantId;
use carillon_runtime::http::{Problem, ProblemKind};
use carillon_store::idempotency::{Answer, Begin, IdempotentRequest};
use sha2::{Digest as _, Sha256};

use crate::{error::ApiError, state::GatewayState};

const HEADER: &str = "idempotency-key";
/// After this long a request that never ended does not hold its key any more.
const LEASE: Duration = Duration::from_mins(1);

/// Marks an answer that may be another one next time, although its status says nothing of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing;

/// Whether the same request may be answered otherwise next time.
pub(crate) fn is_passing(status: u16) -> bool {
    status >= 500 || matches!(status, 409 | 429)
}

/// The key, if the request has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    // It may become an event's id, whose rule holds for it too. (A tab is a control character.)
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err(ApiError::new(
            ProblemKind::Validation,
            "Idempotency-Key: expected 1 to 255 visible characters",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// Answers as the first request of this key was answered, or does the work. The work gets the key.
pub(crate) async fn replayed<F: Future<Output = Result<Response, ApiError>>>(
    state: &GatewayState,
    tenant: &TenantId,
    headers: &HeaderMap,
    body: &[u8],
    work: impl FnOnce(Option<String>) -> F,
) -> Result<Response, ApiError> {
    let Some(key) = key(headers)? else {
        return work(None).await;
    };
    let fingerprint = Sha256::digest(body).into();
    let request = IdempotentRequest {
        tenant,
        route: "POST /v1/events",
        key: &key,
        fingerprint,
    };
    match state.store.idempotency().begin(&request, LEASE).await? {
        Begin::Replay(answer) => return Ok(again(answer)),
        Begin::InProgress => {
            let problem = Problem::new(
                ProblemKind::InProgress,
                "the first request of this key is still at work",
            );
            return Err(problem.with_retry_after(Duration::from_secs(1)).into());
        }
        Begin::Conflict => {
            let text = "the Idempotency-Key was used with another body";
            return Err(ApiError::new(ProblemKind::IdempotencyConflict, text));
        }
        Begin::Fresh => {}
    }
    let response = work(Some(key.clone()))
        .await
        .unwrap_or_else(IntoResponse::into_response);
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
        let answer = Answer {
            status: parts.status.as_u16(),
            content_type: content_type.unwrap_or("application/json").to_owned(),
            body: body.to_vec(),
        };
        state.store.idempotency().finish(&request, &answer).await?;
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn again(answer: Answer) -> Response {
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
