//! Twilio's errors: `{code, message, more_info, status}`.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::faults::Answer;
use crate::http::send::with_retry_after;

/// One of Twilio's errors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TwilioError {
    pub(super) status: u16,
    pub(super) code: u32,
    pub(super) message: Cow<'static, str>,
}

pub(super) const UNAUTHENTICATED: TwilioError = TwilioError::new(401, 20_003, "Authenticate");
pub(super) const NOT_FOUND: TwilioError =
    TwilioError::new(404, 20_404, "The requested resource was not found");

impl TwilioError {
    pub(super) const fn new(status: u16, code: u32, message: &'static str) -> Self {
        Self {
            status,
            code,
            message: Cow::Borrowed(message),
        }
    }
}

impl IntoResponse for TwilioError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status,
        });
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"Twilio API\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// The error of a fault script.
pub(super) fn scripted(answer: &Answer) -> Response {
    let usual = match answer.status {
        401 => 20_003,
        404 => 20_404,
        429 => 20_429,
        503 => 20_503,
        500..=599 => 20_500,
        _ => 20_001,
    };
    let code = answer
        .code
        .as_deref()
        .and_then(|code| code.parse().ok())
        .unwrap_or(usual);
    let message = match code {
        20_003 => "Authenticate",
        20_429 => "Too Many Requests",
        20_500 => "An internal server error has occurred",
        20_503 => "Service Unavailable",
        _ => "The request could not be processed",
    };
    with_retry_after(
        TwilioError::new(answer.status, code, message).into_response(),
        answer.retry_after.as_deref(),
    )
}
