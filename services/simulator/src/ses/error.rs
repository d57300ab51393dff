//! SES's errors: the type in a header, and `{"message"}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::faults::Answer;
use crate::http::send::with_retry_after;

/// The header with an error's type.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// One of SES's errors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SesError {
    status: u16,
    kind: String,
    message: String,
}

impl SesError {
    pub(super) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequestException", message)
    }

    pub(super) fn rejected(message: impl Into<String>) -> Self {
        Self::new(400, "MessageRejected", message)
    }

    pub(super) fn forbidden(kind: &str, message: impl Into<String>) -> Self {
        Self::new(403, kind, message)
    }
}

impl IntoResponse for SesError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json!({ "message": self.message }))).into_response();
        if let Ok(kind) = HeaderValue::from_str(&self.kind) {
            response.headers_mut().insert(ERROR_TYPE, kind);
        }
        response
    }
}

/// The error of a fault script.
pub(super) fn scripted(answer: &Answer) -> Response {
    let usual = match answer.status {
        403 => "AccessDeniedException",
        404 => "NotFoundException",
        413 => "RequestEntityTooLargeException",
        429 => "TooManyRequestsException",
        503 => "ServiceUnavailableException",
        500..=599 => "InternalServiceErrorException",
        _ => "BadRequestException",
    };
    let kind = answer.code.as_deref().unwrap_or(usual);
    let error = SesError::new(answer.status, kind, "The request could not be processed.");
    with_retry_after(error.into_response(), answer.retry_after.as_deref())
}
