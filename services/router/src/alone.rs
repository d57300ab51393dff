//! An event with one recipient only. A wait that concerns one recipient is stored without the event's other recipients.

use bytes::Bytes;
use carillon_bus::{OutRecord, Topics, headers};
use carillon_domain::{Delivery, Event, Recipient, event::RecipientPlaces, waiting::Waiting};

use crate::incoming::IncomingEvent;

/// The record of an event with this recipient only, for deliveries of it that wait.
pub(crate) fn alone(
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    recipient: &Recipient,
    delivery: &Delivery,
    waiting: &Waiting,
) -> OutRecord {
    let event = Event {
        recipients: vec![recipient.clone()],
        places: RecipientPlaces::default(),
        unusable: Vec::new(),
        ..inbound.event.clone()
    };
    let record = inbound.record;
    let mut out = OutRecord::new(topics.scheduled(), delivery.record_key(), event.to_wire())
        .with(headers::TENANT, inbound.tenant.to_string())
        .with(headers::CONTENT_TYPE, "application/cloudevents+json")
        // It is the wire form, with all fields filled in.
        .with(headers::VIA, "gateway");
    if let Some(traceparent) = record.headers.get(headers::TRACEPARENT) {
        out.headers
            .push(headers::TRACEPARENT, Bytes::copy_from_slice(traceparent));
    }
    out.with(headers::WAITS, waiting.to_wire())
}
