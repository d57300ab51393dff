//! Where an event says whom it is for: `recipients`, the extension `recipient`, `data.recipients`, or the places that
//! its catalog type names, in this order.

use serde::Deserialize;
use serde_json::Value;

use super::{Event, fields::WireEvent};
use crate::{
    field_error::{FieldError, bounded, end_full, is_full},
    recipient::Recipient,
};

/// The most recipients one event may name.
pub const MAX_RECIPIENTS: usize = 1_000;

/// A recipient as people write it: an object, or a user id alone.
fn parse_one(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) -> Option<Recipient> {
    let recipient = match value {
        Value::String(user) => Recipient::user(user.as_str()),
        Value::Number(number) => Recipient::user(number.to_string()),
        Value::Object(fields) => {
            if let Ok(recipient) = Recipient::deserialize(value) {
                recipient
            } else {
                explain(fields, pointer, errors);
                return None;
            }
        }
        _ => {
            errors.push(FieldError::new(
                pointer,
                "type",
                "expected a user id or a recipient object",
            ));
            return None;
        }
    };
    let before = errors.len();
    recipient.validate(pointer, errors);
    (errors.len() == before).then_some(recipient)
}

/// Names the fields for which an object is not a recipient.
fn explain(fields: &serde_json::Map<String, Value>, pointer: &str, errors: &mut Vec<FieldError>) {
    const KNOWN: [&str; 5] = ["user_id", "email", "phone", "locale", "timezone"];
    for (name, value) in fields {
        if is_full(errors) {
            return end_full(errors, None);
        }
        let at = format!("{pointer}/{}", crate::field_error::escape_token(name));
        if !KNOWN.contains(&name.as_str()) {
            let expected = format!("unknown field; expected only {}", KNOWN.join(", "));
            errors.push(FieldError::new(at, "unknown-field", expected));
        } else if !value.is_string() && !value.is_null() {
            errors.push(FieldError::new(at, "type", "expected a string"));
        }
    }
}

/// Reads a list of recipients.
pub(super) fn parse_list(json: &str, pointer: &str, errors: &mut Vec<FieldError>) -> Vec<Recipient> {
    if let Ok(values) = serde_json::from_str::<Vec<Value>>(json) {
        collect(&values, pointer, errors)
    } else {
        errors.push(FieldError::new(pointer, "type", "expected a list of recipients"));
        Vec::new()
    }
}

fn collect(values: &[Value], pointer: &str, errors: &mut Vec<FieldError>) -> Vec<Recipient> {
    if values.len() > MAX_RECIPIENTS {
        errors.push(too_many(pointer, values.len()));
        return Vec::new();
    }
    let mut recipients: Vec<Recipient> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        if is_full(errors) {
            end_full(errors, None);
            break;
        }
        if let Some(recipient) = parse_one(value, &format!("{pointer}/{index}"), errors) {
            recipients.push(recipient);
        }
    }
    recipients
}

fn too_many(pointer: &str, count: usize) -> FieldError {
    let message = format!("expected at most {MAX_RECIPIENTS} recipients, got {count}");
    FieldError::new(pointer, "too-many-recipients", message)
}

/// Fills in recipients from the CloudEvents extension `recipient`, else from `data.recipients`.
pub(super) fn fill(event: &mut Event, extension: Option<&str>, errors: &mut Vec<FieldError>) {
    if !event.recipients.is_empty() {
        return;
    }
    if let Some(list) = extension {
        let ids = list.split(',').map(str::trim).filter(|id| !id.is_empty());
        let values: Vec<Value> = ids.map(Value::from).collect();
        event.recipients = collect(&values, "/recipient", errors);
    }
    if event.recipients.is_empty() && event.data.get().contains("\"recipients\"") {
        #[derive(Deserialize)]
        struct Data {
            recipients: Option<Vec<Value>>,
        }
        if let Ok(Data {
            recipients: Some(values),
        }) = serde_json::from_str(event.data.get())
        {
            event.recipients = collect(&values, "/data/recipients", errors);
        }
    }
}

impl Event {
    /// Fills in recipients from the places that the catalog type names (JSON pointers into the event), for an event
    /// that names none itself. An error names the pointer at which something else stood.
    pub fn resolve_recipients(&mut self, pointers: &[String]) -> Result<(), Vec<FieldError>> {
        if !self.recipients.is_empty() || pointers.is_empty() {
            return Ok(());
        }
        // From its parts: as one text, data of the deepest nesting that is taken would be a level too deep to parse.
        let document: Value = WireEvent::from(&*self).values().into_iter().collect();
        let mut errors = Vec::new();
        for pointer in pointers {
            match document.pointer(pointer) {
                None | Some(Value::Null) => {}
                Some(Value::Array(values)) => self.recipients.extend(collect(values, pointer, &mut errors)),
                Some(value) => self.recipients.extend(parse_one(value, pointer, &mut errors)),
            }
        }
        let count = self.recipients.len();
        if count > MAX_RECIPIENTS {
            errors.push(too_many("/recipients", count));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(bounded(errors))
        }
    }
}
