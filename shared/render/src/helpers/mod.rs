//! The helpers that templates have besides handlebars' own: `t`, `date`, `number`, `money`, `url`, `encode`.

mod date;
mod link;
mod number;
mod translate;

use handlebars::{Handlebars, Helper, PathAndJson, RenderError, RenderErrorReason};

use crate::messages::Messages;

/// The languages whose dates and numbers are written as their speakers do; others get ISO dates and plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    English,
    French,
    German,
    Other,
}

impl Language {
    fn of(tag: &str) -> Self {
        match tag
            .split(['-', '_'])
            .next()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("en") => Self::English,
            Some("fr") => Self::French,
            Some("de") => Self::German,
            _ => Self::Other,
        }
    }
}

/// Why a helper wrote nothing; travels through handlebars as a nested error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelperError {
    /// A variable is there, but it is not what the helper takes.
    #[error("expected {variable} to be {expected}")]
    BadValue {
        variable: String,
        expected: &'static str,
    },
    /// The helper is used in a way that cannot work with any data.
    #[error("{0}")]
    Misused(String),
}

impl From<HelperError> for RenderError {
    fn from(error: HelperError) -> Self {
        RenderErrorReason::NestedError(Box::new(error)).into()
    }
}

/// Gives a registry the helpers in a locale.
pub(crate) fn register(registry: &mut Handlebars<'static>, tag: &str, messages: &Messages) {
    let language = Language::of(tag);
    registry.unregister_helper("log"); // a template has no business in the log
    registry.register_helper("t", Box::new(translate::Translate(messages.clone())));
    registry.register_helper("date", Box::new(date::Date(language)));
    registry.register_helper("number", Box::new(number::Number(language)));
    registry.register_helper("money", Box::new(number::Money(language)));
    registry.register_helper("url", Box::new(link::Url));
    registry.register_helper("encode", Box::new(link::Encode));
}

/// The helpers that a template may call.
pub(crate) const NAMES: [&str; 22] = [
    "t", "date", "number", "money", "url", "encode", "if", "unless", "each", "with", "lookup", "raw", "eq",
    "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len",
];

/// A parameter that has to be there; the error names the variable that is not.
fn required<'a, 'rc>(
    h: &'a Helper<'rc>,
    index: usize,
    helper: &str,
) -> Result<&'a PathAndJson<'rc>, RenderError> {
    let param = h.param(index).ok_or_else(|| {
        HelperError::Misused(format!("the helper {helper} needs {} parameter(s)", index + 1))
    })?;
    if param.is_value_missing() {
        return Err(RenderError::strict_error(param.relative_path()));
    }
    Ok(param)
}

fn bad_value(param: &PathAndJson<'_>, expected: &'static str) -> RenderError {
    let variable = param
        .relative_path()
        .map_or_else(|| param.value().to_string(), Clone::clone);
    HelperError::BadValue { variable, expected }.into()
}
