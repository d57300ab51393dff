//! From a record to an event, or to the reason why it is none.

use std::sync::Arc;

use carillon_bus::{Record, headers};
use carillon_domain::{
    Event, FieldError, Recipient, TenantId, Timestamp,
    compiled::CompiledCatalog,
    event::{BinaryHeaders, Defaults},
    field_error,
};

/// An event that was read from a record.
#[derive(Debug)]
pub(crate) struct Inbound<'a> {
    pub(crate) record: &'a Record,
    pub(crate) tenant: TenantId,
    /// The tenant's catalog, of the moment in which the event was checked.
    pub(crate) catalog: Arc<CompiledCatalog>,
    pub(crate) event: Event,
    /// Recipients that stand in the event more than once.
    pub(crate) repeated: Vec<Recipient>,
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

/// Whose record it is: its header's word, else the default tenant's.
pub(crate) fn tenant(record: &Record) -> TenantId {
    record
        .headers
        .get_str(headers::TENANT)
        .filter(|name| !name.is_empty())
        .map_or_else(TenantId::default, TenantId::from)
}

/// Reads the event: CloudEvents in binary mode if there are `ce_` headers, else structured JSON. (Carillon's plain form
/// is for HTTP; without an id of its own it could not be told from its repetitions here.)
pub(crate) fn parse(record: &Record, now: Timestamp) -> Result<Event, Vec<FieldError>> {
    let defaults = Defaults { now };
    let attributes: Vec<(String, String)> = record
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let attribute = name.strip_prefix("ce_")?;
            Some((attribute.to_owned(), String::from_utf8_lossy(value).into_owned()))
        })
        .collect();
    let mut event = if attributes.is_empty() {
        Event::from_cloudevent(&record.value, defaults)?
    } else {
        let content_type = record.headers.get_str(headers::CONTENT_TYPE).map(str::to_owned);
        Event::from_binary(
            &BinaryHeaders {
                attributes,
                content_type,
            },
            &record.value,
            defaults,
        )?
    };
    if record.value.len() > carillon_domain::event::MAX_EVENT_BYTES {
        return Err(vec![FieldError::new(
            "",
            "too-large",
            "expected an event of at most 256 KiB",
        )]);
    }
    // Without a time of its own, the record's makes a re-read say the same.
    if event.time == now {
        event.time = record.timestamp;
    }
    Ok(event)
}

/// Checks the event against its tenant's catalog and finds its recipients.
pub(crate) fn check(
    record: &Record,
    mut event: Event,
    catalog: Option<Arc<CompiledCatalog>>,
    now: Timestamp,
) -> Result<Inbound<'_>, Box<Reject<'_>>> {
    let tenant = tenant(record);
    let via_gateway = record.headers.get_str(headers::VIA) == Some("gateway");
    let reject = |event: Event, code, reason| {
        Err(Box::new(Reject {
            record,
            tenant: tenant.clone(),
            via_gateway,
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
        return reject(event, "recipients", field_error::join(&errors));
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
        return reject(event, "schema", field_error::join(&errors));
    }
    let repeated = take_repeated(&mut event.recipients);
    Ok(Inbound {
        record,
        tenant,
        catalog,
        event,
        repeated,
    })
}

/// Takes out recipients that stood there before.
fn take_repeated(recipients: &mut Vec<Recipient>) -> Vec<Recipient> {
    if recipients.len() < 2 {
        return Vec::new();
    }
    let mut seen = std::collections::HashSet::with_capacity(recipients.len());
    let (first, repeated) = recipients.drain(..).partition(|recipient| {
        seen.insert((
            recipient.user_id.clone(),
            recipient.email.clone(),
            recipient.phone.clone(),
        ))
    });
    *recipients = first;
    repeated
}
