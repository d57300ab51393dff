//! Members of digests, as records for the scheduler. A record is the event with one recipient only, and has a header
//! that names the digest and the deliveries that join it.

use std::sync::Arc;

use carillon_bus::{OutRecord, Topics};
use carillon_domain::{
    decide::CollectedDelivery,
    waiting::{DigestMembership, Waiting},
};

use crate::{
    alone::alone,
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
    Some(alone(topics, inbound, &first.recipient, delivery, &waiting))
}
