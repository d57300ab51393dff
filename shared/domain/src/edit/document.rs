//! A document that is edited. `json_patch` works on `serde_json::Value`, which does not keep the spelling of numbers. A
//! number whose spelling it would change is therefore a text there that begins with a mark.

use std::fmt;

use serde_json::Value;

use crate::json::{self, Number};

/// The beginning of a text that stands for another value. After it comes `n` with a number's literal, `k` with the
/// number of a hidden value, or `s` with a text that itself begins with this character.
const MARK: char = '\0';

/// The JSON of an event that is edited.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(Value);

impl Document {
    /// Reads a document; `None` if the text is not JSON.
    #[must_use]
    pub fn parse(json: &str) -> Option<Self> {
        read(json).map(Self)
    }

    /// The document of a record that cannot be read. A patch can only replace it as a whole.
    #[must_use]
    pub fn null() -> Self {
        Self(Value::Null)
    }

    pub(super) fn of(value: Value) -> Self {
        Self(value)
    }

    pub(super) fn value(&self) -> &Value {
        &self.0
    }

    /// The document as JSON.
    #[must_use]
    pub fn text(&self) -> String {
        text(&self.0)
    }

    /// The document as JSON for people.
    #[must_use]
    pub fn readable(&self) -> String {
        let mut out = String::new();
        indented(&decoded(&self.0), 0, &mut out);
        out
    }

    /// The JSON at a pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<String> {
        self.0.pointer(pointer).map(text)
    }

    /// The text at a pointer, if it is one.
    #[must_use]
    pub fn text_at(&self, pointer: &str) -> Option<String> {
        match decoded(self.0.pointer(pointer)?) {
            json::Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The names of its members; none if it is no object.
    #[must_use]
    pub fn members(&self) -> Vec<&str> {
        let members = self.0.as_object().into_iter().flatten();
        members.map(|(name, _)| name.as_str()).collect()
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.is_object()
    }
}

/// Its values may be secrets.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Document")
    }
}

/// Reads JSON, with marks.
pub(super) fn read(json: &str) -> Option<Value> {
    json::value(json).ok().map(encoded)
}

/// A text for the hidden value of this number.
pub(super) fn hidden(number: usize) -> Value {
    Value::String(format!("{MARK}k{number}"))
}

/// The number of the hidden value for which a text stands.
pub(super) fn hidden_number(value: &Value) -> Option<usize> {
    value
        .as_str()?
        .strip_prefix(MARK)?
        .strip_prefix('k')?
        .parse()
        .ok()
}

/// The JSON of a value with marks.
pub(super) fn text(value: &Value) -> String {
    decoded(value).to_string()
}

/// Whether two values with marks are equal; numbers are by their value, whatever their spelling.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    equal(&decoded(one), &decoded(other))
}

fn equal(one: &json::Value, other: &json::Value) -> bool {
    use json::Value as V;
    match (one, other) {
        (V::Number(one), V::Number(other)) => one.order(other).is_eq(),
        (V::Array(one), V::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (V::Object(one), V::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|((name, one), (other_name, other))| name == other_name && equal(one, other))
        }
        _ => one == other,
    }
}

fn encoded(value: json::Value) -> Value {
    match value {
        json::Value::Null => Value::Null,
        json::Value::Bool(flag) => Value::Bool(flag),
        json::Value::Number(Number::Unsigned(number)) => number.into(),
        json::Value::Number(Number::Negative(number)) => number.into(),
        json::Value::Number(Number::Written(literal)) => Value::String(format!("{MARK}n{literal}")),
        json::Value::String(text) if text.starts_with(MARK) => Value::String(format!("{MARK}s{text}")),
        json::Value::String(text) => Value::String(text),
        json::Value::Array(items) => Value::Array(items.into_iter().map(encoded).collect()),
        json::Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(members.map(|(name, value)| (name, encoded(value))).collect())
        }
    }
}

fn decoded(value: &Value) -> json::Value {
    match value {
        Value::String(text) => match text.strip_prefix(MARK) {
            None => json::Value::String(text.clone()),
            Some(marked) => match (marked.strip_prefix('n'), marked.strip_prefix('s')) {
                (Some(literal), _) => json::Value::Number(Number::Written(literal.into())),
                (_, Some(text)) => json::Value::String(text.to_owned()),
                _ => json::Value::Null,
            },
        },
        Value::Array(items) => json::Value::Array(items.iter().map(decoded).collect()),
        Value::Object(members) => {
            let members = members.iter();
            json::Value::Object(
                members
                    .map(|(name, value)| (name.clone(), decoded(value)))
                    .collect(),
            )
        }
        other => other.clone().into(),
    }
}

fn indented(value: &json::Value, level: usize, out: &mut String) {
    let line = |level: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    };
    match value {
        json::Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(level + 1, out);
                indented(item, level + 1, out);
            }
            line(level, out);
            out.push(']');
        }
        json::Value::Object(members) if !members.is_empty() => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(level + 1, out);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(": ");
                indented(member, level + 1, out);
            }
            line(level, out);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The result of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measured {
    Fits,
    TooLarge,
    TooDeep,
}

/// Measures a value; it ends as soon as one of the limits is passed.
pub(super) fn measure(value: &Value, max_bytes: usize, max_levels: usize) -> Measured {
    fn walk(value: &Value, bytes: &mut usize, levels: usize) -> Measured {
        let mut take = |count: usize| {
            let left = bytes.checked_sub(count);
            *bytes = left.unwrap_or(0);
            left.is_some()
        };
        match value {
            Value::String(text) if !take(text.len() + 2) => Measured::TooLarge,
            Value::String(_) => Measured::Fits,
            Value::Array(_) | Value::Object(_) if levels == 0 => Measured::TooDeep,
            Value::Array(items) => {
                for item in items {
                    match walk(item, bytes, levels - 1) {
                        Measured::Fits => {}
                        over => return over,
                    }
                }
                Measured::Fits
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let left = bytes.checked_sub(name.len() + 4);
                    let Some(left) = left else {
                        return Measured::TooLarge;
                    };
                    *bytes = left;
                    match walk(member, bytes, levels - 1) {
                        Measured::Fits => {}
                        over => return over,
                    }
                }
                Measured::Fits
            }
            _ if take(8) => Measured::Fits,
            _ => Measured::TooLarge,
        }
    }
    let mut bytes = max_bytes;
    walk(value, &mut bytes, max_levels)
}
