//! Problem documents (RFC 9457) of the simulator's own API. Errors of the providers have the providers' formats.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::SimulatorError;
use crate::faults::InvalidField;

/// An error of the API.
#[derive(Debug)]
pub(crate) enum Problem {
    MalformedJson,
    Validation(Vec<InvalidField>),
    NotFound,
    Unavailable,
}

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
    errors: Vec<InvalidField>,
}

impl Problem {
    /// A query parameter that cannot be read.
    pub(crate) fn parameter(name: &str, message: &str) -> Self {
        Self::Validation(vec![InvalidField {
            pointer: format!("/{name}"),
            code: "malformed",
            message: message.to_owned(),
        }])
    }
}

impl From<SimulatorError> for Problem {
    fn from(error: SimulatorError) -> Self {
        if let SimulatorError::InvalidFaults(fields) = error {
            return Self::Validation(fields);
        }
        tracing::error!(error = %error, "the simulator's API could not use its store");
        Self::Unavailable
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title, detail) = match self {
            Self::MalformedJson => (
                StatusCode::BAD_REQUEST,
                "malformed-json",
                "Malformed JSON",
                "The body is not JSON.",
            ),
            Self::Validation(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "validation",
                "Invalid request",
                "At least one field cannot be taken; each is named under errors.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "Not found",
                "There is nothing here.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Unavailable",
                "The simulator's memory cannot be used now; its log says why.",
            ),
        };
        let errors = if let Self::Validation(fields) = self {
            fields
        } else {
            Vec::new()
        };
        let kind = format!("https://carillon.dev/problems/{slug}");
        let body = Body {
            kind,
            title,
            status: status.as_u16(),
            detail,
            errors,
        };
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
