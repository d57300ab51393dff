//! Reading a record as an event, or as a reject with the reason.

use std::sync::Arc;

use bytes::Bytes;
use carillon_bus::{Record, headers};
use carillon_domain::{
    Event, FieldError, Recipient, TenantId, Timestamp,
    catalog::{EventTypeDef, RecipientRule},
    compiled::{CatalogType, CompiledCatalog},
    dead_letter::FailureClass,
    decide::take_repeated,
    event::{
        BinaryHeaders, DefaultId, Defaults, MAX_EVENT_BYTES, MAX_WIRE_BYTES, MediaType, Mode, first_byte,
        without_mark,
    },
    field_error::{echo, escape_token, quoted},
    status::EventVerdict,
    stored_letter::FirstRecord,
    waiting::Release,
};

use crate::{origin::origin, reason, releases::Released, taken};

/// An event that was read from a record.
#[derive(Debug)]
pub(crate) struct IncomingEvent<'a> {
    pub(crate) record: &'a Record,
    pub(crate) tenant: TenantId,
    /// The tenant's catalog at the time of the check.
    pub(crate) catalog: Arc<CompiledCatalog>,
    pub(crate) event: Event,
    /// Same as [`carillon_domain::Delivery::accepted_at`]; before the claim, the record's timestamp.
    pub(crate) accepted_at: Timestamp,
    /// The name of its type in the catalog.
    pub(crate) type_name: Arc<str>,
    /// The [`Event::fingerprint`] of the event as it was read, which is the one that a gateway claims.
    pub(crate) fingerprint: [u8; 32],
    /// Recipients that occur more than once in the event.
    pub(crate) repeated: Vec<Recipient>,
    /// Whether the record's bytes are the event's wire form.
    pub(crate) is_wire: bool,
    /// The reason for which the event leads to no message; if set, there are no recipients.
    pub(crate) skipped: Option<EventVerdict>,
    /// Its release, if the record has waited before.
    pub(crate) released: Option<Box<Released>>,
}

/// A record that is not a valid event.
#[derive(Debug)]
pub(crate) struct Reject<'a> {
    pub(crate) record: &'a Record,
    pub(crate) tenant: TenantId,
    /// Whether a gateway published it and counted it as acknowledged.
    pub(crate) via_gateway: bool,
    /// The event, if it could be read.
    pub(crate) event: Option<Event>,
    /// `Unparseable` if the bytes could not be read at all, in contrast to an event that breaks a rule.
    pub(crate) class: FailureClass,
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    /// Its release, if the record has waited before.
    pub(crate) released: Option<Box<Released>>,
}

/// Whether the record has no value and is not an event in binary mode. On a compacted topic, such a record
/// deletes its key.
pub(crate) fn is_tombstone(record: &Record) -> bool {
    record.value.is_empty() && !is_binary(record)
}

/// The tenant from the record's header; without the header, the default tenant. `None` if the header's value cannot
/// be a tenant's name.
pub(crate) fn tenant(record: &Record) -> Option<TenantId> {
    let name = record.headers.get(headers::TENANT).unwrap_or_default();
    if name.is_empty() {
        return Some(TenantId::default());
    }
    TenantId::parse(std::str::from_utf8(name).ok()?).ok()
}

/// Whether the record is from a gateway, which publishes the wire form: structured JSON with all fields filled in.
fn is_wire(record: &Record) -> bool {
    is_via_gateway(record) && !is_binary(record)
}

/// Whether the record is an event in binary mode. The content type determines the mode (Kafka binding §3); `ce_`
/// headers make the event binary only if the content type is absent or describes data.
fn is_binary(record: &Record) -> bool {
    mode(record) == Mode::Data && attributes(record).next().is_some()
}

fn mode(record: &Record) -> Mode {
    let content_type = record.headers.get_str(headers::CONTENT_TYPE);
    content_type.map_or(Mode::Data, |text| MediaType::parse(text).mode())
}

/// The attributes of a CloudEvent in binary mode.
fn attributes(record: &Record) -> impl Iterator<Item = (&str, &Bytes)> {
    let headers = record.headers.iter();
    headers.filter_map(|(name, value)| Some((name.strip_prefix("ce_")?, value)))
}

pub(crate) fn is_via_gateway(record: &Record) -> bool {
    record.headers.get_str(headers::VIA) == Some("gateway")
}

/// Reads the event, in structured or binary mode. (Plain form and batches exist only over HTTP: a record is one
/// event.) Missing attributes are derived from the record, so that a second read gives the same event.
pub(crate) async fn parse(
    record: &Record,
    released: Option<&Released>,
    now: Timestamp,
) -> Result<Event, Vec<FieldError>> {
    let first = released.map(|released| &released.release);
    if record.value.len() <= AT_ONCE {
        return parse_now(record, first, now);
    }
    let (record, first) = (record.clone(), first.cloned());
    aside(move || parse_now(&record, first.as_ref(), now)).await
}

fn parse_now(record: &Record, release: Option<&Release>, now: Timestamp) -> Result<Event, Vec<FieldError>> {
    // A gateway publishes more bytes than it received, because it writes out recipients and defaults. The record of
    // such an event that was put back is as large.
    let max = if is_via_gateway(record) || put_back(record).is_some() {
        MAX_WIRE_BYTES
    } else {
        MAX_EVENT_BYTES
    };
    if record.value.len() > max {
        let expected = "expected an event of at most 256 KiB";
        return Err(vec![FieldError::new("", "too-large", expected)]);
    }
    // Attributes that are missing in a record that has waited are those of its first record.
    let own = origin(record);
    let put_back = put_back(record);
    let (first, written_at) = match (&put_back, release) {
        (Some(first), _) => (&first.origin, taken::accepted_at(first.at, Some(now))),
        (None, Some(release)) => (&release.origin, release.written_at),
        (None, None) => (&own, taken::accepted_at(record.timestamp, Some(now))),
    };
    let defaults = Defaults {
        now: written_at,
        id: DefaultId::Record {
            topic: &first.topic,
            partition: first.partition,
            offset: first.offset,
        },
    };
    match mode(record) {
        Mode::Batch => Err(vec![batch()]),
        Mode::OtherFormat => {
            let named = record.headers.get_str(headers::CONTENT_TYPE).unwrap_or_default();
            let text = format!("expected the JSON format of CloudEvents, not {}", echo(named));
            Err(vec![FieldError::new("", "unsupported-media-type", text)])
        }
        Mode::Data if attributes(record).next().is_some() => binary(record, defaults),
        Mode::Structured | Mode::Data => structured(record, defaults),
    }
}

/// The first record of an event that was put back from the dead letters. A foreign producer may write the header too.
/// This gives it no more influence than the attributes `id` and `time`, which it may also write.
fn put_back(record: &Record) -> Option<FirstRecord> {
    serde_json::from_slice(record.headers.get(headers::FIRST)?).ok()
}

fn structured(record: &Record, defaults: Defaults<'_>) -> Result<Event, Vec<FieldError>> {
    let value = without_mark(&record.value);
    if first_byte(value) == Some(b'[') {
        return Err(vec![batch()]);
    }
    Event::from_cloudevent(value, defaults)
}

fn batch() -> FieldError {
    let text = "expected one event, a JSON object, not a list: a batch is for HTTP, on Kafka each record is one event";
    FieldError::new("", "batch", text)
}

fn binary(record: &Record, defaults: Defaults<'_>) -> Result<Event, Vec<FieldError>> {
    let mut headers = BinaryHeaders {
        attributes: Vec::new(),
        content_type: record.headers.get_str(headers::CONTENT_TYPE).map(str::to_owned),
    };
    let mut errors = Vec::new();
    for (name, value) in attributes(record) {
        if let Ok(text) = std::str::from_utf8(value) {
            headers.attributes.push((name.to_owned(), text.to_owned()));
        } else {
            let shown = String::from_utf8_lossy(value);
            let text = format!("the header ce_{name}: expected UTF-8, not {}", quoted(&shown));
            errors.push(FieldError::new(
                format!("/{}", escape_token(name)),
                "encoding",
                text,
            ));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Event::from_binary(&headers, &record.value, defaults)
}

/// The largest record or data, in bytes, that is processed on the task's own thread; the time for it is negligible.
const AT_ONCE: usize = 16 << 10;

/// The most work of a schema check, in units of [`CompiledCatalog::work`], that is done on the task's own thread:
/// about half a millisecond.
const WORK_AT_ONCE: u64 = 1 << 18;

/// Runs work on a blocking thread, because it may take long.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The process is ending; the next one reads the record again.
        Err(_) => std::future::pending().await,
    }
}

/// Whether checking data of this many bytes is so little work that a blocking thread would cost more.
fn is_checked_at_once(catalog: &CompiledCatalog, type_name: &str, bytes: usize) -> bool {
    bytes <= AT_ONCE && catalog.work(type_name, bytes) <= WORK_AT_ONCE
}

/// The schema's errors in the data.
async fn schema_errors(
    catalog: &Arc<CompiledCatalog>,
    type_name: &Arc<str>,
    event: &Event,
) -> Vec<FieldError> {
    if is_checked_at_once(catalog, type_name, event.data.get().len()) {
        return catalog.validate_data(type_name, &event.data);
    }
    let (catalog, type_name) = (Arc::clone(catalog), Arc::clone(type_name));
    let data = Arc::clone(&event.data);
    aside(move || catalog.validate_data(&type_name, &data)).await
}

/// Checks the event against its tenant's catalog and finds its recipients.
pub(crate) async fn check(
    record: &Record,
    tenant: TenantId,
    mut event: Event,
    catalog: Option<Arc<CompiledCatalog>>,
    released: Option<Box<Released>>,
    now: Timestamp,
) -> Result<IncomingEvent<'_>, Box<Reject<'_>>> {
    let reject = |event: Event, code, reason| {
        Err(Box::new(Reject {
            released: released.clone(),
            record,
            tenant: tenant.clone(),
            via_gateway: is_via_gateway(record),
            event: Some(event),
            class: FailureClass::Invalid,
            code,
            reason,
        }))
    };
    let Some(catalog) = catalog else {
        return reject(event, "unknown-tenant", "the tenant has no catalog".to_owned());
    };
    let Some(CatalogType { name, definition, .. }) = catalog.lookup(&event.event_type) else {
        let reason = format!(
            "/type: the catalog has no event type {}",
            quoted(&event.event_type)
        );
        return reject(event, "unknown-event-type", reason);
    };
    let type_name = Arc::clone(name);
    if let Err(errors) = event.resolve_recipients(&definition.recipients_from) {
        return reject(event, "recipients", reason::of(&errors));
    }
    let mut skipped = None;
    if event.recipients.is_empty() {
        if !event.unusable.is_empty() {
            let reason = reason::of(&event.recipient_errors());
            return reject(event, "recipients", reason);
        }
        skipped = nobody(&event, definition);
        if skipped.is_none() {
            let reason = event.no_recipient().to_string();
            return reject(event, "no-recipient", reason);
        }
    }
    // A gateway has checked the times by its own clock. The times of a released event were checked before it waited.
    if !is_via_gateway(record) && released.is_none() {
        if let Some(error) = event.time_error(now) {
            return reject(event, "time", error.to_string());
        }
        if let Some(error) = event.send_at_error(now) {
            return reject(event, "sendat", error.to_string());
        }
    }
    let errors = if skipped.is_none() {
        schema_errors(&catalog, &type_name, &event).await
    } else {
        Vec::new()
    };
    if !errors.is_empty() {
        return reject(event, "schema", reason::of(&errors));
    }
    let fingerprint = event.fingerprint();
    let named = event.channels.len();
    let repeated = take_repeated(&mut event);
    let is_wire = is_wire(record) && repeated.is_empty() && event.channels.len() == named;
    Ok(IncomingEvent {
        record,
        tenant,
        catalog,
        event,
        accepted_at: record.timestamp,
        type_name,
        fingerprint,
        repeated,
        is_wire,
        skipped,
        released,
    })
}

/// The reason for which an event without recipients is not an error; `None` if it is one.
fn nobody(event: &Event, definition: &EventTypeDef) -> Option<EventVerdict> {
    if event.is_deleted_row() {
        return Some(EventVerdict::DeletedRow);
    }
    (definition.recipients == RecipientRule::Optional).then_some(EventVerdict::NoRecipient)
}

#[cfg(test)]
mod tests {
    use carillon_domain::catalog::Catalog;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn small_data_of_a_costly_schema_is_checked_on_a_blocking_thread() {
        let branches: Vec<Value> = (0..900)
            .map(|n| json!({"properties": {format!("p{n}"): {}}}))
            .collect();
        let of = |schema: &Value| json!({"category": "c", "channels": {"order": ["sms"]}, "schema": schema});
        let ordinary = json!({"type": "object", "required": ["order_id"], "properties": {"order_id": {"type": "string"},
            "lines": {"items": {"required": ["sku"], "properties": {"sku": {"type": "string"}}}}}});
        let document = json!({"categories": {"c": {}}, "types": {
            "Costly": of(&json!({"allOf": branches, "unevaluatedProperties": false})), "Ordinary": of(&ordinary)}});
        let catalog = CompiledCatalog::new(serde_json::from_value::<Catalog>(document).unwrap());
        assert!(!is_checked_at_once(&catalog, "Costly", 200));
        assert!(is_checked_at_once(&catalog, "Ordinary", 2_000));
        assert!(!is_checked_at_once(&catalog, "Ordinary", AT_ONCE + 1));
    }
}
