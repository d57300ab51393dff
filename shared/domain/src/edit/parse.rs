//! Reading a JSON Patch, with an error for each wrong operation.

use json_patch::PatchOperation;
use serde_json::{Map, Value};

use super::{MAX_OPERATIONS, document::read};
use crate::{
    field_error::{FieldError, bounded, quoted},
    mask::place::is_pointer,
};

pub(super) fn operations(json: &str) -> Result<Vec<PatchOperation>, Vec<FieldError>> {
    let fail = |code: &str, text: String| Err(vec![FieldError::new("", code, text)]);
    let Some(value) = read(json) else {
        return fail("malformed-json", "expected JSON".to_owned());
    };
    let Value::Array(items) = value else {
        return fail("type", "expected a list of operations (RFC 6902)".to_owned());
    };
    if items.len() > MAX_OPERATIONS || items.is_empty() {
        let text = format!("expected 1 to {MAX_OPERATIONS} operations, not {}", items.len());
        return fail("range", text);
    }
    let (mut operations, mut errors) = (Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        match operation(item) {
            Ok(operation) => operations.push(operation),
            Err((member, code, text)) => {
                errors.push(FieldError::new(format!("/{index}{member}"), code, text));
            }
        }
    }
    if errors.is_empty() {
        return Ok(operations);
    }
    Err(bounded(errors))
}

type Wrong = (&'static str, &'static str, String);

fn operation(item: Value) -> Result<PatchOperation, Wrong> {
    let Value::Object(mut members) = item else {
        return Err(("", "type", "expected an operation, an object".to_owned()));
    };
    let op = match members.get("op") {
        Some(Value::String(op)) => op.clone(),
        _ => return Err(("/op", "required", "expected the name of an operation".to_owned())),
    };
    let needed: &[&str] = match op.as_str() {
        "add" | "replace" | "test" => &["path", "value"],
        "move" | "copy" => &["path", "from"],
        "remove" => &["path"],
        other => {
            let text = format!(
                "expected add, remove, replace, move, copy or test, not {}",
                quoted(other)
            );
            return Err(("/op", "unknown", text));
        }
    };
    pointer(&members, "path", "/path")?;
    if needed.contains(&"from") {
        pointer(&members, "from", "/from")?;
    }
    if needed.contains(&"value") && !members.contains_key("value") {
        return Err((
            "/value",
            "required",
            "expected the value of the operation".to_owned(),
        ));
    }
    // Other members are ignored (RFC 6902 §4).
    members.retain(|name, _| name == "op" || needed.contains(&name.as_str()));
    serde_json::from_value(Value::Object(members))
        .map_err(|_| ("", "format", "expected an operation of RFC 6902".to_owned()))
}

fn pointer(members: &Map<String, Value>, name: &str, at: &'static str) -> Result<(), Wrong> {
    match members.get(name) {
        Some(Value::String(text)) if text.is_empty() || is_pointer(text) => Ok(()),
        Some(Value::String(text)) => {
            let text = format!(
                "expected a JSON pointer such as /data/order_id, not {}",
                quoted(text)
            );
            Err((at, "format", text))
        }
        _ => Err((
            at,
            "required",
            "expected a JSON pointer such as /data/order_id".to_owned(),
        )),
    }
}
