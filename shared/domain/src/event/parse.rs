//! Parsing an event: the plain form (closed) and CloudEvents structured JSON (open).

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::value::RawValue;

use super::{
    Defaults, Event, MediaType,
    fields::Fields,
    recipients::{self, Found},
    text,
};
use crate::{
    channel::{Channel, Priority},
    field_error::{FieldError, bounded, quoted},
    ids::EventId,
    json::{base64_fault, fault_in},
};

const PLAIN_FIELDS: &str =
    "id, source, type, time, recipients, priority, sendat, expiresat, channels and data";
const CHANNELS: &str = "expected a comma-separated list of push, email, sms and webhook";
/// The longest type, in bytes.
const MAX_TYPE: usize = 1_024;

impl Event {
    /// Reads Carillon's plain form. It is closed: an unknown field is an error.
    pub fn from_plain(json: &[u8], defaults: Defaults<'_>) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(json)?;
        let channels =
            fields.take::<Vec<Channel>>("channels", "expected a list of push, email, sms and webhook");
        if channels.as_deref().is_some_and(<[_]>::is_empty) {
            fields.wrong(
                "/channels",
                "empty",
                "expected at least one of push, email, sms and webhook",
            );
        }
        let found = take_recipients(&mut fields);
        let data = take_data(&mut fields);
        let (found, data) = with_data(&mut fields, found, data);
        let event = common(&mut fields, defaults, found, channels.unwrap_or_default(), data);
        fields.refuse_rest(PLAIN_FIELDS);
        finish(event, fields.errors)
    }

    /// Reads a CloudEvents 1.0 event in structured mode. It is open: unknown attributes are kept.
    pub fn from_cloudevent(json: &[u8], defaults: Defaults<'_>) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(json)?.with_attributes();
        let errors_before = fields.errors.len();
        match fields.take_attribute("specversion", "expected the string \"1.0\"") {
            Some(version) if version == "1.0" => {}
            Some(version) => {
                let text = format!("expected \"1.0\", not {}", quoted(&version));
                fields.wrong("/specversion", "unsupported", &text);
            }
            // A value of another type is an error already.
            None if fields.errors.len() > errors_before => {}
            None => fields.wrong("/specversion", "required", "expected \"1.0\""),
        }
        let content_type = fields
            .take_attribute("datacontenttype", "expected a media type")
            .unwrap_or_default();
        if !content_type.is_empty() && !MediaType::parse(&content_type).is_json() {
            let named = quoted(&content_type);
            let text = format!("expected a JSON media type, such as application/json, not {named}");
            fields.wrong("/datacontenttype", "unsupported", &text);
        }
        let listed = fields.take_attribute("channels", CHANNELS);
        let channels = listed
            .map(|list| parse_channels(&list, &mut fields))
            .unwrap_or_default();
        let mut found = take_recipients(&mut fields);
        if let Some(text) = fields.take_ids("recipient", "expected user ids, comma-separated")
            && found.is_empty()
        {
            found = recipients::parse_extension(&text, &mut fields.errors);
        }
        // `data: null` is data too; JSON format §3.1 excludes it beside `data_base64`.
        let has_data = fields.has("data");
        let data = match (take_data(&mut fields), fields.take_raw("data_base64")) {
            (data, None) => data,
            (_, Some(encoded)) if !has_data => take_encoded(&mut fields, encoded),
            (_, Some(_)) => {
                let expected = "expected either data or data_base64, not both";
                fields.wrong("/data_base64", "conflict", expected);
                None
            }
        };
        let (found, data) = with_data(&mut fields, found, data);
        let mut event = common(&mut fields, defaults, found, channels, data);
        if let Some(event) = &mut event {
            event.extensions = fields.keep_rest();
        }
        finish(event, fields.errors)
    }
}

fn finish(event: Option<Event>, mut errors: Vec<FieldError>) -> Result<Event, Vec<FieldError>> {
    match event {
        Some(event) if errors.is_empty() => Ok(event),
        event => {
            errors.extend(event.iter().flat_map(Event::recipient_errors));
            Err(bounded(errors))
        }
    }
}

fn parse_channels(list: &str, fields: &mut Fields<'_>) -> Vec<Channel> {
    let mut channels = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if let Ok(channel) = name.parse::<Channel>() {
            channels.push(channel);
        } else {
            fields.wrong(
                "/channels",
                "unknown",
                &format!("{CHANNELS}, not {}", quoted(name)),
            );
        }
    }
    channels
}

fn take_recipients(fields: &mut Fields<'_>) -> Found {
    match fields.take_raw("recipients") {
        Some(raw) => recipients::parse_list(raw.get(), "/recipients", &mut fields.errors),
        None => Found::default(),
    }
}

/// Absent data is an empty object. Recipients that the event does not name elsewhere are looked for in its data.
fn with_data(
    fields: &mut Fields<'_>,
    found: Found,
    data: Option<Arc<RawValue>>,
) -> (Found, Option<Arc<RawValue>>) {
    let data = data.or_else(|| RawValue::from_string("{}".to_owned()).ok().map(Arc::from));
    if let Some(data) = data.as_ref().filter(|_| found.is_empty()) {
        let in_data = recipients::in_data(data.get(), &mut fields.errors);
        if !in_data.is_empty() {
            return (in_data, Some(Arc::clone(data)));
        }
    }
    (found, data)
}

fn common(
    fields: &mut Fields<'_>,
    defaults: Defaults<'_>,
    found: Found,
    channels: Vec<Channel>,
    data: Option<Arc<RawValue>>,
) -> Option<Event> {
    let id = take_id(fields, defaults);
    let source = fields.take_text("source", 512);
    let event_type = take_type(fields);
    let time = fields.take_time("time").unwrap_or(defaults.now);
    let priority = fields.take::<Priority>("priority", "expected high, normal or bulk");
    let send_at = fields.take_time("sendat");
    let expires_at = fields.take_time("expiresat");
    if let (Some(send_at), Some(expires_at)) = (send_at, expires_at)
        && expires_at <= send_at
    {
        fields.wrong("/expiresat", "range", "expected a time after sendat");
    }
    let Found {
        recipients,
        places,
        unusable,
    } = found;
    if id.is_none() || event_type.is_none() || data.is_none() {
        fields
            .errors
            .extend(unusable.iter().flat_map(|unusable| unusable.errors.clone()));
    }
    Some(Event {
        id: id?,
        source: source.map_or_else(|| Arc::from("/"), Arc::from),
        event_type: event_type?,
        time,
        recipients,
        places,
        unusable,
        priority,
        send_at,
        expires_at,
        channels,
        data: data?,
        extensions: std::collections::BTreeMap::new(),
    })
}

/// The event's id, or the default one. An invalid or missing id is an error.
fn take_id(fields: &mut Fields<'_>, defaults: Defaults<'_>) -> Option<EventId> {
    let before = fields.errors.len();
    let id = fields.take_text("id", 256);
    if id.is_some() || fields.errors.len() > before {
        return id.map(EventId::from);
    }
    let id = defaults.id.name();
    if id.is_none() {
        let expected = "expected the event's id, which CloudEvents requires: with the same id, a repeated event is \
                        sent once";
        fields.wrong("/id", "required", expected);
    }
    id
}

fn take_type(fields: &mut Fields<'_>) -> Option<Arc<str>> {
    let before = fields.errors.len();
    let event_type = fields.take_text("type", MAX_TYPE);
    if event_type.is_none() && fields.errors.len() == before {
        fields.wrong(
            "/type",
            "required",
            "expected the event's type, a name in the catalog",
        );
    }
    event_type.map(Arc::from)
}

fn take_data(fields: &mut Fields<'_>) -> Option<Arc<RawValue>> {
    let raw = fields.take_raw("data")?;
    if raw.get().starts_with('{') {
        return fields.kept("data", raw);
    }
    let text = format!(
        "expected a JSON object, not {}",
        text::json_kind(raw.get().as_bytes())
    );
    fields.wrong("/data", "type", &text);
    None
}

/// Takes `data_base64`: data that its producer sent as bytes (JSON format §3.1.2). The bytes must be a JSON
/// object.
fn take_encoded(fields: &mut Fields<'_>, encoded: &RawValue) -> Option<Arc<RawValue>> {
    const POINTER: &str = "/data_base64";
    let Ok(encoded) = serde_json::from_str::<String>(encoded.get()) else {
        fields.wrong(POINTER, "type", "expected a string of base64");
        return None;
    };
    let bytes = match BASE64_STANDARD.decode(encoded.as_bytes()) {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = format!(
                "expected base64, not {}: {}",
                quoted(&encoded),
                base64_fault(&error)
            );
            fields.wrong(POINTER, "format", &text);
            return None;
        }
    };
    let json = match text::json(&bytes, POINTER) {
        Ok([]) => return None,
        Ok(json) => json,
        Err(error) => {
            fields.errors.push(error);
            return None;
        }
    };
    match serde_json::from_slice::<&RawValue>(json) {
        Ok(raw) if raw.get() == "null" => None,
        Ok(raw) if raw.get().starts_with('{') => fields.kept("data_base64", raw),
        Ok(_) => {
            let text = format!(
                "expected the base64 of a JSON object, not of {}",
                text::json_kind(json)
            );
            fields.wrong(POINTER, "type", &text);
            None
        }
        Err(error) => {
            let text = format!(
                "expected the base64 of a JSON object: {}",
                fault_in(json, &error, 1)
            );
            fields.wrong(POINTER, "type", &text);
            None
        }
    }
}
