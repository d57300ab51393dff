//! FCM's errors, in Google's format.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::faults::Answer;
use crate::http::send::with_retry_after;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
/// The `Retry-After` of quota errors and outages, in seconds.
const PAUSE: &str = "1";
const QUOTA_FAILURE: &str = "type.googleapis.com/google.rpc.QuotaFailure";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// An error in Google's format.
#[derive(Debug)]
pub(super) struct FcmError {
    status: u16,
    canonical: &'static str,
    message: String,
    details: Vec<Value>,
    retry_after: Option<String>,
}

impl IntoResponse for FcmError {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.status, "message": self.message, "status": self.canonical });
        if !self.details.is_empty() {
            error["details"] = Value::from(self.details);
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        with_retry_after(
            (status, Json(json!({ "error": error }))).into_response(),
            self.retry_after.as_deref(),
        )
    }
}

/// The bearer token is missing, unknown or expired. This error has no `FcmError`, unlike the 401 of a third party.
pub(super) fn unauthenticated() -> FcmError {
    let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                   other valid authentication credential. See \
                   https://developers.google.com/identity/sign-in/web/devconsole-project.";
    error(401, message, "UNAUTHENTICATED", Vec::new())
}

/// The body does not fit the method. This error has no `FcmError`, because Google's front end refuses the request.
pub(super) fn invalid_body(message: &str, field: &str) -> FcmError {
    let violations = json!({
        "@type": BAD_REQUEST,
        "fieldViolations": [{ "field": field, "description": message }],
    });
    error(400, message, "INVALID_ARGUMENT", vec![violations])
}

/// FCM refuses the content of the message. Not all such errors name a field.
pub(super) fn invalid_content(message: &str, field: Option<&str>) -> FcmError {
    let mut details = vec![detail("INVALID_ARGUMENT")];
    details.extend(field.map(|field| {
        json!({
            "@type": BAD_REQUEST,
            "fieldViolations": [{ "field": field, "description": message }],
        })
    }));
    error(400, message, "INVALID_ARGUMENT", details)
}

/// An error with an FCM error code, and the name in its details. Quota errors and outages ask for a pause of
/// one second.
pub(super) fn fcm_error(code: &str, field: Option<&str>) -> FcmError {
    let (status, canonical, message) = match code {
        "UNREGISTERED" => (404, "NOT_FOUND", "Requested entity was not found."),
        "INVALID_ARGUMENT" if field == Some("message.token") => (
            400,
            "INVALID_ARGUMENT",
            "The registration token is not a valid FCM registration token",
        ),
        "INVALID_ARGUMENT" => (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
        "SENDER_ID_MISMATCH" => (403, "PERMISSION_DENIED", "SenderId mismatch"),
        "THIRD_PARTY_AUTH_ERROR" => (401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
        "QUOTA_EXCEEDED" => (
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted (e.g. check quota).",
        ),
        "UNAVAILABLE" => (503, "UNAVAILABLE", "The service is currently unavailable."),
        _ => (500, "INTERNAL", "Internal error encountered."),
    };
    let retry_after = matches!(code, "QUOTA_EXCEEDED" | "UNAVAILABLE").then(|| PAUSE.to_owned());
    let mut details = vec![detail(code)];
    details.extend(field.and_then(|name| match code {
        "INVALID_ARGUMENT" => Some(json!({
            "@type": BAD_REQUEST,
            "fieldViolations": [{ "field": name, "description": message }],
        })),
        "QUOTA_EXCEEDED" => Some(json!({
            "@type": QUOTA_FAILURE,
            "violations": [{ "subject": name, "description": message }],
        })),
        _ => None,
    }));
    FcmError {
        retry_after,
        ..error(status, message, canonical, details)
    }
}

/// The error of a fault script. The code determines the message; the status is the script's.
pub(super) fn scripted(answer: &Answer) -> Response {
    let code = answer.code.as_deref().unwrap_or(match answer.status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "SENDER_ID_MISMATCH",
        404 => "UNREGISTERED",
        429 => "QUOTA_EXCEEDED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    });
    let mut failure = if code == "UNAUTHENTICATED" {
        unauthenticated()
    } else {
        fcm_error(code, answer.field.as_deref())
    };
    if failure.status != answer.status {
        // The status does not belong to the code: an error of the front end, without a meaningful body.
        failure = error(
            answer.status,
            "The request failed.",
            "UNKNOWN",
            vec![detail(code)],
        );
    }
    failure.retry_after.clone_from(&answer.retry_after);
    failure.into_response()
}

fn detail(code: &str) -> Value {
    json!({ "@type": FCM_ERROR, "errorCode": code })
}

fn error(status: u16, message: &str, canonical: &'static str, details: Vec<Value>) -> FcmError {
    FcmError {
        status,
        canonical,
        message: message.to_owned(),
        details,
        retry_after: None,
    }
}
