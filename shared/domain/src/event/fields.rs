//! Reading named fields of a JSON object one by one, so that all invalid fields are reported, not only the first.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use chrono::Datelike as _;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::{Event, members::Members, sound::unsound, text};
use crate::{
    channel::Priority,
    clock::{Timestamp, truncate},
    field_error::{FieldError, MAX_ERRORS, echo, end_full, escape_token, is_full, quoted},
    json::fault_in,
    recipient::Recipient,
};

/// The unparsed fields of an object, and the errors so far.
pub(super) struct Fields<'a> {
    raw: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// Whether the fields are CloudEvents attributes. If so, integers and booleans are read as their text, as
    /// in headers.
    are_attributes: bool,
    pub(super) errors: Vec<FieldError>,
}

/// The error of bytes that are no JSON object, with the lines of a body in which the bytes begin at the line `line`.
#[must_use]
pub fn object_error(json: &[u8], line: usize) -> Option<FieldError> {
    members(json, line).err()
}

fn members(json: &[u8], line: usize) -> Result<Members<'_>, FieldError> {
    let json = text::json(json, "")?;
    serde_json::from_slice(json).map_err(|error| {
        if error.is_data() {
            let text = format!("expected a JSON object, not {}", text::json_kind(json));
            FieldError::new("", "type", text)
        } else {
            let text = format!("expected a JSON object: {}", fault_in(json, &error, line));
            FieldError::new("", "malformed-json", text)
        }
    })
}

impl<'a> Fields<'a> {
    /// Splits an object. Anything else is one error at the document's root.
    pub(super) fn of(json: &'a [u8]) -> Result<Self, Vec<FieldError>> {
        let Members { raw, repeated } = members(json, 1).map_err(|error| vec![error])?;
        let mut fields = Self {
            raw,
            are_attributes: false,
            errors: Vec::new(),
        };
        for name in repeated {
            let pointer = format!("/{}", escape_token(&name));
            fields.wrong(&pointer, "duplicate", "expected the member once");
        }
        Ok(fields)
    }

    /// Whether the object has a field, even if it is null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw.contains_key(name)
    }

    pub(super) fn with_attributes(self) -> Self {
        Self {
            are_attributes: true,
            ..self
        }
    }

    /// Removes a field and returns it unparsed; JSON `null` counts as absent.
    pub(super) fn take_raw(&mut self, name: &str) -> Option<&'a RawValue> {
        self.raw.remove(name).filter(|raw| raw.get() != "null")
    }

    /// Removes a field and parses it. A value that does not fit is an error that names the expected one.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Option<T> {
        let raw = self.take_raw(name)?;
        if let Ok(value) = serde_json::from_str(raw.get()) {
            Some(value)
        } else {
            let text = format!("{expected}, not {}", echo(raw.get()));
            self.wrong(&format!("/{name}"), "type", &text);
            None
        }
    }

    /// Removes a text.
    pub(super) fn take_attribute(&mut self, name: &str, expected: &str) -> Option<String> {
        if self.are_attributes
            && let Some(raw) = self.raw.get(name)
            && attribute_text(raw).is_some()
        {
            return self.take_raw(name).map(|raw| raw.get().to_owned());
        }
        self.take(name, expected)
    }

    /// Removes a text of ids. A number may be one, as in [`Self::take_attribute`]; true and false are mistakes.
    pub(super) fn take_ids(&mut self, name: &str, expected: &str) -> Option<String> {
        let flag = self.raw.get(name).map(|raw| raw.get());
        if let Some(flag @ ("true" | "false")) = flag {
            let text = format!("{expected}, not {flag}");
            self.raw.remove(name);
            self.wrong(&format!("/{name}"), "type", &text);
            return None;
        }
        self.take_attribute(name, expected)
    }

    /// Removes a non-empty text of at most `max` bytes.
    pub(super) fn take_text(&mut self, name: &str, max: usize) -> Option<String> {
        let text = self.take_attribute(name, "expected a string")?;
        if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
            let found = match text.len() {
                length if length > max => format!("{length} bytes"),
                _ => quoted(&text),
            };
            self.wrong(
                &format!("/{name}"),
                "format",
                &format!("expected 1 to {max} bytes without control characters, not {found}"),
            );
            return None;
        }
        Some(text)
    }

    /// Removes an RFC 3339 timestamp with a year of four digits.
    pub(super) fn take_time(&mut self, name: &str) -> Option<Timestamp> {
        let raw = self.take_raw(name)?;
        match read_time(raw, &format!("/{name}")) {
            Ok(time) => Some(time),
            Err(error) => {
                self.wrong(&error.pointer, &error.code, &error.message);
                None
            }
        }
    }

    /// Records an error, unless the list already has the most that an answer lists.
    pub(super) fn wrong(&mut self, pointer: &str, code: &str, message: &str) {
        match self.errors.len() {
            0..MAX_ERRORS => {}
            MAX_ERRORS => return end_full(&mut self.errors, None),
            _ => return,
        }
        self.errors.push(FieldError::new(pointer, code, message));
    }

    /// Adds an error for each remaining field, since the form is closed.
    pub(super) fn refuse_rest(&mut self, known: &str) {
        let names = std::mem::take(&mut self.raw).into_keys();
        let count = names.len();
        for (index, name) in names.enumerate() {
            if is_full(&self.errors) {
                return end_full(&mut self.errors, Some(count - index));
            }
            self.errors.push(FieldError::new(
                format!("/{}", escape_token(&name)),
                "unknown-field",
                format!("there is no field {}; expected only {known}", quoted(&name)),
            ));
        }
    }

    /// Keeps all remaining fields, since the form is open.
    pub(super) fn keep_rest(&mut self) -> BTreeMap<String, Arc<RawValue>> {
        std::mem::take(&mut self.raw)
            .into_iter()
            .filter_map(|(name, raw)| Some((name.to_string(), self.kept(&name, raw)?)))
            .collect()
    }

    /// Keeps a value unparsed, unless later readers could not parse it.
    pub(super) fn kept(&mut self, name: &str, raw: &RawValue) -> Option<Arc<RawValue>> {
        match unsound(name, raw) {
            None => Some(Arc::from(raw.to_owned())),
            Some(error) => {
                self.errors.push(error);
                None
            }
        }
    }
}

/// The text of an attribute that is an integer or a boolean (JSON format §2.2).
pub(super) fn attribute_text(raw: &RawValue) -> Option<&str> {
    let text = raw.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_integer || text == "true" || text == "false").then_some(text)
}

/// One attribute's content.
pub(super) enum AttributeContent<'a> {
    Text(Cow<'a, str>),
    Recipients(&'a [Recipient]),
    /// JSON as it was written.
    Raw(&'a RawValue),
}

/// The event in its wire form.
#[derive(Serialize)]
pub(super) struct WireEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sendat: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiresat: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    recipients: &'a [Recipient],
    data: &'a RawValue,
    #[serde(flatten)]
    extensions: &'a BTreeMap<String, Arc<RawValue>>,
}

impl<'a> From<&'a Event> for WireEvent<'a> {
    fn from(event: &'a Event) -> Self {
        let channels: Vec<&str> = event.channels.iter().map(|channel| channel.as_str()).collect();
        Self {
            specversion: "1.0",
            id: event.id.as_str(),
            source: &event.source,
            event_type: &event.event_type,
            time: event.time,
            datacontenttype: "application/json",
            priority: event.priority,
            sendat: event.send_at,
            expiresat: event.expires_at,
            channels: (!channels.is_empty()).then(|| channels.join(",")),
            recipients: &event.recipients,
            data: &event.data,
            extensions: &event.extensions,
        }
    }
}

impl WireEvent<'_> {
    /// All attributes by name, without `id`, `source` and `time`.
    pub(super) fn content(&self) -> Vec<(&str, AttributeContent<'_>)> {
        let mut content = Vec::with_capacity(10 + self.extensions.len());
        let text = |text| AttributeContent::Text(Cow::Borrowed(text));
        content.extend([
            ("specversion", text(self.specversion)),
            ("type", text(self.event_type)),
            ("datacontenttype", text(self.datacontenttype)),
            ("data", AttributeContent::Raw(self.data)),
        ]);
        let said = [
            ("priority", self.priority.as_ref().map(plain)),
            ("sendat", self.sendat.as_ref().map(plain)),
            ("expiresat", self.expiresat.as_ref().map(plain)),
        ];
        for (name, value) in said {
            if let Some(Value::String(value)) = value {
                content.push((name, AttributeContent::Text(value.into())));
            }
        }
        if let Some(channels) = &self.channels {
            content.push(("channels", text(channels)));
        }
        if !self.recipients.is_empty() {
            content.push(("recipients", AttributeContent::Recipients(self.recipients)));
        }
        content.extend(
            self.extensions
                .iter()
                .map(|(name, raw)| (name.as_str(), AttributeContent::Raw(raw))),
        );
        content
    }

    /// The attributes as values, by name, without `data`. This cannot fail: a value that cannot be parsed is
    /// returned as text.
    pub(super) fn values(&self) -> BTreeMap<&str, Value> {
        let value = |raw: &RawValue| {
            serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::String(raw.get().to_owned()))
        };
        let mut values: BTreeMap<&str, Value> = self
            .extensions
            .iter()
            .map(|(name, raw)| (name.as_str(), value(raw)))
            .collect();
        let text = |text: &str| Value::String(text.to_owned());
        values.insert("specversion", text(self.specversion));
        values.insert("id", text(self.id));
        values.insert("source", text(self.source));
        values.insert("type", text(self.event_type));
        values.insert("time", plain(&self.time));
        values.insert("datacontenttype", text(self.datacontenttype));
        for (name, said) in [
            ("priority", self.priority.as_ref().map(plain)),
            ("sendat", self.sendat.as_ref().map(plain)),
            ("expiresat", self.expiresat.as_ref().map(plain)),
            ("channels", self.channels.as_deref().map(text)),
        ] {
            if let Some(said) = said {
                values.insert(name, said);
            }
        }
        if !self.recipients.is_empty() {
            values.insert("recipients", plain(&self.recipients));
        }
        values
    }
}

/// A string, or a structure of strings, as a value.
fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Reads an RFC 3339 timestamp with a year of four digits; `pointer` is its place in the input.
pub fn read_time(raw: &RawValue, pointer: &str) -> Result<Timestamp, FieldError> {
    let refuse = |code: &str| {
        let text = format!(
            "expected an RFC 3339 timestamp, such as 2026-11-24T10:00:00Z, not {}",
            echo(raw.get())
        );
        FieldError::new(pointer, code, text)
    };
    let time: Timestamp = serde_json::from_str(raw.get()).map_err(|_| refuse("type"))?;
    if (0..=9_999).contains(&time.year()) {
        Ok(truncate(time))
    } else {
        Err(refuse("range"))
    }
}
