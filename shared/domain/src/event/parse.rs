//! From bytes to an event: the plain form (closed) and CloudEvents structured JSON (open).

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Defaults, Event, MediaType, fields::Fields, recipients};
use crate::{
    channel::{Channel, Priority},
    field_error::{FieldError, bounded},
    ids::EventId,
    recipient::Recipient,
};

const PLAIN_FIELDS: &str =
    "id, source, type, time, recipients, priority, sendat, expiresat, channels and data";

impl Event {
    /// Reads Carillon's plain form. It is closed: an unknown field is an error.
    pub fn from_plain(json: &[u8], defaults: Defaults<'_>) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(json)?;
        let channels = fields
            .take::<Vec<Channel>>("channels", "expected a list of push, email and sms")
            .unwrap_or_default();
        let recipients = take_recipients(&mut fields);
        let event = common(&mut fields, defaults, recipients, channels, true);
        fields.refuse_rest(PLAIN_FIELDS);
        finish(event, fields.errors)
    }

    /// Reads a CloudEvents 1.0 event in structured mode. It is open: unknown attributes are kept.
    pub fn from_cloudevent(json: &[u8], defaults: Defaults<'_>) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(json)?;
        match fields.take::<String>("specversion", "expected \"1.0\"") {
            Some(version) if version == "1.0" => {}
            Some(_) => fields.wrong("/specversion", "unsupported", "expected \"1.0\""),
            None => fields.wrong("/specversion", "required", "expected \"1.0\""),
        }
        let content_type = fields
            .take::<String>("datacontenttype", "expected a media type")
            .unwrap_or_default();
        if !content_type.is_empty() && !MediaType::parse(&content_type).is_json() {
            fields.wrong(
                "/datacontenttype",
                "unsupported",
                "expected a JSON media type, such as application/json",
            );
        }
        let listed = fields.take::<String>(
            "channels",
            "expected a comma-separated list of push, email and sms",
        );
        let channels = listed
            .map(|list| parse_channels(&list, &mut fields))
            .unwrap_or_default();
        let recipients = take_recipients(&mut fields);
        let recipient = fields.take::<String>("recipient", "expected user ids, comma-separated");
        if fields.take_raw("data_base64").is_some() {
            fields.wrong("/data_base64", "unsupported", "expected JSON in data");
        }
        let mut event = common(&mut fields, defaults, recipients, channels, false);
        if let Some(event) = &mut event {
            event.extensions = fields.keep_rest();
            recipients::fill(event, recipient.as_deref(), &mut fields.errors);
        }
        finish(event, fields.errors)
    }
}

fn finish(event: Option<Event>, errors: Vec<FieldError>) -> Result<Event, Vec<FieldError>> {
    match event {
        Some(event) if errors.is_empty() => Ok(event),
        _ => Err(bounded(errors)),
    }
}

pub(super) fn parse_channels(list: &str, fields: &mut Fields<'_>) -> Vec<Channel> {
    let mut channels = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse::<Channel>() {
            Ok(channel) => channels.push(channel),
            Err(_) => fields.wrong(
                "/channels",
                "unknown",
                "expected a comma-separated list of push, email and sms",
            ),
        }
    }
    channels
}

fn take_recipients(fields: &mut Fields<'_>) -> Vec<Recipient> {
    match fields.take_raw("recipients") {
        Some(raw) => recipients::parse_list(raw.get(), "/recipients", &mut fields.errors),
        None => Vec::new(),
    }
}

fn common(
    fields: &mut Fields<'_>,
    defaults: Defaults<'_>,
    recipients: Vec<Recipient>,
    channels: Vec<Channel>,
    data_is_required: bool,
) -> Option<Event> {
    let id = fields.take_text("id", 256);
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
    let data = take_data(fields, data_is_required);
    Some(Event {
        id: id.map_or_else(|| defaults.id.name(), EventId::from),
        source: source.map_or_else(|| Arc::from("/"), Arc::from),
        event_type: event_type?,
        time,
        recipients,
        priority,
        send_at,
        expires_at,
        channels,
        data: data?,
        extensions: std::collections::BTreeMap::new(),
    })
}

fn take_type(fields: &mut Fields<'_>) -> Option<Arc<str>> {
    let before = fields.errors.len();
    let event_type = fields.take_text("type", 128);
    if event_type.is_none() && fields.errors.len() == before {
        fields.wrong(
            "/type",
            "required",
            "expected the event's type, a name in the catalog",
        );
    }
    event_type.map(Arc::from)
}

fn take_data(fields: &mut Fields<'_>, required: bool) -> Option<Arc<RawValue>> {
    match fields.take_raw("data") {
        Some(raw) if raw.get().starts_with('{') => fields.kept("data", raw),
        Some(_) => {
            fields.wrong("/data", "type", "expected a JSON object");
            None
        }
        None if required => {
            fields.wrong(
                "/data",
                "required",
                "expected a JSON object with what the templates need",
            );
            None
        }
        None => RawValue::from_string("{}".to_owned()).ok().map(Arc::from),
    }
}
