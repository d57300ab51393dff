//! A configuration error in the terms of the setting's author: its key, its place and the expected value.

use std::{borrow::Cow, fmt, fmt::Write as _};

use figment::error::{Actual, Kind};

use super::environment::variable_of;
use crate::quoted::quoted;

/// The longest part of a value that an error repeats, in characters.
const MAX_ECHO: usize = 100;

/// The beginning of a flag's place, before its key.
pub(super) const FLAG: &str = "--set ";

/// A setting that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    key: String,
    text: String,
}

impl Mistake {
    /// A mistake in a setting. The text names the key in its original spelling, its place, the value and the expected
    /// one. The key is empty if the mistake is in no known setting.
    pub fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            text: text.into(),
        }
    }

    /// The setting, or its section.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether the mistake is in this setting, in a section that contains it, or in a setting of this section.
    #[must_use]
    pub fn concerns(&self, key: &str) -> bool {
        let is_within = |inner: &str, outer: &str| {
            let rest = inner.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !self.key.is_empty() && (is_within(key, &self.key) || is_within(&self.key, key))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text of all mistakes: a single one alone, several below their number, one a line.
#[must_use]
pub fn lines(mistakes: &[Mistake]) -> String {
    let [mistake] = mistakes else {
        let mut text = format!("the configuration has {} mistakes:", mistakes.len());
        for mistake in mistakes {
            let _ = write!(text, "\n  {mistake}");
        }
        return text;
    };
    mistake.to_string()
}

/// The path of the setting that an error is about.
pub(super) fn path(error: &figment::Error) -> Vec<String> {
    let mut path = error.path.clone();
    if let Kind::UnknownField(name, _) = &error.kind
        && path.last() != Some(name)
    {
        path.push(name.clone());
    }
    path
}

/// The environment variable or the flag that sets a key, or something above or below it.
pub(super) struct SetBy {
    /// Its original spelling.
    pub(super) origin: String,
    /// Whether it sets only a key below.
    pub(super) is_below: bool,
}

/// Describes the error. `written` returns the place of a key that the environment or a flag set.
pub(super) fn describe(error: &figment::Error, written: impl Fn(&str) -> Option<SetBy>) -> Mistake {
    let path = path(error);
    let key = path.join(".");
    // A setting that is missing is set nowhere, so the variable of another setting of its section would mislead.
    let is_lack = matches!(error.kind, Kind::MissingField(_) | Kind::Message(_));
    let (place, lacks_variable) = match written(&key) {
        Some(written) if written.is_below && is_lack && !written.origin.starts_with(FLAG) => {
            let file = file(error);
            let is_variable = file.is_none();
            (file, is_variable)
        }
        Some(written) => (Some(written.origin), false),
        None => (file(error), false),
    };
    // A flag names its key. If its key is unknown from the section on, the section's name adds nothing.
    let names_key = |place: &str| {
        let flag = place.strip_prefix(FLAG).and_then(|flag| flag.strip_prefix(&key));
        let is_unknown = matches!(error.kind, Kind::UnknownField(..));
        flag.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && is_unknown)
    };
    // A setting that is missing is set nowhere, so the place of another setting of its section would mislead.
    let is_elsewhere = |place: &str| {
        let flag = place.strip_prefix(FLAG);
        flag.is_some_and(|flag| flag.starts_with(&format!("{key}."))) && !names_key(place)
    };
    let mut text = match (place, key.is_empty()) {
        (Some(place), true) => format!("{place}: "),
        (Some(place), false) if names_key(&place) => format!("{place}: "),
        (Some(place), false) if is_elsewhere(&place) => format!("{key}: "),
        (Some(place), false) => format!("{place}: {key}: "),
        (None, true) => String::new(),
        (None, false) => format!("{key}: "),
    };
    match &error.kind {
        Kind::UnknownField(name, known) => {
            text.push_str("there is no such setting");
            let section = path[..path.len() - 1].join(".");
            if let Some(best) = nearest(name, known) {
                let dot = if section.is_empty() { "" } else { "." };
                let _ = write!(text, "; did you mean {section}{dot}{best}?");
            } else if !known.is_empty() {
                let _ = write!(text, "; expected one of {}", known.join(", "));
            }
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            let _ = write!(text, "expected {}, not {}", plain(expected), echo(actual));
        }
        Kind::UnknownVariant(name, known) => {
            let _ = write!(
                text,
                "expected one of {}, not {}",
                known.join(", "),
                quoted(&short(name))
            );
        }
        Kind::MissingField(name) => {
            let _ = write!(text, "{name} is missing");
            if lacks_variable {
                let _ = write!(text, " ({})", variable_of(&format!("{key}.{name}")));
            }
        }
        Kind::Message(message) => text.push_str(message),
        other => {
            let _ = write!(text, "{other}");
        }
    }
    Mistake::new(key, text)
}

/// The file that contains the wrong setting.
fn file(error: &figment::Error) -> Option<String> {
    let source = error.metadata.as_ref()?.source.as_ref()?;
    source.file_path().map(|path| path.display().to_string())
}

/// The known setting whose name is most similar.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let score = |candidate: &str| strsim::jaro_winkler(name, candidate);
    let best = known
        .iter()
        .copied()
        .max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) > 0.75).then_some(best)
}

/// A plain English name for a Rust type.
fn plain(expected: &str) -> Cow<'_, str> {
    let whole = |least: i64, most: u64| Cow::Owned(format!("a whole number from {least} to {most}"));
    match expected {
        "a nonzero u16" => whole(1, u16::MAX.into()),
        "a nonzero u32" => whole(1, u32::MAX.into()),
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "u64" | "usize" => whole(0, u64::MAX),
        "i8" | "i16" | "i32" | "i64" | "isize" => whole(i64::MIN, i64::MAX.unsigned_abs()),
        "f32" | "f64" => Cow::Borrowed("a number"),
        structure if structure.starts_with("struct ") => Cow::Borrowed("a section with settings of its own"),
        other => Cow::Borrowed(other),
    }
}

fn echo(actual: &Actual) -> String {
    match actual {
        Actual::Str(text) => quoted(&short(text)),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Bool(truth) => truth.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        other => other.to_string(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(MAX_ECHO).collect()
}
