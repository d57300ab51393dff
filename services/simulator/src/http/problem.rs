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
    /// The body is not JSON; the place at which it stops being JSON.
    MalformedJson {
        line: usize,
        column: usize,
    },
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
    detail: String,
    errors: Vec<InvalidField>,
}

impl Problem {
    /// A query parameter that cannot be read.
    pub(crate) fn parameter(name: &str, expected: &str, value: &str) -> Self {
        let pointer = format!("/{name}");
        Self::Validation(vec![InvalidField::new(pointer, "malformed", expected, value)])
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
        let (status, slug, title, detail) = match &self {
            Self::MalformedJson { line, column } => (
                StatusCode::BAD_REQUEST,
                "malformed-json",
                "Malformed JSON",
                format!(
                    "expected JSON; the body cannot be read as JSON from line {line}, column {column}, on"
                ),
            ),
            Self::Validation(fields) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "validation",
                "Invalid request",
                told(fields),
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "Not found",
                "There is nothing here.".to_owned(),
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Unavailable",
                "The simulator's memory cannot be used now; its log says why.".to_owned(),
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

/// The first error with its field, and the number of the others.
fn told(fields: &[InvalidField]) -> String {
    let Some((first, others)) = fields.split_first() else {
        return "Invalid request".to_owned();
    };
    let place = if first.pointer.is_empty() {
        "the body"
    } else {
        &first.pointer
    };
    let more = match others.len() {
        0 => String::new(),
        1 => "; there is one more error".to_owned(),
        count => format!("; there are {count} more errors"),
    };
    format!("{place}: {}{more}", first.message)
}
