//! RFC 9457 problem documents of closed types: each error that a client can receive is one of [`ProblemKind`].

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The kind of a problem. A new variant does not compile until it has a slug, a status and a title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`describe` says it")]
pub enum ProblemKind {
    MalformedJson,
    MalformedHeader,
    MalformedRequest,
    Validation,
    UnsupportedMediaType,
    MethodNotAllowed,
    TransferCoding,
    UnknownEventType,
    UnknownUser,
    RequestTimeout,
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
            Self::MalformedHeader => ("malformed-header", 400, "A header cannot be read"),
            Self::MalformedRequest => ("malformed-request", 400, "The request cannot be read"),
            Self::Validation => ("validation", 422, "The input breaks a rule"),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                415,
                "This media type is not supported here",
            ),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "This method is not allowed here"),
            Self::TransferCoding => (
                "unsupported-transfer-coding",
                501,
                "This transfer coding is not decoded here",
            ),
            Self::UnknownEventType => ("unknown-event-type", 422, "The event type is unknown"),
            Self::UnknownUser => ("unknown-user", 422, "No recipient is known"),
            Self::RequestTimeout => ("request-timeout", 408, "The request did not arrive in time"),
            Self::TooLarge => ("too-large", 413, "The input is too large"),
            Self::BatchTooLarge => ("batch-too-large", 413, "The batch has too many items"),
            Self::TooManyRecipients => ("too-many-recipients", 422, "The event has too many recipients"),
            Self::Unauthorized => ("unauthorized", 401, "The caller is not authenticated"),
            Self::Forbidden => ("forbidden", 403, "The API key may not do this"),
            Self::NotFound => ("not-found", 404, "It was not found"),
            Self::AmbiguousEvent => ("ambiguous-event", 409, "Several sources have an event of this id"),
            Self::IdempotencyConflict => (
                "idempotency-conflict",
                422,
                "The same id or key was used with different content",
            ),
            Self::InProgress => ("in-progress", 409, "It is still in progress"),
            Self::PreconditionFailed => (
                "precondition-failed",
                412,
                "A condition of the request does not hold",
            ),
            Self::RateLimited => ("rate-limited", 429, "Too many requests"),
            Self::Overloaded => ("overloaded", 503, "Too much is in flight"),
            Self::Unavailable => ("unavailable", 503, "A dependency does not answer"),
            Self::TemplateInvalid => ("template-invalid", 422, "The template or its data is wrong"),
            Self::AlreadyFinal => ("already-final", 409, "It has ended already"),
            Self::Internal => ("internal", 500, "An internal error occurred"),
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

/// The error of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProblemError {
    /// RFC 6901 pointer into the input.
    #[schema(example = "/recipients/0")]
    pub pointer: String,
    /// A stable code.
    #[schema(example = "required")]
    pub code: String,
    /// The expected value.
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
    /// The particular problem, as a sentence.
    pub detail: String,
    /// The invalid fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemError>,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    #[schema(ignore)]
    is_passing: bool,
}

/// Marks an answer that depends on state that can change, although its status does not show it. A repeat of the request
/// may be answered otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Passing;

impl Problem {
    /// A problem of a kind. `detail` is for people and never contains the text of a provider or database.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("https://carillon.dev/problems/{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: cut(detail.into(), MAX_TEXT),
            errors: Vec::new(),
            retry_after: None,
            is_passing: false,
        }
    }

    /// Adds the first [`MAX_ERRORS`] invalid fields, and the number of the others.
    #[must_use]
    pub fn with_errors(mut self, mut errors: Vec<ProblemError>) -> Self {
        let count = errors.len();
        errors.truncate(MAX_ERRORS);
        for error in &mut errors {
            error.pointer = cut_pointer(std::mem::take(&mut error.pointer));
            error.message = cut(std::mem::take(&mut error.message), MAX_TEXT);
        }
        self.errors = errors;
        if count > MAX_ERRORS {
            return self.with_more(&format!("and {} more", count - MAX_ERRORS));
        }
        self
    }

    /// States in the detail that the list of errors is incomplete.
    #[must_use]
    pub fn with_more(mut self, more: &str) -> Self {
        self.detail = format!(
            "{} (the first {} are listed, {more})",
            self.detail,
            self.errors.len()
        );
        self
    }

    /// Removes the errors if an answer has no room for them, and states it in the detail.
    #[must_use]
    pub fn without_errors(mut self) -> Self {
        if !self.errors.is_empty() {
            self.errors = Vec::new();
            self.detail = cut(self.detail, 100);
            self.detail.push_str(" (not listed: the answer is full)");
        }
        self
    }

    /// The approximate size of the problem as JSON, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let errors = self.errors.iter();
        let fields = errors.map(|error| error.pointer.len() + error.code.len() + error.message.len() + 40);
        self.type_uri.len() + self.title.len() + self.detail.len() + 80 + fields.sum::<usize>()
    }

    /// Sets the time until a retry (rounded up to seconds).
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Marks that the same request may be answered otherwise once users, the catalog or the time have changed.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.is_passing = true;
        self
    }

    /// Whether [`Self::passing`] was called.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.is_passing
    }

    /// The last part of `type`.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.type_uri.rsplit('/').next().unwrap_or_default()
    }
}

/// The most errors that a problem lists.
const MAX_ERRORS: usize = 20;
/// The most characters of a detail, pointer or message.
pub(super) const MAX_TEXT: usize = 500;
/// The most characters of a foreign value that a message repeats.
pub(super) const MAX_ECHO: usize = 100;

/// Cuts a text to `max` characters; a cut text ends in `…`.
pub(super) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max
        && let Some((at, _)) = text.char_indices().nth(max)
    {
        text.truncate(at);
        text.pop();
        text.push('…');
    }
    text
}

/// Cuts each name in a pointer, and then the whole pointer.
fn cut_pointer(pointer: String) -> String {
    if pointer.len() <= MAX_ECHO {
        return pointer;
    }
    let tokens = pointer.split('/').take(MAX_TEXT);
    let tokens: Vec<String> = tokens.map(|token| cut(token.to_owned(), MAX_ECHO)).collect();
    cut(tokens.join("/"), MAX_TEXT)
}

/// `Retry-After` counts whole seconds; rounding down would invite clients too early.
fn whole_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0 || after.is_zero())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        if self.is_passing {
            response.extensions_mut().insert(Passing);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> ProblemError {
        ProblemError {
            pointer: text.to_owned(),
            code: "type".to_owned(),
            message: text.to_owned(),
        }
    }

    #[test]
    fn a_problem_lists_twenty_errors_of_bounded_length_and_says_how_many_are_left_out() {
        let long = "ü".repeat(100_000);
        let mut errors = vec![field(""); 80_000];
        errors[..MAX_ERRORS].fill(field(&long));
        let problem = Problem::new(ProblemKind::Validation, "fields are wrong").with_errors(errors);
        assert_eq!(problem.errors.len(), MAX_ERRORS);
        assert_eq!(
            problem.detail,
            "fields are wrong (the first 20 are listed, and 79980 more)"
        );
        assert!(problem.size() < 100_000, "{}", problem.size());
        let bare = problem.without_errors();
        assert!(bare.errors.is_empty() && bare.detail.ends_with("(not listed: the answer is full)"));
        let long = Problem::new(ProblemKind::Validation, long);
        assert_eq!(long.detail.chars().count(), MAX_TEXT);
    }
}
