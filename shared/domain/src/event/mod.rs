//! The event, as an event source publishes it. It travels as CloudEvents 1.0 JSON; over HTTP it may also come in
//! Carillon's closed plain form.

mod binary;
mod change;
mod fields;
mod fingerprint;
mod media_type;
mod members;
mod parse;
mod recipients;
mod sound;
mod text;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{Datelike as _, SecondsFormat};
use serde_json::value::RawValue;

pub use binary::BinaryHeaders;
pub use fields::{object_error, read_time};
pub use media_type::{MediaType, Mode};
pub use recipients::{InvalidRecipient, MAX_RECIPIENTS, RecipientPlaces};
pub use sound::unsound;
pub(crate) use text::json as json_text;
pub use text::{FRAMED, first_byte, json_kind, without_mark};

use crate::{
    channel::{Channel, Priority},
    clock::{Timestamp, later},
    field_error::FieldError,
    ids::{EventId, TenantId},
    recipient::Recipient,
};

/// The largest event that is accepted, in bytes of JSON.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// The largest event that a gateway publishes, in bytes of [`Event::to_wire`]. It is larger than the accepted one,
/// because recipients are written out and defaults filled in.
pub const MAX_WIRE_BYTES: usize = 640 * 1024;

/// The longest time by which an event's `sendat` may lie in the future.
const MAX_WAIT: Duration = Duration::from_hours(365 * 24);

/// The longest time by which an event's `time` may lie in the future.
const MAX_AHEAD: Duration = Duration::from_hours(24);

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Unique within (tenant, source).
    pub id: EventId,
    /// The source; `/` if none was given.
    pub source: Arc<str>,
    /// The type in the source's terms. The catalog maps it to one of its own types.
    pub event_type: Arc<str>,
    /// The time at which it happened.
    pub time: Timestamp,
    /// The recipients that the event names; for types whose catalog names the places, filled by
    /// [`Event::resolve_recipients`].
    pub recipients: Vec<Recipient>,
    /// Where the producer wrote the recipients, for the pointers of errors. It is not part of the wire form.
    pub places: RecipientPlaces,
    /// Invalid recipients. They are not part of the wire form: the gateway refuses such an event, and the router
    /// notifies the other recipients.
    pub unusable: Vec<InvalidRecipient>,
    /// The priority; `None` leaves it to the catalog.
    pub priority: Option<Priority>,
    /// The time before which no message is sent.
    pub send_at: Option<Timestamp>,
    /// The time after which no message is sent.
    pub expires_at: Option<Timestamp>,
    /// Restricts the catalog's channels; empty means no restriction.
    pub channels: Vec<Channel>,
    /// The payload: a JSON object, kept as it was written.
    pub data: Arc<RawValue>,
    /// CloudEvents attributes that Carillon does not know, unchanged.
    pub extensions: BTreeMap<String, Arc<RawValue>>,
}

/// The attributes of CloudEvents' distributed tracing extension. They describe the request that brings an
/// event, so a client that repeats its request may send different ones.
pub const TRACE_ATTRIBUTES: [&str; 2] = ["traceparent", "tracestate"];

/// The defaults for attributes that an event lacks.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'a> {
    /// The `time` of an event that has none.
    pub now: Timestamp,
    /// The `id` of an event that has none.
    pub id: DefaultId<'a>,
}

/// The id of an event that has none.
#[derive(Debug, Clone, Copy)]
pub enum DefaultId<'a> {
    /// None: an event without an id is refused, as CloudEvents requires one.
    Required,
    /// A new one.
    Generated,
    /// The `Idempotency-Key` of the request, for a single event.
    Key(&'a str),
    /// An id derived from the request's `Idempotency-Key` and the event's position in its batch, so that a repeated
    /// request brings the same events.
    Item {
        /// The tenant of the key.
        tenant: &'a TenantId,
        /// The key.
        key: &'a str,
        /// The position in the batch, from 0.
        index: usize,
    },
    /// An id derived from the position of the record, so that a record that is read again brings the same event.
    Record {
        /// Topic, with its prefix.
        topic: &'a str,
        /// Partition.
        partition: i32,
        /// Offset.
        offset: i64,
    },
}

impl Defaults<'_> {
    /// A generated id, and this time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            now,
            id: DefaultId::Generated,
        }
    }
}

impl DefaultId<'_> {
    fn name(self) -> Option<EventId> {
        Some(match self {
            Self::Required => return None,
            Self::Generated => EventId::generate(),
            Self::Key(key) => EventId::from(key),
            Self::Item { tenant, key, index } => EventId::of_item(tenant, key, index),
            Self::Record {
                topic,
                partition,
                offset,
            } => EventId::of_record(topic, partition, offset),
        })
    }
}

impl Event {
    /// The event as CloudEvents 1.0 structured JSON, the value of `notifications.events`.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "strings, numbers and raw JSON always serialise"
    )]
    pub fn to_wire(&self) -> Vec<u8> {
        serde_json::to_vec(&fields::WireEvent::from(self)).expect("an event serialises")
    }

    /// The error of `time`, if there is one.
    #[must_use]
    pub fn time_error(&self, now: Timestamp) -> Option<FieldError> {
        time_error(self.time, now)
    }

    /// The error of `sendat`, if it is more than a year ahead.
    #[must_use]
    pub fn send_at_error(&self, now: Timestamp) -> Option<FieldError> {
        let send_at = self.send_at.filter(|send_at| *send_at > later(now, MAX_WAIT))?;
        let text = format!(
            "expected a time at most 365 days from now, not {}",
            send_at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
        );
        Some(FieldError::new("/sendat", "range", text))
    }

    /// The time until which the event waits as a whole, if it does: a `sendat` that is not past.
    #[must_use]
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.send_at.filter(|send_at| *send_at > now)
    }

    /// The record key that keeps one user's events in order: `tenant|user` for one known user, else the event id.
    #[must_use]
    pub fn record_key(&self, tenant: &TenantId) -> String {
        match self.recipients.as_slice() {
            [
                Recipient {
                    user_id: Some(user), ..
                },
            ] => format!("{tenant}|{user}"),
            _ => self.id.to_string(),
        }
    }
}

/// The error of an event's `time`, if there is one. It has to be between the year 2000 and a day from now, because
/// messages may show it.
#[must_use]
pub fn time_error(time: Timestamp, now: Timestamp) -> Option<FieldError> {
    if time.year() >= 2_000 && time <= now + MAX_AHEAD {
        return None;
    }
    let text = format!(
        "expected a time between 2000-01-01T00:00:00Z and a day from now, not {}",
        time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    );
    Some(FieldError::new("/time", "range", text))
}

#[cfg(test)]
mod tests;
