//! The recipients that an event names: in `recipients`, the extension `recipient`, `data.recipients`, or the places
//! of its catalog type, in this order.

mod item;
mod places;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

pub use self::places::RecipientPlaces;
use self::{item::Item, places::RecipientPlace};
use super::{Event, fields::WireEvent, json_kind};
use crate::{
    field_error::{FieldError, MAX_ERRORS, bounded, echo, end_full, escape_token, is_full, quoted},
    ids::UserId,
    json::fault,
    recipient::Recipient,
};

const LIST: &str = "expected a list of user ids and recipient objects";

/// The most recipients of an event.
pub const MAX_RECIPIENTS: usize = 1_000;

/// An invalid recipient. The other recipients of its event can still be notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRecipient {
    /// The recipient for display: the user id, the masked address, or the place.
    pub recipient: String,
    /// The user id, if the id itself is valid.
    pub user_id: Option<UserId>,
    /// Its errors.
    pub errors: Vec<FieldError>,
}

/// The recipients at one place of an event, valid and invalid.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) recipients: Vec<Recipient>,
    /// Where the valid ones were written.
    pub(super) places: RecipientPlaces,
    pub(super) unusable: Vec<InvalidRecipient>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.unusable.is_empty()
    }

    fn len(&self) -> usize {
        self.recipients.len() + self.unusable.len()
    }

    fn extend(&mut self, other: Self) {
        self.recipients.extend(other.recipients);
        self.places.extend(other.places);
        self.unusable.extend(other.unusable);
    }

    /// Reads a recipient: an object, or a user id alone.
    fn push(&mut self, value: &Value, at: &str) {
        self.push_item((value, None), RecipientPlace { at, index: None });
    }

    /// Reads a recipient. `repeated` is a member name that occurs twice in its object.
    fn push_item(&mut self, (value, repeated): (&Value, Option<&str>), place: RecipientPlace<'_>) {
        let mut errors = Vec::new();
        let pointer = &*place.pointer();
        let recipient = match (value, repeated) {
            // Parsers differ in which of two members they use, so the recipient is not known.
            (_, Some(name)) => {
                let at = format!("{pointer}/{}", escape_token(name));
                errors.push(FieldError::new(at, "duplicate", "expected the member once"));
                None
            }
            (Value::String(user), _) => Some(Recipient::user(user.as_str())),
            // Only integers are accepted: a fraction or a huge number has lost digits, so the user id is unknown.
            (Value::Number(number), _) if !number.is_f64() => Some(Recipient::user(number.to_string())),
            (Value::Number(_), _) => {
                let expected = format!(
                    "expected a user id as a text, or as a whole number between {} and {}, not {}",
                    i64::MIN,
                    u64::MAX,
                    echo(&value.to_string())
                );
                errors.push(FieldError::new(pointer, "type", expected));
                None
            }
            (Value::Object(fields), _) => {
                let recipient = Recipient::deserialize(value).ok();
                if recipient.is_none() {
                    explain(fields, pointer, &mut errors);
                }
                recipient
            }
            _ => {
                let expected = format!("expected a user id or a recipient object, not {}", kind_of(value));
                errors.push(FieldError::new(pointer, "type", expected));
                None
            }
        };
        match (&recipient, value) {
            (Some(recipient), Value::Object(_)) => recipient.validate(pointer, &mut errors),
            // The user id stands alone: its place is the recipient's.
            (Some(recipient), _) => recipient.validate_alone(pointer, &mut errors),
            (None, _) => {}
        }
        match recipient {
            Some(recipient) if errors.is_empty() => {
                self.recipients.push(recipient);
                self.places.push(place, value.is_object());
            }
            recipient => {
                let user_id = recipient
                    .as_ref()
                    .and_then(|recipient| recipient.user_id.clone())
                    .filter(|user| crate::recipient::is_user_id(user.as_str()));
                let shown = match (&user_id, recipient) {
                    (Some(user), _) => user.to_string(),
                    (None, Some(guest)) if guest.user_id.is_none() => guest.masked(),
                    _ => String::new(),
                };
                self.unusable.push(InvalidRecipient {
                    recipient: echo(if shown.is_empty() { pointer } else { &shown }),
                    user_id,
                    errors,
                });
            }
        }
    }
}

/// Adds errors for the fields that keep an object from being a recipient.
fn explain(fields: &serde_json::Map<String, Value>, pointer: &str, errors: &mut Vec<FieldError>) {
    const KNOWN: [&str; 5] = ["user_id", "email", "phone", "locale", "timezone"];
    for (name, value) in fields {
        if is_full(errors) {
            return end_full(errors, None);
        }
        let at = format!("{pointer}/{}", escape_token(name));
        if !KNOWN.contains(&name.as_str()) {
            let expected = format!(
                "there is no field {}; expected only {}",
                quoted(name),
                KNOWN.join(", ")
            );
            errors.push(FieldError::new(at, "unknown-field", expected));
        } else if !value.is_string() && !value.is_null() {
            errors.push(FieldError::new(
                at,
                "type",
                format!("expected a string, not {}", kind_of(value)),
            ));
        }
    }
}

/// Reads a list of recipients.
pub(super) fn parse_list(json: &str, pointer: &str, errors: &mut Vec<FieldError>) -> Found {
    if let Ok(items) = serde_json::from_str::<Vec<Item>>(json) {
        collect(items.iter().map(Item::parts), pointer, errors)
    } else {
        let expected = format!("{LIST}, not {}", json_kind(json.as_bytes()));
        errors.push(FieldError::new(pointer, "type", expected));
        Found::default()
    }
}

/// Reads values, each with the member name that occurs twice in its object, if there is one.
fn collect<'v>(
    values: impl ExactSizeIterator<Item = (&'v Value, Option<&'v str>)>,
    pointer: &str,
    errors: &mut Vec<FieldError>,
) -> Found {
    let mut found = Found::default();
    if values.len() > MAX_RECIPIENTS {
        errors.push(too_many(pointer, values.len()));
        return found;
    }
    found.recipients.reserve(values.len());
    for (index, value) in values.enumerate() {
        let index = Some(index);
        found.push_item(value, RecipientPlace { at: pointer, index });
    }
    found
}

/// A value of a document without repeated members.
fn sound(value: &Value) -> (&Value, Option<&str>) {
    (value, None)
}

fn too_many(pointer: &str, count: usize) -> FieldError {
    let message = format!("expected at most {MAX_RECIPIENTS} recipients, got {count}");
    FieldError::new(pointer, "too-many-recipients", message)
}

/// Reads the CloudEvents extension `recipient`: user ids, separated by commas; or, for ids that have commas, brackets or
/// outer spaces themselves, a JSON list.
pub(super) fn parse_extension(text: &str, errors: &mut Vec<FieldError>) -> Found {
    const POINTER: &str = "/recipient";
    if text.trim_start().starts_with('[') {
        return match serde_json::from_str::<Vec<Item>>(text) {
            Ok(items) => collect(items.iter().map(Item::parts), POINTER, errors),
            Err(error) => {
                let fault = fault(&error);
                let expected =
                    format!("expected user ids, comma-separated, or a JSON list of user ids: {fault}");
                errors.push(FieldError::new(POINTER, "format", expected));
                Found::default()
            }
        };
    }
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
    let values: Vec<Value> = ids.map(Value::from).collect();
    let mut found = Found::default();
    if values.len() > MAX_RECIPIENTS {
        errors.push(too_many(POINTER, values.len()));
        return found;
    }
    if values.is_empty() {
        found.places.name_nobody(POINTER);
    }
    // A pointer leads to the attribute: its text has no places of its own.
    for value in &values {
        found.push(value, POINTER);
    }
    found
}

/// Reads `data.recipients`. Data may have a member of this name that is no list and holds no recipients; this is an
/// error only if the event names none elsewhere ([`Event::no_recipient`]).
pub(super) fn in_data(data: &str, errors: &mut Vec<FieldError>) -> Found {
    match raw_in_data(data).map(|raw| serde_json::from_str::<Vec<Value>>(raw.get())) {
        Some(Ok(values)) => collect(values.iter().map(sound), "/data/recipients", errors),
        _ => Found::default(),
    }
}

/// The member `recipients` of the data, unless it is null.
fn raw_in_data(data: &str) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        recipients: Option<&'a RawValue>,
    }
    if !data.contains("\"recipients\"") {
        return None;
    }
    let data: Data<'_> = serde_json::from_str(data).ok()?;
    data.recipients
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Event {
    /// Fills in recipients from the places of the catalog type (JSON pointers into the event), for an event that
    /// names none itself. Invalid recipients go to [`Event::unusable`]. Returns an error if there are too many.
    pub fn resolve_recipients(&mut self, pointers: &[String]) -> Result<(), Vec<FieldError>> {
        if !self.recipients.is_empty() || !self.unusable.is_empty() || pointers.is_empty() {
            return Ok(());
        }
        // Built from the event's parts: data of the deepest accepted nesting would be one level too deep within a
        // single text.
        let wire = WireEvent::from(&*self);
        let mut document = wire.values();
        let data = serde_json::from_str(self.data.get());
        document.insert("data", data.unwrap_or_default());
        let document: Value = document.into_iter().collect();
        let mut errors = Vec::new();
        let mut found = Found::default();
        for pointer in pointers {
            match document.pointer(pointer) {
                None | Some(Value::Null) => {}
                Some(Value::Array(values)) => {
                    found.extend(collect(values.iter().map(sound), pointer, &mut errors));
                }
                Some(value) => found.push(value, pointer),
            }
        }
        if found.len() > MAX_RECIPIENTS {
            let first = pointers.first().map_or("/recipients", String::as_str);
            errors.push(too_many(first, found.len()));
        }
        self.recipients = found.recipients;
        if !self.recipients.is_empty() {
            self.places = found.places;
        }
        self.unusable = found.unusable;
        if errors.is_empty() {
            Ok(())
        } else {
            Err(bounded(errors))
        }
    }

    /// The error of an event that names no recipient.
    #[must_use]
    pub fn no_recipient(&self) -> FieldError {
        match raw_in_data(self.data.get()).map(|raw| json_kind(raw.get().as_bytes())) {
            None | Some("a list") => {
                let at = self.places.names_nobody().unwrap_or("/recipients");
                FieldError::new(at, "required", "expected at least one recipient")
            }
            Some(kind) => FieldError::new("/data/recipients", "type", format!("{LIST}, not {kind}")),
        }
    }

    /// The errors of the invalid recipients.
    #[must_use]
    pub fn recipient_errors(&self) -> Vec<FieldError> {
        let errors = self.unusable.iter().flat_map(|unusable| &unusable.errors);
        bounded(errors.take(MAX_ERRORS + 1).cloned().collect())
    }
}
