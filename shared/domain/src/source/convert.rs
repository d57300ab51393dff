//! The conversion of a record to events.

use chrono::SecondsFormat;

use super::{
    def::{
        RowOp, SourceCondition, SourceData, SourceDef, SourceFormat, SourceRecipient, SourceRule, SourceType,
    },
    document::{Read, SourceRecord, UNAVAILABLE, at, kind, member, read, required, unavailable},
    position,
};
use crate::{
    clock::Timestamp,
    event::{DefaultId, Defaults, Event, MAX_EVENT_BYTES},
    field_error::{FieldError, bounded, escape_token, quoted},
    ids::EventId,
    json::{self, Map, Number, Value},
};

/// The result of converting a record.
#[derive(Debug)]
pub enum Conversion {
    /// The record leads to no event, by design.
    Skipped(SkippedRow),
    /// The events, and the errors of rules that apply and could not make one. One of both is not empty.
    Converted {
        /// One event for each rule that applies.
        events: Vec<SourcedEvent>,
        /// Pointers are into the record's document.
        errors: Vec<FieldError>,
    },
}

/// The reason for which a record leads to no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SkippedRow {
    /// It has no value.
    Tombstone,
    /// A row was deleted, or a table truncated.
    DeletedRow,
    /// No rule applies to it.
    NoRule,
}

/// An event that was made of a record.
#[derive(Debug)]
pub struct SourcedEvent {
    /// The event.
    pub event: Event,
    /// The event as CloudEvents 1.0 structured JSON, with recipients that [`Event::to_wire`] would leave out.
    pub json: Vec<u8>,
}

/// Converts a record by the rules of its topic. An error means that the record has another form than the rules expect.
///
/// The document into which pointers lead is Debezium's envelope (`before`, `after`, `op`, `source`, `ts_ms`), or an object
/// with the outbox's `payload`; beside them lie `key` and `headers` of the record.
pub fn convert(def: &SourceDef, record: &SourceRecord<'_>) -> Result<Conversion, FieldError> {
    let (op, document) = match read(def.format, record)? {
        Read::Tombstone => return Ok(Conversion::Skipped(SkippedRow::Tombstone)),
        Read::Deleted => return Ok(Conversion::Skipped(SkippedRow::DeletedRow)),
        Read::Other => return Ok(Conversion::Skipped(SkippedRow::NoRule)),
        Read::Row(op, document) => (Some(op), document),
        Read::Event(document) => (None, document),
    };
    let (mut events, mut errors) = (Vec::<SourcedEvent>::new(), Vec::new());
    for rule in &def.rules {
        match apply(rule, def.format, op, &document, record) {
            Ok(None) => {}
            Ok(Some(event)) if events.iter().any(|other| other.event.id == event.event.id) => {
                errors.push(same_id(&event.event.id));
            }
            Ok(Some(event)) => events.push(event),
            Err(found) => errors.extend(found),
        }
    }
    if events.is_empty() && errors.is_empty() {
        return Ok(Conversion::Skipped(SkippedRow::NoRule));
    }
    Ok(Conversion::Converted {
        events,
        errors: bounded(errors),
    })
}

/// The error of a second rule that makes an event of an id. The router would take that event for a repetition of the first.
fn same_id(id: &EventId) -> FieldError {
    let text = format!(
        "two rules make an event with the id {}; expected conditions that exclude each other, or an id of its own",
        quoted(id.as_str())
    );
    FieldError::new("", "duplicate", text)
}

/// The event of a rule; `None` if the rule does not apply.
fn apply(
    rule: &SourceRule,
    format: SourceFormat,
    op: Option<RowOp>,
    document: &Map,
    record: &SourceRecord<'_>,
) -> Result<Option<SourcedEvent>, Vec<FieldError>> {
    if let Some(op) = op
        && !holds(&rule.when, op, document).map_err(|error| vec![error])?
    {
        return Ok(None);
    }
    let Some(event_type) = event_type(&rule.event_type, document).map_err(|error| vec![error])? else {
        return Ok(None);
    };
    let mut errors = Vec::new();
    let id = id(rule, format, document, record.topic);
    let time = time(rule, format, document, record.written_at);
    let recipients = recipients(rule, document);
    let data = data(rule, format, document);
    let mut attributes = Map::new();
    let mut set = |name: &str, value: Result<Option<Value>, FieldError>| match value {
        Ok(Some(value)) => {
            attributes.insert(name.to_owned(), value);
        }
        Ok(None) => {}
        Err(error) => errors.push(error),
    };
    set("id", id.map(|id| Some(format!("{event_type}:{id}").into())));
    set("time", time.map(|time| time.map(Value::from)));
    set("recipients", recipients.map(|list| list.map(Value::Array)));
    set("data", data.map(|fields| Some(Value::Object(fields))));
    set("specversion", Ok(Some("1.0".into())));
    set("source", Ok(Some(format!("/sources/{}", record.topic).into())));
    set("type", Ok(Some(event_type.into())));
    if !errors.is_empty() {
        return Err(errors);
    }
    let json = Value::Object(attributes).to_string().into_bytes();
    if json.len() > MAX_EVENT_BYTES {
        let text = format!(
            "expected a row of which the event has at most 256 KiB, not {} bytes",
            json.len()
        );
        return Err(vec![FieldError::new("", "too-large", text)]);
    }
    let defaults = Defaults {
        now: record.written_at.unwrap_or(Timestamp::UNIX_EPOCH),
        id: DefaultId::Required,
    };
    let event = Event::from_cloudevent(&json, defaults).map_err(|errors| {
        let of_event = |error: FieldError| FieldError {
            message: format!("the event {event_type}: {error}"),
            pointer: String::new(),
            ..error
        };
        errors.into_iter().map(of_event).collect::<Vec<_>>()
    })?;
    Ok(Some(SourcedEvent { event, json }))
}

/// Whether a change meets a rule's condition.
fn holds(when: &SourceCondition, op: RowOp, document: &Map) -> Result<bool, FieldError> {
    let ops: &[RowOp] = if when.op.is_empty() {
        &[RowOp::Create, RowOp::Update]
    } else {
        &when.op
    };
    if !ops.contains(&op) {
        return Ok(false);
    }
    let Some(field) = &when.field else {
        return Ok(true);
    };
    let after = required(document, &format!("/after{field}"))?;
    let is_wanted = |wanted: &serde_json::Value| same(&Value::from(wanted.clone()), after);
    if !when.becomes.is_empty() && !when.becomes.iter().any(is_wanted) {
        return Ok(false);
    }
    if op != RowOp::Update {
        return Ok(true);
    }
    if member(document, "before").is_none() {
        let text = "expected the row before the change, by which the rule knows what has changed; on PostgreSQL it is there \
                    with ALTER TABLE … REPLICA IDENTITY FULL";
        return Err(FieldError::new("/before", "no-before", text));
    }
    Ok(!same(required(document, &format!("/before{field}"))?, after))
}

/// Whether two values are equal; numbers by their amount, not by their spelling.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.order(other).is_eq(),
        (one, other) => one == other,
    }
}

fn event_type<'r>(of_rule: &'r SourceType, document: &Map) -> Result<Option<&'r str>, FieldError> {
    match of_rule {
        SourceType::Constant(name) => Ok(Some(name)),
        SourceType::Mapped(mapped) => {
            let found = text(required(document, &mapped.from)?, &mapped.from)?;
            Ok(mapped.map.get(&found).map(String::as_str))
        }
    }
}

/// The part of the event's id after its type: the value at the rule's pointer, or a text that is the same each time the change
/// is reported.
fn id(rule: &SourceRule, format: SourceFormat, document: &Map, topic: &str) -> Result<String, FieldError> {
    if let Some(pointer) = &rule.id {
        return text(required(document, pointer)?, pointer);
    }
    match format {
        SourceFormat::Outbox => {
            const HEADER: &str = "/headers/id";
            let found = at(document, HEADER).ok_or_else(|| {
                let text = "expected the event's id in the header id, as the outbox event router writes it, or a pointer id in \
                            the rule";
                FieldError::new(HEADER, "no-id", text)
            })?;
            text(found, HEADER)
        }
        SourceFormat::Debezium => {
            let position = position::of(document).ok_or_else(|| {
                let text = "expected a position in the database's log, such as lsn, or file and pos, from which the event's id \
                            is derived, or a pointer id in the rule";
                FieldError::new("/source", "no-id", text)
            })?;
            Ok(EventId::of_change(topic, &position).to_string())
        }
    }
}

/// A text or a number, as a text.
fn text(value: &Value, pointer: &str) -> Result<String, FieldError> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => {
            let found = if other.as_str().is_some() {
                "an empty one"
            } else {
                kind(other)
            };
            let text = format!("expected a text or a number, not {found}");
            Err(FieldError::new(pointer, "type", text))
        }
    }
}

/// The event's time, RFC 3339; `None` if the record says none.
fn time(
    rule: &SourceRule,
    format: SourceFormat,
    document: &Map,
    written_at: Option<Timestamp>,
) -> Result<Option<String>, FieldError> {
    const CHANGED_AT: &str = "/source/ts_ms";
    let written_at = written_at.map(rfc3339);
    match &rule.time {
        Some(pointer) => match required(document, pointer)? {
            Value::Null => Ok(written_at),
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(number) => {
                let time = of_epoch(number).map(|time| Some(rfc3339(time)));
                time.ok_or_else(|| {
                    let text = format!(
                        "expected a time between 2000 and 2100: a text such as 2026-11-24T10:00:00Z, or s, ms, µs or ns since \
                         1970, not {number}"
                    );
                    FieldError::new(pointer, "range", text)
                })
            }
            other => {
                let text = format!(
                    "expected a time, a text such as 2026-11-24T10:00:00Z or a number, not {}",
                    kind(other)
                );
                Err(FieldError::new(pointer, "type", text))
            }
        },
        None if format == SourceFormat::Debezium => {
            let changed = match at(document, CHANGED_AT) {
                Some(Value::Number(number)) => of_epoch(number),
                // A snapshot has none.
                _ => None,
            };
            Ok(changed.map(rfc3339).or(written_at))
        }
        None => Ok(written_at),
    }
}

fn rfc3339(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A time since 1970. Its unit follows from its size: the same number of seconds, ms, µs and ns never lie between 2000 and
/// 2100 at once.
fn of_epoch(number: &Number) -> Option<Timestamp> {
    const YEAR_2000: u64 = 946_684_800;
    const YEAR_2100: u64 = 4_102_444_800;
    let Number::Unsigned(number) = *number else {
        return None;
    };
    [1, 1_000, 1_000_000, 1_000_000_000]
        .into_iter()
        .find_map(|per_second: u64| {
            let seconds = number / per_second;
            if !(YEAR_2000..YEAR_2100).contains(&seconds) {
                return None;
            }
            let nanos = (number % per_second) * (1_000_000_000 / per_second);
            Timestamp::from_timestamp(i64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?)
        })
}

/// The recipients that a rule names; `None` if it names none, or if all are null.
fn recipients(rule: &SourceRule, document: &Map) -> Result<Option<Vec<Value>>, FieldError> {
    let mut found = Vec::new();
    for recipient in &rule.recipients {
        match recipient {
            SourceRecipient::Pointer(pointer) => match required(document, pointer)? {
                Value::Array(items) => {
                    for item in items {
                        found.extend(one_recipient(item, pointer)?);
                    }
                }
                value => found.extend(one_recipient(value, pointer)?),
            },
            SourceRecipient::Fields(pointers) => {
                let mut fields = Map::new();
                for (name, pointer) in pointers.fields() {
                    match required(document, pointer)? {
                        Value::Null => {}
                        value => {
                            fields.insert(name.to_owned(), text(value, pointer)?.into());
                        }
                    }
                }
                if ["user_id", "email", "phone"]
                    .iter()
                    .any(|name| fields.contains_key(*name))
                {
                    found.push(Value::Object(fields));
                }
            }
        }
    }
    Ok((!found.is_empty()).then_some(found))
}

/// A recipient at a pointer; `None` for null.
fn one_recipient(value: &Value, pointer: &str) -> Result<Option<Value>, FieldError> {
    match value {
        Value::Null => Ok(None),
        Value::Object(_) => Ok(Some(value.clone())),
        value => Ok(Some(text(value, pointer)?.into())),
    }
}

/// The event's data. A column that is null is left out, so that a schema need not allow null.
fn data(rule: &SourceRule, format: SourceFormat, document: &Map) -> Result<Map, FieldError> {
    let whole = match &rule.data {
        Some(SourceData::Fields(fields)) => {
            let mut data = Map::new();
            for (name, pointer) in fields {
                match required(document, pointer)? {
                    Value::Null => {}
                    value => {
                        data.insert(name.clone(), value.clone());
                    }
                }
            }
            return Ok(data);
        }
        Some(SourceData::Whole(pointer)) => pointer,
        None => match format {
            SourceFormat::Debezium => "/after",
            SourceFormat::Outbox => "/payload",
        },
    };
    let found = match required(document, whole)? {
        // The text of a JSON column.
        Value::String(text) => json::object(text).map(Value::Object).ok(),
        value => Some(value.clone()),
    };
    let Some(Value::Object(mut fields)) = found else {
        let found = at(document, whole).map_or("nothing", kind);
        let text = format!("expected an object for the event's data, not {found}");
        return Err(FieldError::new(whole, "type", text));
    };
    if let Some((name, _)) = fields
        .iter()
        .find(|(_, value)| value.as_str() == Some(UNAVAILABLE))
    {
        return Err(unavailable(&format!("{whole}/{}", escape_token(name))));
    }
    fields.retain(|_, value| *value != Value::Null);
    Ok(fields)
}
