//! Edits of dead letters: a JSON Patch (RFC 6902) of the event in the letter. Numbers keep the spelling that the event
//! source gave them.
//!
//! A person who may not see every value of a letter can edit it all the same ([`Edit::apply_seen`]). Such an edit reads no
//! hidden value, moves none to a place where it is shown, and its errors tell nothing about one.

mod change;
mod document;
mod hidden;
mod parse;

use std::fmt;

use json_patch::{Patch, PatchOperation};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Value, value::RawValue};

use self::document::{Measured, measure, same};
pub use self::{
    change::{Change, changes},
    document::Document,
    hidden::Seen,
};
use crate::{
    field_error::{FieldError, quoted},
    json::MAX_LEVELS,
};

/// The most operations of an edit.
pub const MAX_OPERATIONS: usize = 100;
/// The most bytes of a document at any time of an edit; copies could double it with each operation.
pub const MAX_BYTES: usize = 1 << 20;

/// A JSON Patch of the event in a dead letter.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit(Vec<PatchOperation>);

/// An operation as it may be shown to everybody: without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// `add`, `remove`, `replace`, `move`, `copy` or `test`.
    pub op: &'static str,
    /// The pointer to the place.
    pub path: String,
    /// The pointer to the source of `move` and `copy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Edit {
    /// Reads a JSON Patch. The pointers of the errors are into it.
    pub fn parse(json: &str) -> Result<Self, Vec<FieldError>> {
        parse::operations(json).map(Self)
    }

    /// The edit that makes one document of another.
    #[must_use]
    pub fn between(before: &Document, after: &Document) -> Self {
        Self(json_patch::diff(before.value(), after.value()).0)
    }

    /// The patch as JSON.
    #[must_use]
    pub fn text(&self) -> String {
        let value = serde_json::to_value(Patch(self.0.clone())).unwrap_or_default();
        document::text(&value)
    }

    /// The operations without their values.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let each = self.0.iter().map(|operation| Operation {
            op: name(operation),
            path: operation.path().to_string(),
            from: source(operation).map(str::to_owned),
        });
        each.collect()
    }

    /// Whether it has no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies the edit for somebody who sees the whole document.
    pub fn apply(&self, document: &Document) -> Result<Document, FieldError> {
        self.apply_seen(document, document).map(|seen| seen.document)
    }

    /// Applies the edit for a person to whom the document is shown as `shown`. The pointer of an error is into the patch.
    pub fn apply_seen(&self, document: &Document, shown: &Document) -> Result<Seen, FieldError> {
        let mut seen = hidden::SideBySide::new(document.value(), shown.value());
        for (index, operation) in self.0.iter().enumerate() {
            seen.apply(index, operation)?;
        }
        Ok(seen.end())
    }
}

/// Applies one operation. The error names its place in the patch.
fn apply_one(value: &mut Value, index: usize, operation: &PatchOperation) -> Result<(), FieldError> {
    let fail = |member: &str, code: &str, text: String| {
        Err(FieldError::new(format!("/{index}/{member}"), code, text))
    };
    let path = operation.path().as_str();
    if let PatchOperation::Test(test) = operation {
        return match value.pointer(path) {
            None => fail("path", "not-found", absent(path)),
            Some(found) if same(found, &test.value) => Ok(()),
            Some(_) => fail(
                "value",
                "test",
                format!("expected the value that is at {}", quoted(path)),
            ),
        };
    }
    if let Some(from) = source(operation)
        && value.pointer(from).is_none()
    {
        return fail("from", "not-found", absent(from));
    }
    if json_patch::patch(value, std::slice::from_ref(operation)).is_err() {
        return match operation {
            PatchOperation::Move(_) if path.starts_with(source(operation).unwrap_or_default()) => {
                let text = format!(
                    "expected a place that is not inside of what moves, not {}",
                    quoted(path)
                );
                fail("path", "inside", text)
            }
            _ => fail("path", "not-found", absent(path)),
        };
    }
    Ok(())
}

/// Whether a document is still small enough after an operation.
fn fits(value: &Value, index: usize) -> Result<(), FieldError> {
    let fail = |code: &str, text: String| Err(FieldError::new(format!("/{index}/op"), code, text));
    match measure(value, MAX_BYTES, MAX_LEVELS) {
        Measured::Fits => Ok(()),
        Measured::TooLarge => fail(
            "too-large",
            format!("expected an event of at most {MAX_BYTES} bytes after each operation"),
        ),
        Measured::TooDeep => fail(
            "too-deep",
            format!("expected an event of at most {MAX_LEVELS} levels after each operation"),
        ),
    }
}

fn absent(path: &str) -> String {
    format!(
        "expected a place of the event, not {}: there is none",
        quoted(path)
    )
}

fn name(operation: &PatchOperation) -> &'static str {
    match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    }
}

/// The place from which `move` and `copy` take their value.
fn source(operation: &PatchOperation) -> Option<&str> {
    match operation {
        PatchOperation::Move(operation) => Some(operation.from.as_str()),
        PatchOperation::Copy(operation) => Some(operation.from.as_str()),
        _ => None,
    }
}

/// The values of an edit may be secrets.
impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Edit").field(&self.operations()).finish()
    }
}

impl Serialize for Edit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.text()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Edit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(|errors| {
            let first = errors.into_iter().next();
            D::Error::custom(first.map_or_else(String::new, |error| error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests;
