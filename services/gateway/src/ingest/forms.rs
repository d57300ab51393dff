//! The forms of a post: one event (plain, CloudEvents structured or binary) or a batch (JSON array, NDJSON).

use axum::http::HeaderMap;
use carillon_domain::{
    Event, FieldError, Timestamp,
    event::{BinaryHeaders, Defaults, MAX_EVENT_BYTES},
};
use carillon_runtime::http::{Problem, ProblemKind};
use serde_json::value::RawValue;

/// The most events in a batch.
const MAX_BATCH: usize = 1_000;

type Parsed = Result<Event, Vec<FieldError>>;

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Form {
    One(Box<Parsed>),
    Batch(Vec<Parsed>),
}

/// Reads a body by its media type and headers.
pub(crate) fn read(headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Form, Problem> {
    let defaults = Defaults { now };
    let media_type = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    let essence = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if headers.contains_key("ce-specversion") || headers.contains_key("ce-id") {
        return Ok(one(body, |body| {
            Event::from_binary(&binary(headers, media_type), body, defaults)
        }));
    }
    match essence.as_str() {
        "application/cloudevents+json" => Ok(one(body, |body| Event::from_cloudevent(body, defaults))),
        "application/cloudevents-batch+json" => array(body, |item| Event::from_cloudevent(item, defaults)),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => lines(body, defaults),
        "application/json" | "text/json" | "" => match first_byte(body) {
            Some(b'[') => array(body, |item| either(item, defaults)),
            _ => Ok(one(body, |body| either(body, defaults))),
        },
        _ => Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "expected application/json, application/cloudevents+json, application/cloudevents-batch+json or \
             application/x-ndjson",
        )),
    }
}

fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

fn one(body: &[u8], parse: impl FnOnce(&[u8]) -> Parsed) -> Form {
    Form::One(Box::new(sized(body, parse)))
}

fn sized(json: &[u8], parse: impl FnOnce(&[u8]) -> Parsed) -> Parsed {
    if json.len() > MAX_EVENT_BYTES {
        let text = format!("expected an event of at most {MAX_EVENT_BYTES} bytes");
        return Err(vec![FieldError::new("", "too-large", text)]);
    }
    parse(json)
}

/// Carillon's plain form, or a CloudEvent that came as plain JSON.
fn either(json: &[u8], defaults: Defaults) -> Parsed {
    #[derive(serde::Deserialize)]
    struct Glimpse {
        specversion: Option<serde::de::IgnoredAny>,
    }
    let is_cloudevent = json.windows(13).any(|window| window == b"\"specversion\"")
        && serde_json::from_slice::<Glimpse>(json).is_ok_and(|glimpse| glimpse.specversion.is_some());
    if is_cloudevent {
        Event::from_cloudevent(json, defaults)
    } else {
        Event::from_plain(json, defaults)
    }
}

fn array(body: &[u8], parse: impl Fn(&[u8]) -> Parsed) -> Result<Form, Problem> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            ProblemKind::MalformedJson,
            format!("expected a JSON array: {error}"),
        )
    })?;
    batch(items.len())?;
    Ok(Form::Batch(
        items
            .into_iter()
            .map(|item| sized(item.get().as_bytes(), &parse))
            .collect(),
    ))
}

fn lines(body: &[u8], defaults: Defaults) -> Result<Form, Problem> {
    let lines: Vec<&[u8]> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| first_byte(line).is_some())
        .collect();
    batch(lines.len())?;
    Ok(Form::Batch(
        lines
            .into_iter()
            .map(|line| sized(line, |line| either(line, defaults)))
            .collect(),
    ))
}

fn batch(length: usize) -> Result<(), Problem> {
    match length {
        0 => Err(Problem::new(
            ProblemKind::Validation,
            "expected at least one event",
        )),
        1..=MAX_BATCH => Ok(()),
        _ => Err(Problem::new(
            ProblemKind::BatchTooLarge,
            format!("expected at most {MAX_BATCH} events in a batch, got {length}"),
        )),
    }
}

fn binary(headers: &HeaderMap, media_type: &str) -> BinaryHeaders {
    let attributes = headers.iter().filter_map(|(name, value)| {
        let attribute = name.as_str().strip_prefix("ce-")?;
        Some((attribute.to_owned(), value.to_str().ok()?.to_owned()))
    });
    BinaryHeaders {
        attributes: attributes.collect(),
        content_type: Some(media_type.to_owned()),
    }
}
