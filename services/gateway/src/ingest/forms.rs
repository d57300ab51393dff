//! The forms of a post: one event (plain, CloudEvents structured or binary) or a batch (JSON array, NDJSON).

use axum::http::{HeaderMap, header};
use carillon_domain::{
    Event, FieldError, TenantId, Timestamp,
    event::{
        BinaryHeaders, DefaultId, Defaults, MAX_EVENT_BYTES, MediaType, Mode, first_byte, json_kind,
        object_error, without_mark,
    },
    field_error::{echo, quoted},
    json,
};
use carillon_runtime::http::{Problem, ProblemKind};
use memchr::memmem;
use serde_json::value::RawValue;

use super::attributes;

/// The most events in a batch.
const MAX_BATCH: usize = 1_000;
const MEDIA_TYPES: &str = "expected application/json, application/cloudevents+json, \
     application/cloudevents-batch+json or application/x-ndjson";

type Parsed = Result<Event, Vec<FieldError>>;

/// The content of a body.
#[derive(Debug)]
pub(crate) enum Form {
    One(Box<Parsed>),
    Batch(Vec<Parsed>),
}

/// The request's defaults for attributes that an event lacks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) tenant: &'a TenantId,
    /// The request's `Idempotency-Key`.
    pub(crate) key: Option<&'a str>,
    pub(crate) now: Timestamp,
}

impl<'a> Context<'a> {
    /// The defaults for a CloudEvent.
    fn cloudevent(&self) -> Defaults<'a> {
        Defaults {
            now: self.now,
            id: DefaultId::Required,
        }
    }

    /// The defaults for a single event in the plain form: without an id of its own it gets the key as its id.
    fn one(&self) -> Defaults<'a> {
        Defaults {
            now: self.now,
            id: self.key.map_or(DefaultId::Generated, DefaultId::Key),
        }
    }

    fn item(&self, index: usize) -> Defaults<'a> {
        let tenant = self.tenant;
        Defaults {
            now: self.now,
            id: self
                .key
                .map_or(DefaultId::Generated, |key| DefaultId::Item { tenant, key, index }),
        }
    }
}

/// Reads a body. Its media type decides its form. Headers make it an event in binary mode only if the media
/// type describes data.
pub(crate) fn read(headers: &HeaderMap, body: &[u8], context: Context<'_>) -> Result<Form, Problem> {
    let content_type = content_type(headers)?;
    let media_type = MediaType::parse(content_type.unwrap_or("application/json"));
    let mode = media_type.mode();
    let is_binary = mode == Mode::Data && attributes::are_in(headers);
    if !is_binary && let Some(charset) = media_type.foreign_charset(body) {
        let text = format!("expected a body in UTF-8, not in {}", echo(charset));
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, text));
    }
    if is_binary {
        let headers = BinaryHeaders {
            attributes: attributes::read(headers)?,
            content_type: content_type.map(str::to_owned),
        };
        return Ok(one(body, |body| {
            Event::from_binary(&headers, body, context.cloudevent())
        }));
    }
    let body = without_mark(body);
    let is_list = first_byte(body) == Some(b'[');
    match mode {
        Mode::Structured if is_list => Err(Problem::new(
            ProblemKind::Validation,
            "expected one event, a JSON object, not a list: the media type of a batch is \
             application/cloudevents-batch+json",
        )),
        Mode::Structured => Ok(one(body, |body| {
            Event::from_cloudevent(body, context.cloudevent())
        })),
        Mode::Batch => array(body, |_, item| Event::from_cloudevent(item, context.cloudevent())),
        Mode::OtherFormat => Err(unsupported(
            media_type.essence(),
            "the JSON format of CloudEvents",
        )),
        Mode::Data => match media_type.essence() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => lines(body, context),
            "application/json" | "text/json" | "" if is_list => {
                array(body, |index, item| either(item, context.item(index)))
            }
            "application/json" | "text/json" | "" => Ok(one(body, |body| either(body, context.one()))),
            other => Err(unsupported(other, "events")),
        },
    }
}

/// Reads one event as JSON, in the plain form or as a CloudEvent.
pub(crate) fn read_json(json: &[u8], context: Context<'_>) -> Parsed {
    sized(json, |json| either(json, context.one()))
}

fn unsupported(media_type: &str, what: &str) -> Problem {
    let text = format!("{MEDIA_TYPES}, which carry {what}, not {}", echo(media_type));
    Problem::new(ProblemKind::UnsupportedMediaType, text)
}

/// The media type that the request names.
fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    if !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(None);
    }
    let value = attributes::only(headers, &header::CONTENT_TYPE)?;
    let text = value.to_str().map_err(|_| {
        attributes::wrong(
            &header::CONTENT_TYPE,
            "encoding",
            "expected a media type in ASCII",
        )
    })?;
    // Several headers may be joined to one with commas; a media type has none outside of quotes.
    if text.split('"').step_by(2).any(|unquoted| unquoted.contains(',')) {
        let expected = format!("expected one media type, not {}", quoted(text));
        return Err(attributes::wrong(&header::CONTENT_TYPE, "duplicate", &expected));
    }
    Ok(Some(text))
}

fn one(body: &[u8], parse: impl FnOnce(&[u8]) -> Parsed) -> Form {
    Form::One(Box::new(sized(body, parse)))
}

fn sized(json: &[u8], parse: impl FnOnce(&[u8]) -> Parsed) -> Parsed {
    if json.len() > MAX_EVENT_BYTES {
        let text = format!(
            "expected an event of at most {MAX_EVENT_BYTES} bytes, not {}",
            json.len()
        );
        return Err(vec![FieldError::new("", "too-large", text)]);
    }
    parse(json)
}

/// An event in Carillon's plain form, or a CloudEvent as plain JSON.
fn either(json: &[u8], defaults: Defaults<'_>) -> Parsed {
    #[derive(serde::Deserialize)]
    struct Glimpse {
        specversion: Option<serde::de::IgnoredAny>,
    }
    let json = without_mark(json);
    let is_cloudevent = memmem::find(json, b"\"specversion\"").is_some()
        && serde_json::from_slice::<Glimpse>(json).is_ok_and(|glimpse| glimpse.specversion.is_some());
    if is_cloudevent {
        Event::from_cloudevent(
            json,
            Defaults {
                id: DefaultId::Required,
                ..defaults
            },
        )
    } else {
        Event::from_plain(json, defaults)
    }
}

fn array(body: &[u8], parse: impl Fn(usize, &[u8]) -> Parsed) -> Result<Form, Problem> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            let text = format!("expected a JSON array of events, not {}", json_kind(body));
            return Problem::new(ProblemKind::Validation, text);
        }
        let text = format!(
            "expected a JSON array of events: {}",
            json::fault_in(body, &error, 1)
        );
        Problem::new(ProblemKind::MalformedJson, text)
    })?;
    batch(items.len())?;
    Ok(Form::Batch(
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| sized(item.get().as_bytes(), |json| parse(index, json)))
            .collect(),
    ))
}

fn lines(body: &[u8], context: Context<'_>) -> Result<Form, Problem> {
    let lines: Vec<(usize, &[u8])> = (1..)
        .zip(body.split(|byte| *byte == b'\n'))
        .filter(|(_, line)| first_byte(line).is_some())
        .collect();
    batch(lines.len())?;
    Ok(Form::Batch(
        lines
            .into_iter()
            .enumerate()
            .map(|(index, (number, line))| {
                sized(line, |line| {
                    either(line, context.item(index))
                        // An event's own reader counts lines from the beginning of the event.
                        .map_err(|errors| object_error(line, number).map_or(errors, |error| vec![error]))
                })
            })
            .collect(),
    ))
}

/// A batch may be empty (CloudEvents JSON format §4).
fn batch(length: usize) -> Result<(), Problem> {
    if length > MAX_BATCH {
        return Err(Problem::new(
            ProblemKind::BatchTooLarge,
            format!("expected at most {MAX_BATCH} events in a batch, not {length}"),
        ));
    }
    Ok(())
}
