//! SendGrid's errors: `{"errors": [{message, field, help}]}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::clock;
use crate::faults::Answer;
use crate::http::send::with_retry_after;

/// One of SendGrid's errors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SendGridError {
    status: u16,
    field: Option<String>,
    message: String,
}

impl SendGridError {
    pub(super) fn new(status: u16, field: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            status,
            field: field.map(str::to_owned),
            message: message.into(),
        }
    }

    /// A 400 for a field.
    pub(super) fn of(field: impl AsRef<str>, message: impl Into<String>) -> Self {
        Self::new(400, Some(field.as_ref()), message)
    }
}

impl IntoResponse for SendGridError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let help = match &self.field {
            Some(_) if self.status == 400 => {
                Value::from("http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html")
            }
            _ => Value::Null,
        };
        let error = json!({"message": self.message, "field": self.field, "help": help});
        (status, Json(json!({ "errors": [error] }))).into_response()
    }
}

/// The error of a fault script. A number of seconds to wait with a 429 is answered as the time at which the rate's period
/// ends, because SendGrid sends no `Retry-After`.
pub(super) fn scripted(answer: &Answer) -> Response {
    let message = match answer.status {
        401 => "The provided authorization grant is invalid, expired, or revoked",
        403 => "access forbidden",
        413 => "Request Entity Too Large",
        429 => "too many requests",
        500..=599 => "Internal server error",
        _ => "Bad Request",
    };
    let error = SendGridError::new(answer.status, answer.field.as_deref(), message);
    let mut response = error.into_response();
    let seconds = answer
        .retry_after
        .as_deref()
        .and_then(|text| text.parse::<i64>().ok());
    match seconds {
        Some(seconds) if answer.status == 429 => {
            // The time is rounded up to a whole second, so that no client retries too early.
            let reset = clock::now().timestamp().saturating_add(1).saturating_add(seconds);
            let headers = response.headers_mut();
            headers.insert("x-ratelimit-limit", HeaderValue::from(600));
            headers.insert("x-ratelimit-remaining", HeaderValue::from(0));
            headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
            response
        }
        _ => with_retry_after(response, answer.retry_after.as_deref()),
    }
}
