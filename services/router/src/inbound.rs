//! From a record to an event, or to the reason why it is none.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use carillon_bus::{Record, headers};
use carillon_domain::{
    Event, EventId, FieldError, Recipient, TenantId, Timestamp,
    compiled::CompiledCatalog,
    event::{BinaryHeaders, Defaults, MAX_EVENT_BYTES, MAX_WIRE_BYTES},
};
use serde::{Deserialize, de::IgnoredAny};
use uuid::Uuid;

use crate::reason;

/// An event that was read from a record.
#[derive(Debug)]
pub(crate) struct Inbound<'a> {
    pub(crate) record: &'a Record,
    pub(crate) tenant: TenantId,
    /// The tenant's catalog, of the moment in which the event was checked.
    pub(crate) catalog: Arc<CompiledCatalog>,
    pub(crate) event: Event,
    /// [`Event::fingerprint`] of the event as it came, which is what a gateway has claimed.
    pub(crate) fingerprint: [u8; 32],
    /// Recipients that stand in the event more than once.
    pub(crate) repeated: Vec<Recipient>,
    /// The record's bytes are the event's wire form.
    pub(crate) is_wire: bool,
}

/// A record that is no event of ours.
#[derive(Debug)]
pub(crate) struct Reject<'a> {
    pub(crate) record: &'a Record,
    pub(crate) tenant: TenantId,
    /// The gateway published it, and counted it as acknowledged.
    pub(crate) via_gateway: bool,
    /// As far as it could be read.
    pub(crate) event: Option<Event>,
    /// Its bytes could not be read at all, in contrast to an event that breaks a rule.
    pub(crate) unparseable: bool,
    pub(crate) code: &'static str,
    pub(crate) reason: String,
}

/// Whose record it is: its header's word, else the default tenant's. `None` if the header is no name that a tenant, or
/// a database's index, could have.
pub(crate) fn tenant(record: &Record) -> Option<TenantId> {
    let name = record.headers.get(headers::TENANT).unwrap_or_default();
    if name.is_empty() {
        return Some(TenantId::default());
    }
    TenantId::parse(std::str::from_utf8(name).ok()?).ok()
}

/// A gateway publishes the wire form: structured JSON with nothing left to fill in.
fn is_wire(record: &Record) -> bool {
    is_via_gateway(record) && attributes(record).next().is_none()
}

/// A CloudEvent's attributes in binary mode, which has at least one.
fn attributes(record: &Record) -> impl Iterator<Item = (&str, &Bytes)> {
    let headers = record.headers.iter();
    headers.filter_map(|(name, value)| Some((name.strip_prefix("ce_")?, value)))
}

fn is_via_gateway(record: &Record) -> bool {
    record.headers.get_str(headers::VIA) == Some("gateway")
}

/// Reads the event: CloudEvents in binary mode if there are `ce_` headers, else structured JSON. (Carillon's plain form
/// is for HTTP.) What it does not say of itself, its record does, so that a re-read says the same.
pub(crate) fn parse(record: &Record) -> Result<Event, Vec<FieldError>> {
    // What a gateway publishes is larger than what it was given: recipients are written out, defaults filled in.
    let max = if is_via_gateway(record) {
        MAX_WIRE_BYTES
    } else {
        MAX_EVENT_BYTES
    };
    if record.value.len() > max {
        let expected = "expected an event of at most 256 KiB";
        return Err(vec![FieldError::new("", "too-large", expected)]);
    }
    let defaults = Defaults {
        now: record.timestamp,
    };
    let attributes: Vec<(String, String)> = attributes(record)
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let (mut event, has_id) = if attributes.is_empty() {
        let event = Event::from_cloudevent(&record.value, defaults)?;
        let has_id = !looks_generated(&event.id) || says_id(&record.value);
        (event, has_id)
    } else {
        let has_id = attributes.iter().any(|(name, _)| name == "id");
        let content_type = record.headers.get_str(headers::CONTENT_TYPE).map(str::to_owned);
        let headers = BinaryHeaders {
            attributes,
            content_type,
        };
        (Event::from_binary(&headers, &record.value, defaults)?, has_id)
    };
    if !has_id {
        event.id = id_of_place(record);
    }
    Ok(event)
}

fn looks_generated(id: &EventId) -> bool {
    Uuid::parse_str(id.as_str()).is_ok_and(|id| id.get_version_num() == 7)
}

fn says_id(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Glimpse {
        id: Option<IgnoredAny>,
    }
    // An object that names it twice has one too.
    serde_json::from_slice::<Glimpse>(json).map_or(true, |glimpse| glimpse.id.is_some())
}

/// The id of an event that has none: UUIDv5 of topic, partition and offset.
fn id_of_place(record: &Record) -> EventId {
    let place = format!("{}/{}/{}", record.topic, record.partition, record.offset);
    EventId::from(Uuid::new_v5(&Uuid::NAMESPACE_OID, place.as_bytes()).to_string())
}

/// Checks the event against its tenant's catalog and finds its recipients.
pub(crate) fn check(
    record: &Record,
    tenant: TenantId,
    mut event: Event,
    catalog: Option<Arc<CompiledCatalog>>,
    now: Timestamp,
) -> Result<Inbound<'_>, Box<Reject<'_>>> {
    let reject = |event: Event, code, reason| {
        Err(Box::new(Reject {
            record,
            tenant: tenant.clone(),
            via_gateway: is_via_gateway(record),
            event: Some(event),
            unparseable: false,
            code,
            reason,
        }))
    };
    let Some(catalog) = catalog else {
        return reject(event, "unknown-tenant", "the tenant has no catalog".to_owned());
    };
    let Some((definition, _)) = catalog.lookup(&event.event_type) else {
        let reason = format!("/type: the catalog has no event type {:?}", event.event_type);
        return reject(event, "unknown-event-type", reason);
    };
    if let Err(errors) = event.resolve_recipients(&definition.recipients_from) {
        return reject(event, "recipients", reason::of(&errors));
    }
    if event.recipients.is_empty() {
        let reason = "/recipients: expected at least one recipient".to_owned();
        return reject(event, "no-recipient", reason);
    }
    if event.send_at.is_some_and(|send_at| send_at > now) {
        // Sending it early would be worse than saying no.
        return reject(
            event,
            "sendat-unsupported",
            "/sendat: scheduled sending is not available yet".to_owned(),
        );
    }
    let errors = catalog.validate_data(&event.event_type, &event.data);
    if !errors.is_empty() {
        return reject(event, "schema", reason::of(&errors));
    }
    let fingerprint = event.fingerprint();
    let repeated = take_repeated(&mut event.recipients);
    let (mut seen, named) = (HashSet::new(), event.channels.len());
    event.channels.retain(|channel| seen.insert(*channel));
    let is_wire = is_wire(record) && repeated.is_empty() && event.channels.len() == named;
    Ok(Inbound {
        record,
        tenant,
        catalog,
        event,
        fingerprint,
        repeated,
        is_wire,
    })
}

/// Takes out recipients that stood there before.
fn take_repeated(recipients: &mut Vec<Recipient>) -> Vec<Recipient> {
    if recipients.len() < 2 {
        return Vec::new();
    }
    let mut seen = HashSet::with_capacity(recipients.len());
    let (first, repeated) = recipients
        .drain(..)
        .partition(|recipient| seen.insert(recipient.distinction()));
    *recipients = first;
    repeated
}
