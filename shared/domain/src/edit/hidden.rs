//! Editing a document with hidden values. Three documents are edited side by side: the true one, the one that is shown,
//! and one in which each hidden value is a mark of its own. The shown one is edited first, so errors concern only shown
//! values. The marks give the places of the hidden values afterwards.

use json_patch::PatchOperation;
use serde_json::Value;

use super::{
    apply_one,
    document::{self, Document, hidden_number},
    fits, source,
};
use crate::{
    field_error::{FieldError, escape_token},
    mask::HIDDEN,
};

/// A document under edit.
pub(super) struct SideBySide {
    document: Value,
    shown: Value,
    marked: Value,
    /// The hidden values as they are shown.
    hidden: Vec<Value>,
}

/// An edited document, with the places of values that the editor does not see.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The document after the edit.
    pub document: Document,
    /// The same document with marks in place of hidden values.
    marked: Value,
    hidden: Vec<Value>,
}

impl SideBySide {
    pub(super) fn new(document: &Value, shown: &Value) -> Self {
        let mut hidden = Vec::new();
        let (shown, marked) = compare(document, shown, &mut hidden);
        Self {
            document: document.clone(),
            shown,
            marked,
            hidden,
        }
    }

    pub(super) fn apply(&mut self, index: usize, operation: &PatchOperation) -> Result<(), FieldError> {
        if self.hidden.is_empty() {
            apply_one(&mut self.document, index, operation)?;
            return fits(&self.document, index);
        }
        let read = match operation {
            PatchOperation::Test(test) => Some(("path", test.path.as_str())),
            _ => source(operation).map(|from| ("from", from)),
        };
        if let Some((member, place)) = read
            && self.marked.pointer(place).is_some_and(has_mark)
        {
            let text = "expected a place without hidden values: an edit must not read hidden values";
            return Err(FieldError::new(format!("/{index}/{member}"), "hidden", text));
        }
        let written = match operation {
            PatchOperation::Add(add) => Some(&add.value),
            PatchOperation::Replace(replace) => Some(&replace.value),
            _ => None,
        };
        if written.is_some_and(|value| self.hidden.iter().any(|shown| writes(value, shown))) {
            let text = "expected a new value, not the text that stands for a hidden value";
            return Err(FieldError::new(format!("/{index}/value"), "hidden", text));
        }
        apply_one(&mut self.shown, index, operation)?;
        let unseen = |_| {
            let text = "expected a place outside of hidden values";
            FieldError::new(format!("/{index}/path"), "hidden", text)
        };
        apply_one(&mut self.marked, index, operation).map_err(unseen)?;
        apply_one(&mut self.document, index, operation).map_err(unseen)?;
        // The other two have the same shape.
        fits(&self.document, index)
    }

    pub(super) fn end(self) -> Seen {
        let marked = if self.hidden.is_empty() {
            self.document.clone()
        } else {
            self.marked
        };
        Seen {
            document: Document::of(self.document),
            marked,
            hidden: self.hidden,
        }
    }
}

impl Seen {
    /// The pointer to a hidden value that would be shown if the edited document were shown as `shown`; `None` if each is
    /// shown as before, or not at all.
    #[must_use]
    pub fn uncovers(&self, shown: &Document) -> Option<String> {
        let mut places = Vec::new();
        marks(&self.marked, "", &mut places);
        let uncovered = places.into_iter().find(|(pointer, number)| {
            let before = self.hidden.get(*number);
            match shown.value().pointer(pointer) {
                Some(Value::String(text)) if text == HIDDEN => false,
                Some(now) => before != Some(now),
                None => !is_below_hidden(shown.value(), pointer),
            }
        });
        uncovered.map(|(pointer, _)| pointer)
    }

    /// Whether a value that is hidden as a whole, and not only masked as an address, is still in the document.
    #[must_use]
    pub fn keeps_secrets(&self) -> bool {
        let mut places = Vec::new();
        marks(&self.marked, "", &mut places);
        let is_secret = |number: &usize| self.hidden.get(*number).is_none_or(|shown| holds(shown, HIDDEN));
        places.iter().any(|(_, number)| is_secret(number))
    }

    /// Whether the value at a pointer is hidden, or holds or is part of one that is.
    #[must_use]
    pub fn hides(&self, pointer: &str) -> bool {
        let mut at = pointer;
        loop {
            match self.marked.pointer(at) {
                Some(found) => return has_mark(found),
                None => match at.rfind('/') {
                    Some(parent) => at = &at[..parent],
                    None => return false,
                },
            }
        }
    }
}

/// The shown document with one text for each hidden value, and the same with marks.
fn compare(document: &Value, shown: &Value, hidden: &mut Vec<Value>) -> (Value, Value) {
    if document == shown {
        return (shown.clone(), document.clone());
    }
    match (document, shown) {
        (Value::Object(own), Value::Object(seen))
            if own.len() == seen.len() && own.keys().all(|name| seen.contains_key(name)) =>
        {
            let pairs = own.iter().map(|(name, own)| {
                let (shown, marked) = compare(own, &seen[name], hidden);
                ((name.clone(), shown), (name.clone(), marked))
            });
            let (shown, marked): (Vec<_>, Vec<_>) = pairs.unzip();
            (
                Value::Object(shown.into_iter().collect()),
                Value::Object(marked.into_iter().collect()),
            )
        }
        (Value::Array(own), Value::Array(seen)) if own.len() == seen.len() => {
            let pairs = own.iter().zip(seen).map(|(own, seen)| compare(own, seen, hidden));
            let (shown, marked) = pairs.unzip();
            (Value::Array(shown), Value::Array(marked))
        }
        _ => {
            let mark = document::hidden(hidden.len());
            hidden.push(shown.clone());
            // An object whose names are masked is one hidden value.
            let text = match shown {
                Value::Object(_) | Value::Array(_) => Value::from(HIDDEN),
                plain => plain.clone(),
            };
            (text, mark)
        }
    }
}

fn has_mark(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_mark),
        Value::Object(members) => members.values().any(has_mark),
        plain => hidden_number(plain).is_some(),
    }
}

fn marks(value: &Value, at: &str, found: &mut Vec<(String, usize)>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                marks(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                marks(member, &format!("{at}/{}", escape_token(name)), found);
            }
        }
        plain => found.extend(hidden_number(plain).map(|number| (at.to_owned(), number))),
    }
}

/// Whether a value has the text that is shown for a hidden one. Such a value would replace the hidden one.
fn writes(value: &Value, shown: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| writes(item, shown)),
        Value::Object(members) => members.values().any(|member| writes(member, shown)),
        Value::String(_) => value == shown,
        _ => false,
    }
}

fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own.contains(text),
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(members) => members.values().any(|member| holds(member, text)),
        _ => false,
    }
}

/// Whether the place lies below a value that is hidden as a whole.
fn is_below_hidden(shown: &Value, pointer: &str) -> bool {
    let mut at = pointer;
    while let Some(parent) = at.rfind('/') {
        at = &at[..parent];
        if let Some(found) = shown.pointer(at) {
            return found.as_str() == Some(HIDDEN);
        }
    }
    false
}
