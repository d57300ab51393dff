//! Conversion of errors to problem documents. No text of a database or broker reaches the client.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use carillon_bus::BusError;
use carillon_domain::{
    EventId, FieldError, UserId,
    event::FRAMED,
    field_error::{MORE, bounded, quoted},
};
use carillon_runtime::http::{Problem, ProblemError, ProblemKind};
use carillon_store::StoreError;
use uuid::Uuid;

/// The error of a handler, which is answered as a problem document.
#[derive(Debug)]
pub struct ApiError(pub Problem);

impl ApiError {
    /// A problem of a kind.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self(Problem::new(kind, detail))
    }

    /// An object of which a tenant has one at most does not exist; `what` is its kind.
    pub(crate) fn not_found(what: &str) -> Self {
        Self(Problem::no_such(what))
    }

    /// There is no object of a kind with this id. The answer names the id, because a script may ask for many.
    pub(crate) fn missing(what: &str, id: Uuid) -> Self {
        Self::new(ProblemKind::NotFound, format!("there is no {what} {id}"))
    }

    /// There is no object of a kind with this name, which is quoted because it may be any text.
    pub(crate) fn missing_name(what: &str, name: &str) -> Self {
        Self::new(
            ProblemKind::NotFound,
            format!("there is no {what} {}", quoted(name)),
        )
    }

    /// There is no event of this id, or none of this source.
    pub(crate) fn no_event(id: &EventId, source: Option<&str>) -> Self {
        let of_source =
            source.map_or_else(String::new, |source| format!(" of the source {}", quoted(source)));
        let text = format!("there is no event {}{of_source}", quoted(id.as_str()));
        Self::new(ProblemKind::NotFound, text)
    }

    /// There is no such user.
    pub(crate) fn no_user(id: &UserId) -> Self {
        Self::missing_name("user", id.as_str())
    }

    /// The error of a store's call about a user. If the user does not exist, the error names the user.
    pub(crate) fn of_user(error: StoreError, id: &UserId) -> Self {
        match error {
            StoreError::NotFound { what: "user" } => Self::no_user(id),
            error @ StoreError::Full { .. } => {
                Self::fields(vec![FieldError::new("", "range", error.to_string())])
            }
            error => error.into(),
        }
    }

    /// The problem of invalid fields.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        Self(problem_of_fields(errors, ""))
    }
}

/// The problem of invalid fields, with `prefix` before their pointers.
pub(crate) fn problem_of_fields(errors: Vec<FieldError>, prefix: &str) -> Problem {
    let mut errors = bounded(errors);
    let more = errors.pop_if(|error| error.code == MORE);
    let has = |code: &str| errors.iter().any(|error| error.code == code);
    let kind = if has("malformed-json") || has(FRAMED) {
        ProblemKind::MalformedJson
    } else if has("too-many-recipients") {
        ProblemKind::TooManyRecipients
    } else if has("too-large") {
        ProblemKind::TooLarge
    } else if has("unsupported-media-type") {
        ProblemKind::UnsupportedMediaType
    } else {
        ProblemKind::Validation
    };
    let detail = match errors.as_slice() {
        // The sentence about a repeated member does not name it.
        [only] if only.code == "duplicate" => format!("{}: {prefix}{}", only.message, only.pointer),
        [only] => only.message.clone(),
        _ if more.is_some() => "fields are wrong".to_owned(),
        _ => format!("{} fields are wrong", errors.len()),
    };
    let errors = errors
        .into_iter()
        .map(|error| ProblemError {
            pointer: format!("{prefix}{}", error.pointer),
            code: error.code,
            message: error.message,
        })
        .collect();
    let problem = Problem::new(kind, detail).with_errors(errors);
    match more {
        Some(more) => problem.with_more(&more.message),
        None => problem,
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self(Problem::of_store(&error))
    }
}

impl From<BusError> for ApiError {
    fn from(error: BusError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the bus did not accept the events"
        );
        match error {
            BusError::TooLarge { .. } => {
                Self::new(ProblemKind::TooLarge, "an event is too large for the bus")
            }
            _ => Self(
                Problem::new(
                    ProblemKind::Unavailable,
                    "the bus did not accept the events in time; repeat them with the same ids, because it may have accepted some",
                )
                .with_retry_after(Duration::from_secs(2)),
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, header::RETRY_AFTER};
    use carillon_store::Fault;

    use super::*;

    #[test]
    fn the_detail_about_one_repeated_member_names_it() {
        let repeated = FieldError::new("/data/x", "duplicate", "expected the member once");
        let problem = problem_of_fields(vec![repeated], "/1");
        assert_eq!(problem.detail, "expected the member once: /1/data/x");
        assert_eq!(problem.errors[0].message, "expected the member once");
    }

    #[test]
    fn a_fault_of_the_database_is_a_503_with_its_cause_and_the_time_of_the_next_try() {
        for (fault, seconds) in [
            (Fault::Conflict, "1"),
            (Fault::NoConnection, "1"),
            (Fault::Restarting, "2"),
            (Fault::ReadOnly, "5"),
            (Fault::DiskFull, "10"),
        ] {
            let error = ApiError::from(StoreError::Unavailable(fault, None));
            assert_eq!(error.0.detail, format!("{fault}; try again later"));
            let answer = error.into_response();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{fault}");
            assert_eq!(answer.headers()[RETRY_AFTER], seconds, "{fault}");
        }
    }
}
