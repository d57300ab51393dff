//! The differences of two documents, field by field.

use serde_json::Value;

use super::document::{Document, text};
use crate::field_error::escape_token;

/// The most differences that are listed.
const MAX_CHANGES: usize = 200;

/// A place that an edit changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The pointer to the place.
    pub pointer: String,
    /// The JSON before the edit; `None` if the place was not there.
    pub before: Option<String>,
    /// The JSON after the edit; `None` if the place is gone.
    pub after: Option<String>,
}

/// The places at which two documents differ, and whether there are more than are listed.
#[must_use]
pub fn changes(before: &Document, after: &Document) -> (Vec<Change>, bool) {
    let mut found = Vec::new();
    walk("", Some(before.value()), Some(after.value()), &mut found);
    let is_cut = found.len() > MAX_CHANGES;
    found.truncate(MAX_CHANGES);
    (found, is_cut)
}

fn walk(at: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    if before == after || found.len() > MAX_CHANGES {
        return;
    }
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let names = before
                .keys()
                .chain(after.keys().filter(|name| !before.contains_key(*name)));
            for name in names {
                let at = format!("{at}/{}", escape_token(name));
                walk(&at, before.get(name), after.get(name), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                walk(
                    &format!("{at}/{index}"),
                    before.get(index),
                    after.get(index),
                    found,
                );
            }
        }
        _ => found.push(Change {
            pointer: at.to_owned(),
            before: before.map(text),
            after: after.map(text),
        }),
    }
}
