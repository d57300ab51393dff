//! CloudEvents binary mode: attributes in headers (`ce-…` over HTTP, `ce_…` over Kafka), the payload as the body.

use serde_json::{Map, Value, value::RawValue};

use super::{Defaults, Event, MediaType, text};
use crate::field_error::{FieldError, quoted};
use crate::json::fault_in;

/// The headers of a binary-mode event, without prefix, names in lower case.
#[derive(Debug, Default, Clone)]
pub struct BinaryHeaders {
    /// Attributes and values, such as (`id`, `42`).
    pub attributes: Vec<(String, String)>,
    /// The body's media type.
    pub content_type: Option<String>,
}

impl Event {
    /// Reads a CloudEvents 1.0 event in binary mode. An empty body is an event without data.
    pub fn from_binary(
        headers: &BinaryHeaders,
        body: &[u8],
        defaults: Defaults<'_>,
    ) -> Result<Self, Vec<FieldError>> {
        let data = data(headers, body)?;
        let mut attributes = Map::new();
        for (name, value) in &headers.attributes {
            match name.as_str() {
                "data" | "data_base64" => {
                    let expected = "expected data as the body, not in a header";
                    return Err(vec![FieldError::new(format!("/{name}"), "conflict", expected)]);
                }
                // Equal to the content type, as checked above in this function.
                "datacontenttype" => {}
                _ if attributes.contains_key(name) => {
                    let expected = format!("expected the attribute {name} in one header, not in several");
                    return Err(vec![FieldError::new(format!("/{name}"), "duplicate", expected)]);
                }
                _ => {
                    attributes.insert(name.clone(), Value::from(value.as_str()));
                }
            }
        }
        let comma = if attributes.is_empty() { "" } else { "," };
        let mut document = Value::Object(attributes).to_string();
        if let Some(data) = data {
            document.pop();
            document = format!("{document}{comma}\"data\":{}}}", data.get());
        }
        Self::from_cloudevent(document.as_bytes(), defaults)
    }
}

/// The body as JSON, if there is one.
fn data<'a>(headers: &BinaryHeaders, body: &'a [u8]) -> Result<Option<&'a RawValue>, Vec<FieldError>> {
    let named = headers
        .attributes
        .iter()
        .find(|(name, _)| name == "datacontenttype");
    let named = named.map(|(_, value)| value.as_str());
    let carried = headers.content_type.as_deref();
    if let (Some(named), Some(carried)) = (named, carried)
        && MediaType::parse(named).essence() != MediaType::parse(carried).essence()
    {
        let expected = format!("expected the media type of the content-type header, {carried}, not {named}");
        return Err(vec![FieldError::new("/datacontenttype", "conflict", expected)]);
    }
    let body = text::json(body, "/data").map_err(|error| vec![error])?;
    if body.is_empty() {
        return Ok(None);
    }
    if let Some(text) = carried.or(named) {
        let media_type = MediaType::parse(text);
        if !media_type.is_json() {
            let expected = format!(
                "expected a JSON media type, such as application/json, not {}",
                quoted(text)
            );
            return Err(vec![FieldError::new("", "unsupported-media-type", expected)]);
        }
        if let Some(charset) = media_type.foreign_charset(body) {
            let expected = format!("expected JSON in UTF-8, not in {charset}");
            return Err(vec![FieldError::new("", "unsupported-media-type", expected)]);
        }
    }
    serde_json::from_slice(body).map(Some).map_err(|error| {
        let text = format!("expected JSON: {}", fault_in(body, &error, 1));
        vec![FieldError::new("/data", "malformed-json", text)]
    })
}
