//! RFC 9457 problem documents with closed types: every error that a client can meet is one of [`ProblemKind`].

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What kind of problem. A new variant does not compile until it has a slug, a status and a title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`describe` says it")]
pub enum ProblemKind {
    MalformedJson,
    Validation,
    UnsupportedMediaType,
    MethodNotAllowed,
    UnknownEventType,
    UnknownUser,
    TooLarge,
    BatchTooLarge,
    TooManyRecipients,
    Unauthorized,
    Forbidden,
    NotFound,
    AmbiguousEvent,
    IdempotencyConflict,
    InProgress,
    PreconditionFailed,
    RateLimited,
    Overloaded,
    Unavailable,
    TemplateInvalid,
    AlreadyFinal,
    Internal,
}

impl ProblemKind {
    fn describe(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::MalformedJson => ("malformed-json", 400, "The body is not JSON"),
            Self::Validation => ("validation", 422, "The input breaks a rule"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", 415, "This media type is not taken here")
            }
            Self::MethodNotAllowed => ("method-not-allowed", 405, "This method is not taken here"),
            Self::UnknownEventType => ("unknown-event-type", 422, "The catalog has no such event type"),
            Self::UnknownUser => ("unknown-user", 422, "No recipient is known"),
            Self::TooLarge => ("too-large", 413, "The body is too large"),
            Self::BatchTooLarge => ("batch-too-large", 413, "The batch has too many items"),
            Self::TooManyRecipients => ("too-many-recipients", 422, "The event has too many recipients"),
            Self::Unauthorized => ("unauthorized", 401, "A valid API key is needed"),
            Self::Forbidden => ("forbidden", 403, "The API key may not do this"),
            Self::NotFound => ("not-found", 404, "There is no such thing"),
            Self::AmbiguousEvent => ("ambiguous-event", 409, "Several sources have an event of this id"),
            Self::IdempotencyConflict => (
                "idempotency-conflict",
                422,
                "The same name stands for other content",
            ),
            Self::InProgress => (
                "in-progress",
                409,
                "The first request of this name is still at work",
            ),
            Self::PreconditionFailed => ("precondition-failed", 412, "Somebody else changed it first"),
            Self::RateLimited => ("rate-limited", 429, "Too many requests"),
            Self::Overloaded => ("overloaded", 503, "Too much is in flight"),
            Self::Unavailable => ("unavailable", 503, "Something that this needs does not answer"),
            Self::TemplateInvalid => ("template-invalid", 422, "The template cannot be published"),
            Self::AlreadyFinal => ("already-final", 409, "It has ended already"),
            Self::Internal => ("internal", 500, "Something went wrong here"),
        }
    }

    /// The last part of the problem's `type`.
    #[must_use]
    pub fn slug(self) -> &'static str {
        self.describe().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.describe().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// A short title, the same for every problem of the kind.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.describe().2
    }
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProblemError {
    /// RFC 6901 pointer into the input.
    #[schema(example = "/recipients/0")]
    pub pointer: String,
    /// A stable code.
    #[schema(example = "required")]
    pub code: String,
    /// What was expected.
    #[schema(example = "expected a user_id, or an inline email or phone")]
    pub message: String,
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `https://carillon.dev/problems/<slug>`.
    #[serde(rename = "type")]
    #[schema(example = "https://carillon.dev/problems/validation")]
    pub type_uri: String,
    /// The kind's title.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// Which fields are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemError>,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of a kind; `detail` is for people and never holds a provider's or database's own text.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("https://carillon.dev/problems/{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Names the wrong fields.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<ProblemError>) -> Self {
        self.errors = errors;
        self
    }

    /// Says when to try again (rounded up to seconds).
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The last part of `type`.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.type_uri.rsplit('/').next().unwrap_or_default()
    }
}

/// `Retry-After` counts whole seconds; rounding down would invite clients too early.
fn whole_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0 || after.is_zero())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"carillon\""),
            );
        }
        response
    }
}
