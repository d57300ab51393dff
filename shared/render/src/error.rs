//! The reasons for which a message cannot be rendered.

use std::borrow::Cow;

use carillon_domain::field_error::escape_token;
use serde::{Deserialize, Serialize};

/// The reason for which a message cannot be rendered. Only [`RenderError::Unavailable`] may pass by itself; all
/// others need another template or other data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code")]
pub enum RenderError {
    /// No template is published for the type on the channel.
    #[error("no template is published for {template}")]
    #[serde(rename = "template-missing")]
    MissingTemplate {
        /// `<type>/<channel>`.
        template: String,
    },
    /// The template uses a variable that does not exist.
    #[error("{template} ({place}) needs the variable {variable}, {why}")]
    #[serde(rename = "template-missing-variable")]
    MissingVariable {
        /// `<type>/<channel>`.
        template: String,
        /// The part or partial, and its line.
        place: String,
        /// The variable in the template's spelling, such as `order_id` or `customer.name`.
        variable: String,
        /// Where it was looked up, such as `which the event does not carry`, and its spelling, if it exists further
        /// out.
        why: String,
        /// See [`Self::pointer`].
        pointer: Box<str>,
    },
    /// A variable exists, but the template's helper does not accept its value.
    #[error("{template} ({place}) expects {variable} to be {expected}")]
    #[serde(rename = "template-bad-value")]
    BadValue {
        /// `<type>/<channel>`.
        template: String,
        /// The part or partial, and its line.
        place: String,
        /// The variable in the template's spelling.
        variable: String,
        /// The values that the helper accepts.
        expected: String,
        /// See [`Self::pointer`].
        pointer: Box<str>,
    },
    /// The template itself is invalid.
    #[error("{template} cannot be rendered: {detail}")]
    #[serde(rename = "template-invalid")]
    Invalid {
        /// `<type>/<channel>`.
        template: String,
        /// The error of the template.
        detail: String,
        /// See [`Self::pointer`].
        pointer: Box<str>,
    },
    /// The message takes more work than a message may cost. The same template and data always end here.
    #[error("{template} ({place}) takes more than {limit} {unit}, the limit of one message")]
    #[serde(rename = "template-budget")]
    Budget {
        /// `<type>/<channel>`.
        template: String,
        /// The place at which it ended: the part or partial, and its line.
        place: String,
        /// The bound that it exceeded.
        limit: u64,
        /// `steps`, `levels of nesting` or `seconds of processor time`.
        unit: String,
        /// See [`Self::pointer`].
        pointer: Box<str>,
    },
    /// The message is longer than the channel allows.
    #[error("{template}: the {part} has {actual} {unit}, more than the {limit} that the channel carries")]
    #[serde(rename = "template-too-long")]
    TooLong {
        /// `<type>/<channel>`.
        template: String,
        /// `subject`, `text`, `html`, `payload`.
        part: String,
        /// The limit.
        limit: usize,
        /// The length of the message, or of the part that was rendered before the limit stopped it.
        actual: usize,
        /// `characters` or `bytes`.
        unit: String,
    },
    /// A message has no visible character: a subject, the text of a text message, the text and the HTML of an e-mail, or
    /// the title and the body of a push message.
    #[error("{template}: the {part} is blank; expected at least one visible character")]
    #[serde(rename = "template-blank")]
    Blank {
        /// `<type>/<channel>`.
        template: String,
        /// `subject`, `text`, or `body` of a push message.
        part: String,
    },
    /// The templates cannot be reached now; the same request may succeed later.
    #[error("templates cannot be reached now: {detail}")]
    #[serde(rename = "template-unavailable")]
    Unavailable {
        /// The cause, for logs.
        detail: String,
    },
}

impl RenderError {
    /// A stable code, for timelines and dead letters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingTemplate { .. } => "template-missing",
            Self::MissingVariable { .. } => "template-missing-variable",
            Self::BadValue { .. } => "template-bad-value",
            Self::Invalid { .. } => "template-invalid",
            Self::Budget { .. } => "template-budget",
            Self::TooLong { .. } => "template-too-long",
            Self::Blank { .. } => "template-blank",
            Self::Unavailable { .. } => "template-unavailable",
        }
    }

    /// The RFC 6901 pointer of the fault: to the value in the event (`/data/at`), or to the part of the template
    /// (`/parts/text`). Empty if neither is known.
    #[must_use]
    pub fn pointer(&self) -> Cow<'_, str> {
        match self {
            Self::MissingVariable { pointer, .. }
            | Self::BadValue { pointer, .. }
            | Self::Invalid { pointer, .. }
            | Self::Budget { pointer, .. } => Cow::Borrowed(&**pointer),
            Self::TooLong { part, .. } | Self::Blank { part, .. } => Cow::Owned(Self::part_pointer(part)),
            Self::MissingTemplate { .. } | Self::Unavailable { .. } => Cow::Borrowed(""),
        }
    }

    /// The pointer of a part of the template.
    pub(crate) fn part_pointer(part: &str) -> String {
        format!("/parts/{}", escape_token(part))
    }

    /// Whether the same request may succeed later without any change.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_its_code_on_the_wire_and_is_read_back() {
        let errors = [
            RenderError::MissingTemplate {
                template: "A/sms".into(),
            },
            RenderError::MissingVariable {
                template: "A/sms".into(),
                place: "text line 1".into(),
                variable: "x".into(),
                why: "which the event does not carry".into(),
                pointer: "/data/x".into(),
            },
            RenderError::BadValue {
                template: "A/sms".into(),
                place: "text line 1".into(),
                variable: "x".into(),
                expected: "a date".into(),
                pointer: "/data/x".into(),
            },
            RenderError::Invalid {
                template: "A/sms".into(),
                detail: "d".into(),
                pointer: "/parts/text".into(),
            },
            RenderError::Budget {
                template: "A/sms".into(),
                place: "text line 1".into(),
                limit: 1_000_000,
                unit: "steps".into(),
                pointer: "/parts/text".into(),
            },
            RenderError::TooLong {
                template: "A/sms".into(),
                part: "text".into(),
                limit: 1600,
                actual: 1601,
                unit: "characters".into(),
            },
            RenderError::Blank {
                template: "A/email".into(),
                part: "subject".into(),
            },
            RenderError::Unavailable { detail: "d".into() },
        ];
        for error in errors {
            let json = serde_json::to_value(&error).unwrap();
            assert_eq!(json["code"], error.code());
            assert_eq!(serde_json::from_value::<RenderError>(json).unwrap(), error);
            assert_eq!(error.is_retriable(), error.code() == "template-unavailable");
        }
    }
}
