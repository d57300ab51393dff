//! Reading a record as a document, into which the pointers of rules lead.

use super::def::{RowOp, SourceFormat};
use crate::{
    clock::Timestamp,
    event::json_text,
    field_error::{FieldError, quoted},
    json::{Map, Value, fault_in, value},
};

/// The text that Debezium writes instead of a large value that a change did not touch.
pub(super) const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// A record of a source.
#[derive(Debug, Clone)]
pub struct SourceRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; empty if there is none.
    pub value: &'a [u8],
    /// Its headers.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The time at which it was written, if that is known.
    pub written_at: Option<Timestamp>,
}

/// What a record is.
#[derive(Debug)]
pub(super) enum Read {
    /// It has no value.
    Tombstone,
    /// It reports a deleted row, or a truncated table.
    Deleted,
    /// It is no change of a row.
    Other,
    /// A change of a row.
    Row(RowOp, Map),
    /// An event of an outbox.
    Event(Map),
}

/// Reads a record. An error means that it has another form.
pub(super) fn read(format: SourceFormat, record: &SourceRecord<'_>) -> Result<Read, FieldError> {
    if record.value.is_empty() {
        return Ok(Read::Tombstone);
    }
    let value = without_schema(json(record.value, "")?);
    if value == Value::Null {
        return Ok(Read::Tombstone);
    }
    match format {
        SourceFormat::Debezium => envelope(value, record),
        SourceFormat::Outbox => Ok(Read::Event(outbox(value, record)?)),
    }
}

fn envelope(value: Value, record: &SourceRecord<'_>) -> Result<Read, FieldError> {
    let Value::Object(mut document) = value else {
        let text = format!("expected a Debezium envelope, an object, not {}", kind(&value));
        return Err(FieldError::new("", "type", text));
    };
    if !document.contains_key("op")
        && let Some(Value::Object(payload)) = document.remove("payload")
    {
        document = payload;
    }
    let Some(op) = member(&document, "op") else {
        let text = "expected a Debezium envelope with op, before and after; if the connector unwraps its records \
                    (ExtractNewRecordState), remove that";
        return Err(FieldError::new("/op", "required", text));
    };
    let op = match op.as_str() {
        Some("c") => RowOp::Create,
        Some("u") => RowOp::Update,
        Some("r") => RowOp::Read,
        Some("d" | "t") => return Ok(Read::Deleted),
        // A message of PostgreSQL's log.
        Some("m") => return Ok(Read::Other),
        _ => {
            let text = format!(
                "expected c, u, r, d, t or m, not {}",
                crate::field_error::echo(op)
            );
            return Err(FieldError::new("/op", "unknown", text));
        }
    };
    for (name, may_lack) in [("after", false), ("before", true)] {
        match member(&document, name) {
            Some(Value::Object(_)) => {}
            None if may_lack => {}
            found => {
                let found = found.map_or("nothing", kind);
                let text = format!("expected the row, an object, not {found}");
                return Err(FieldError::new(format!("/{name}"), "type", text));
            }
        }
    }
    add_key_and_headers(&mut document, record);
    Ok(Read::Row(op, document))
}

fn outbox(value: Value, record: &SourceRecord<'_>) -> Result<Map, FieldError> {
    // The router passes the payload's text on as it is, unless it is told to expand it.
    let payload = match value {
        Value::String(text) => json(text.as_bytes(), "")?,
        payload => payload,
    };
    if !matches!(payload, Value::Object(_)) {
        let text = format!("expected the payload, a JSON object, not {}", kind(&payload));
        return Err(FieldError::new("", "type", text));
    }
    let mut document = Map::from([("payload".to_owned(), payload)]);
    add_key_and_headers(&mut document, record);
    Ok(document)
}

/// Adds the members `key` and `headers`. Texts that are no JSON stay texts.
fn add_key_and_headers(document: &mut Map, record: &SourceRecord<'_>) {
    let key = record.key.map(|key| lenient(key, false));
    document.insert("key".to_owned(), key.unwrap_or(Value::Null));
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| ((*name).to_owned(), lenient(value, true)));
    document.insert("headers".to_owned(), Value::Object(headers.collect()));
}

/// The value of a key or of a header: JSON without its schema, or the text itself. A header's number stays a text, because
/// converters write headers' texts without quotes.
fn lenient(bytes: &[u8], is_header: bool) -> Value {
    let text = || Value::String(String::from_utf8_lossy(bytes).into_owned());
    match json(bytes, "").map(without_schema) {
        Ok(Value::Number(_) | Value::Bool(_)) if is_header => text(),
        Ok(value) => value,
        Err(_) => text(),
    }
}

/// The payload of a value that the JSON converter has written with its schema, else the value itself.
fn without_schema(value: Value) -> Value {
    match value {
        Value::Object(mut fields) if fields.len() == 2 && fields.contains_key("schema") => {
            match fields.remove("payload") {
                Some(payload) => payload,
                None => Value::Object(fields),
            }
        }
        value => value,
    }
}

fn json(bytes: &[u8], at: &str) -> Result<Value, FieldError> {
    let text = json_text(bytes, at)?;
    let malformed = |why: String| FieldError::new(at, "malformed-json", format!("expected JSON: {why}"));
    let readable = std::str::from_utf8(text).map_err(|_| {
        let error = serde_json::from_slice::<serde::de::IgnoredAny>(text).err();
        malformed(error.map_or_else(
            || "the text is not UTF-8".to_owned(),
            |error| fault_in(text, &error, 1),
        ))
    })?;
    value(readable).map_err(|error| malformed(fault_in(text, &error, 1)))
}

/// A member that is there and not null.
pub(super) fn member<'m>(fields: &'m Map, name: &str) -> Option<&'m Value> {
    fields.get(name).filter(|value| **value != Value::Null)
}

/// The value at a JSON pointer, if it is there (RFC 6901 §4).
pub(super) fn at<'m>(fields: &'m Map, pointer: &str) -> Option<&'m Value> {
    let mut tokens = pointer
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"));
    let mut found = fields.get(&tokens.next()?)?;
    for token in tokens {
        found = match found {
            Value::Object(fields) => fields.get(&token)?,
            Value::Array(items) if token == "0" || !token.starts_with('0') => {
                items.get(token.parse::<usize>().ok()?)?
            }
            _ => return None,
        };
    }
    Some(found)
}

/// The kind of a value, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The value at a pointer of a rule, whose place in the record an error names. It may be null.
pub(super) fn required<'m>(document: &'m Map, pointer: &str) -> Result<&'m Value, FieldError> {
    let found = at(document, pointer).ok_or_else(|| {
        let text = "expected a value, to which a rule of the catalog points, not nothing";
        FieldError::new(pointer, "no-value", text)
    })?;
    if found.as_str() == Some(UNAVAILABLE) {
        return Err(unavailable(pointer));
    }
    Ok(found)
}

/// The error of a value that the record does not contain.
pub(super) fn unavailable(pointer: &str) -> FieldError {
    let text = format!(
        "expected a value, not {}: the change did not touch this large value, so the record lacks it; with REPLICA IDENTITY \
         FULL it has it",
        quoted(UNAVAILABLE)
    );
    FieldError::new(pointer, "unavailable", text)
}
