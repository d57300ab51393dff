//! CloudEvents binary mode: attributes in headers (`ce-…` over HTTP, `ce_…` over Kafka), the payload as the body.

use serde_json::{Map, Value, value::RawValue};

use super::{Defaults, Event, parse};
use crate::field_error::FieldError;

/// The headers of a binary-mode event, prefix taken off, names in lower case.
#[derive(Debug, Default, Clone)]
pub struct BinaryHeaders {
    /// Attribute and value, such as (`id`, `42`).
    pub attributes: Vec<(String, String)>,
    /// The body's media type.
    pub content_type: Option<String>,
}

impl Event {
    /// Reads a CloudEvents 1.0 event in binary mode.
    pub fn from_binary(
        headers: &BinaryHeaders,
        body: &[u8],
        defaults: Defaults,
    ) -> Result<Self, Vec<FieldError>> {
        if let Some(media_type) = &headers.content_type
            && !parse::is_json(media_type)
        {
            let expected = "expected a JSON media type, such as application/json";
            return Err(vec![FieldError::new("", "unsupported-media-type", expected)]);
        }
        let data: &RawValue = if body.is_empty() {
            return Err(vec![FieldError::new(
                "/data",
                "required",
                "expected a JSON object as the body",
            )]);
        } else {
            serde_json::from_slice(body).map_err(|error| {
                vec![FieldError::new(
                    "/data",
                    "malformed-json",
                    format!("expected JSON: {error}"),
                )]
            })?
        };
        let attributes: Map<String, Value> = headers
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let mut document = Value::Object(attributes).to_string();
        document.pop();
        let comma = if headers.attributes.is_empty() { "" } else { "," };
        let document = format!("{document}{comma}\"data\":{}}}", data.get());
        Self::from_cloudevent(document.as_bytes(), defaults)
    }
}
