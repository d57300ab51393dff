//! What is wrong with one field of an input.

use serde::{Deserialize, Serialize};

/// One wrong field: where (JSON pointer), which rule (`code`, stable), and what was expected (`message`, for people).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// RFC 6901 pointer into the input, such as `/recipients/0`; empty for the whole document.
    pub pointer: String,
    /// A stable code, such as `required`, `type`, `unknown-field`, `format`, `range`.
    pub code: String,
    /// A sentence that names what was expected.
    pub message: String,
}

impl FieldError {
    /// Puts the three together.
    #[must_use]
    pub fn new(pointer: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        write!(f, "{at}: {}", self.message)
    }
}

/// Joins errors into one line, for logs and dead-letter reasons.
#[must_use]
pub fn join(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Escapes one reference token of a JSON pointer (RFC 6901 §3).
#[must_use]
pub fn escape_token(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// At most the first 100 characters of a value, for errors that show it.
#[must_use]
pub fn clip(value: &str) -> &str {
    value
        .char_indices()
        .nth(100)
        .map_or(value, |(end, _)| &value[..end])
}
