//! Waiting events and deliveries, as records for the scheduler: the event's record, unchanged, with a header that
//! describes the wait.

use std::{collections::BTreeMap, sync::Arc};

use carillon_bus::{OutRecord, Topics, headers};
use carillon_domain::{
    Delivery, StatusRecord, Timestamp, UserId,
    decide::{DeferredDelivery, Reason},
    status::{DeliveryUpdate, STATUS_VERSION, TimelineStep},
    waiting::{Release, SEND_AT, WAITING_VERSION, Waiting, WaitingContent, WaitingPart},
};
use uuid::Uuid;

use crate::{alone::alone, incoming::IncomingEvent, origin::origin, releases::Released};

/// The record of an event that waits for its `sendat`.
pub(crate) fn event(topics: &Topics, inbound: &IncomingEvent<'_>, due: Timestamp) -> OutRecord {
    let (tenant, event) = (&inbound.tenant, &inbound.event);
    let id = Waiting::id_of_event(tenant, &event.source, &event.id);
    let waiting = waiting(inbound, id, due, SEND_AT, WaitingContent::Event);
    record(topics, inbound, &waiting)
}

/// The records of deliveries that wait: one for each due time, with the reason of its first delivery. Deliveries that follow
/// others of a fallback order wait by themselves.
pub(crate) fn deliveries(
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    deferred: Vec<DeferredDelivery>,
) -> Vec<OutRecord> {
    let mut groups: BTreeMap<Timestamp, (Reason, Vec<WaitingPart>)> = BTreeMap::new();
    let (following, together): (Vec<DeferredDelivery>, Vec<DeferredDelivery>) = deferred
        .into_iter()
        .partition(|deferred| deferred.following.is_some());
    let mut records = followers(topics, inbound, &following);
    for deferred in together {
        let DeferredDelivery {
            until,
            reason,
            delivery,
            following: _,
        } = deferred;
        let (_, parts) = groups.entry(until).or_insert_with(|| (reason, Vec::new()));
        let is_of = |part: &&mut WaitingPart| {
            (part.notification_id, part.channel) == (delivery.notification_id, delivery.channel)
        };
        match parts.iter_mut().rev().find(is_of) {
            Some(part) => part.deliveries.push(delivery.delivery_id),
            None => parts.push(part(&delivery)),
        }
    }
    let each = groups.into_iter().map(|(due, (reason, parts))| {
        let (tenant, event) = (&inbound.tenant, &inbound.event);
        let former = former(inbound);
        let id = Waiting::id_of_deliveries(tenant, &event.source, &event.id, former, due);
        let content = content(inbound, parts);
        record(
            topics,
            inbound,
            &waiting(inbound, id, due, reason.into(), content),
        )
    });
    records.extend(each);
    records
}

/// The records of deliveries that follow others of a fallback order: one for each recipient and channel.
fn followers(topics: &Topics, inbound: &IncomingEvent<'_>, deferred: &[DeferredDelivery]) -> Vec<OutRecord> {
    let of = |one: &DeferredDelivery| (one.delivery.notification_id, one.delivery.channel);
    let each = deferred.chunk_by(|one, next| of(one) == of(next));
    each.filter_map(|deliveries| {
        let first = deliveries.first()?;
        let (delivery, following) = (&first.delivery, first.following.as_ref()?);
        let mut part = part(delivery);
        part.deliveries = deliveries.iter().map(|one| one.delivery.delivery_id).collect();
        part.after.clone_from(&following.after);
        let id = Waiting::id_of_fallback(delivery.notification_id, delivery.channel, former(inbound));
        let content = content(inbound, vec![part]);
        let waiting = Waiting {
            user_id: delivery.user_id.clone(),
            ..waiting(inbound, id, first.until, first.reason.into(), content)
        };
        Some(alone(topics, inbound, &following.recipient, delivery, &waiting))
    })
    .collect()
}

/// A part that consists of one delivery.
pub(crate) fn part(delivery: &Delivery) -> WaitingPart {
    WaitingPart {
        notification_id: delivery.notification_id,
        user_id: delivery.user_id.clone(),
        channel: delivery.channel,
        deliveries: vec![delivery.delivery_id],
        after: Vec::new(),
    }
}

/// The release with which the event came, if it has waited before.
pub(crate) fn former(inbound: &IncomingEvent<'_>) -> Option<Uuid> {
    inbound.released.as_ref().map(|released| released.release.id)
}

/// The content of a wait that consists of these deliveries of the event.
pub(crate) fn content(inbound: &IncomingEvent<'_>, parts: Vec<WaitingPart>) -> WaitingContent {
    let found = inbound.catalog.lookup(&inbound.type_name);
    let category = found.map_or("", |found| found.definition.category.as_str());
    WaitingContent::Deliveries {
        accepted_at: inbound.accepted_at,
        event_type: Arc::clone(&inbound.type_name),
        category: category.into(),
        parts,
    }
}

pub(crate) fn waiting(
    inbound: &IncomingEvent<'_>,
    id: Uuid,
    due: Timestamp,
    reason: &str,
    content: WaitingContent,
) -> Waiting {
    let former = inbound.released.as_ref().map(|released| &released.release);
    Waiting {
        tenant: inbound.tenant.clone(),
        event_id: inbound.event.id.clone(),
        source: Arc::clone(&inbound.event.source),
        event_type: Arc::clone(&inbound.type_name),
        user_id: only_user(inbound),
        due,
        reason: reason.into(),
        digest: None,
        release: Release {
            v: WAITING_VERSION,
            id,
            number: former.map_or(0, |former| former.number) + 1,
            origin: former.map_or_else(|| origin(inbound.record), |former| former.origin.clone()),
            written_at: former.map_or(inbound.record.timestamp, |former| former.written_at),
            content,
        },
    }
}

/// The user, if the event has one recipient, who is a known user.
pub(crate) fn only_user(inbound: &IncomingEvent<'_>) -> Option<UserId> {
    match &*inbound.event.recipients {
        [only] => only.user_id.clone(),
        _ => None,
    }
}

fn record(topics: &Topics, inbound: &IncomingEvent<'_>, waiting: &Waiting) -> OutRecord {
    let record = inbound.record;
    let mut headers = record.headers.clone();
    headers.insert(headers::WAITS, waiting.to_wire());
    OutRecord {
        topic: topics.scheduled(),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}

/// The status records of deliveries that have waited and end without a message.
pub(crate) fn ended<'a>(
    released: &'a Released,
    part: &'a WaitingPart,
    why: TimelineStep,
) -> impl Iterator<Item = StatusRecord> + 'a {
    part.deliveries.iter().filter_map(move |id| {
        let WaitingContent::Deliveries {
            accepted_at,
            event_type,
            category,
            ..
        } = &released.release.content
        else {
            return None;
        };
        Some(StatusRecord::Delivery(DeliveryUpdate {
            v: STATUS_VERSION,
            tenant: released.key.tenant.clone(),
            delivery_id: *id,
            event_id: released.key.event_id.clone(),
            source: Arc::clone(&released.key.source),
            event_type: Arc::clone(event_type),
            category: Arc::clone(category),
            user_id: part.user_id.clone(),
            channel: part.channel,
            accepted_at: *accepted_at,
            generation: 0,
            attempt: 0,
            attempts: None,
            to_masked: None,
            provider: None,
            provider_message_id: None,
            template: None,
            next_attempt_at: None,
            steps: vec![why.clone()],
        }))
    })
}
