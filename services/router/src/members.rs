//! Members of digests, as records for the scheduler. A record is the event for one recipient alone, with a header that names the
//! digest and the deliveries that join it.

use std::sync::Arc;

use bytes::Bytes;
use carillon_bus::{OutRecord, Topics, headers};
use carillon_domain::{
    Event,
    decide::CollectedDelivery,
    waiting::{DigestMembership, Waiting},
};

use crate::{
    incoming::IncomingEvent,
    waits::{content, former, part, waiting},
};

/// The records of collected deliveries: one for each recipient and digest. The deliveries of a recipient follow one another.
pub(crate) fn records<'a>(
    topics: &'a Topics,
    inbound: &'a IncomingEvent<'_>,
    collected: &'a [CollectedDelivery],
) -> impl Iterator<Item = OutRecord> + use<'a> {
    let of_member = |one: &CollectedDelivery| (one.digest.id, one.delivery.notification_id);
    let members = collected.chunk_by(move |one, next| of_member(one) == of_member(next));
    members.filter_map(|deliveries| record(topics, inbound, deliveries))
}

fn record(
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    deliveries: &[CollectedDelivery],
) -> Option<OutRecord> {
    let first = deliveries.first()?;
    let (digest, delivery) = (first.digest, &first.delivery);
    let plan = inbound.catalog.lookup(&inbound.type_name)?.digest?.definition;
    let mut part = part(delivery);
    part.deliveries = deliveries.iter().map(|one| one.delivery.delivery_id).collect();
    let id = Waiting::id_of_member(digest.id, delivery.notification_id, former(inbound));
    let reason: &'static str = first.reason.into();
    let content = content(inbound, vec![part]);
    let waiting = Waiting {
        user_id: delivery.user_id.clone(),
        digest: Some(DigestMembership {
            id: digest.id,
            event_type: plan.event_type.as_str().into(),
            category: Arc::clone(&delivery.category),
            channel: delivery.channel,
            recipient: first.recipient.clone(),
            max: plan.max,
        }),
        ..waiting(inbound, id, digest.window.end, reason, content)
    };
    let event = Event {
        recipients: vec![first.recipient.clone()],
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
    Some(out.with(headers::WAITS, waiting.to_wire()))
}
