//! Conversion of errors to problem documents.

use std::time::Duration;

use carillon_domain::{FieldError, field_error::echo, mask::HIDDEN};
use carillon_render::{RenderError, TemplateIssue, WorkError};
use carillon_runtime::http::{Problem, ProblemError, ProblemKind};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// The reason for which a message was not rendered: the problem, and the renderer's own error for clients that use it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RenderProblem {
    #[serde(flatten)]
    problem: Problem,
    /// The renderer's error: its `code` and the fields that belong to it.
    #[schema(value_type = Object, example = json!({"code": "template-missing-variable", "template": "OrderShipped/sms", "variable": "carrier"}))]
    render_error: RenderError,
}

impl From<RenderError> for RenderProblem {
    fn from(error: RenderError) -> Self {
        Self {
            problem: render(&error),
            render_error: error,
        }
    }
}

/// A renderer's error.
pub(crate) fn render(error: &RenderError) -> Problem {
    let kind = match error {
        RenderError::MissingTemplate { .. } => ProblemKind::NotFound,
        RenderError::Unavailable { .. } => ProblemKind::Unavailable,
        RenderError::MissingVariable { .. }
        | RenderError::BadValue { .. }
        | RenderError::Invalid { .. }
        | RenderError::Budget { .. }
        | RenderError::Blank { .. }
        | RenderError::TooLong { .. } => ProblemKind::TemplateInvalid,
    };
    if kind != ProblemKind::TemplateInvalid {
        return Problem::new(kind, error.to_string());
    }
    let field = ProblemError {
        pointer: error.pointer().into_owned(),
        code: error.code().to_owned(),
        message: error.to_string(),
    };
    Problem::new(kind, error.to_string()).with_errors(vec![field])
}

/// The renderer's error about sample data, with the value that is at fault. `masked` are the data without the values that
/// must not be shown; `missing` are the errors about properties that they lack.
pub(crate) fn render_sample(
    error: &RenderError,
    masked: Option<&RawValue>,
    missing: Vec<FieldError>,
) -> Problem {
    let mut problem = render(error);
    if let RenderError::BadValue { pointer, .. } = error
        && let Some(value) = value_at(pointer, masked)
    {
        let (error, value) = (error.to_string(), echo(&value));
        let sentence = if error.ends_with("not an object") {
            format!("{error} such as {value}")
        } else {
            format!("{error}, not {value}")
        };
        for field in &mut problem.errors {
            field.message.clone_from(&sentence);
        }
        problem.detail = sentence;
    }
    if !problem.errors.is_empty() {
        problem
            .errors
            .extend(missing.into_iter().map(|error| ProblemError {
                pointer: error.pointer,
                code: error.code,
                message: error.message,
            }));
    }
    problem
}

/// The value at a pointer into an event, unless it is hidden.
fn value_at(pointer: &str, data: Option<&RawValue>) -> Option<Value> {
    let data = serde_json::from_str::<Value>(data?.get()).ok()?;
    let value = data.pointer(pointer.strip_prefix("/data")?)?;
    (!value.to_string().contains(HIDDEN)).then(|| value.clone())
}

/// The problem of work on templates that has no result.
pub(crate) fn work(error: &WorkError) -> Problem {
    match error {
        WorkError::Busy => Problem::new(ProblemKind::RateLimited, format!("{error}; try again later"))
            .with_retry_after(Duration::from_secs(2)),
        WorkError::Failed(error) => render(error),
    }
}

/// The problem of an invalid template, with `cannot` as its detail.
pub(crate) fn invalid(issues: &[TemplateIssue], cannot: &str) -> Problem {
    let errors = issues
        .iter()
        .map(|issue| ProblemError {
            pointer: issue.pointer(),
            code: issue.code.to_owned(),
            message: issue.to_string(),
        })
        .collect();
    Problem::new(ProblemKind::TemplateInvalid, cannot).with_errors(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_value_at_fault_once() {
        let detail = |expected: &str, data: &str| {
            let error = RenderError::BadValue {
                template: "A/sms".into(),
                place: "text line 1".into(),
                variable: "n".into(),
                expected: expected.into(),
                pointer: "/data/n".into(),
            };
            let data = RawValue::from_string(data.to_owned()).unwrap();
            render_sample(&error, Some(&data), Vec::new()).detail
        };
        for (expected, data, says) in [
            (
                "a text, not an object",
                r#"{"n":{"a":1}}"#,
                r#"a text, not an object such as {"a":1}"#,
            ),
            ("a number", r#"{"n":"x"}"#, r#"a number, not "x""#),
        ] {
            let sentence = format!("A/sms (text line 1) expects n to be {says}");
            assert_eq!(detail(expected, data), sentence);
        }
    }
}
