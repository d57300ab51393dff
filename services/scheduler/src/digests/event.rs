//! The event by which a digest is sent.

use std::{collections::BTreeMap, sync::Arc};

use carillon_bus::{OutRecord, Topics, headers};
use carillon_domain::{
    Event, EventId, Lane, Timestamp, compiled::CompiledCatalog, digest::DIGEST_SOURCE, event::RecipientPlaces,
};
use carillon_store::{digests::LeasedDigest, outbox::OutboxRecord};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::member::{Member, outbox_record};

/// The most bytes of all items. It holds the largest event, and the digest's own event is not too large for any topic.
const MAX_BYTES: usize = 384 << 10;

/// The data of the event, which a template gets.
#[derive(Serialize)]
struct Data<'a> {
    /// The number of members, those without an item included.
    count: usize,
    /// The latest members, in the order of their events.
    items: Vec<Item<'a>>,
}

/// A member's event.
#[derive(Serialize)]
struct Item<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    time: Timestamp,
    data: &'a RawValue,
}

/// The record of the event; `None` if no member is left.
pub(super) fn record(
    topics: &Topics,
    digest: &LeasedDigest,
    catalog: Option<&CompiledCatalog>,
    members: &[&Member],
    now: Timestamp,
) -> Option<OutboxRecord> {
    if members.is_empty() {
        return None;
    }
    let membership = &digest.membership;
    let data = Data {
        count: members.len(),
        items: items(members, usize::try_from(membership.max).unwrap_or(usize::MAX)),
    };
    let data = match serde_json::value::to_raw_value(&data) {
        Ok(data) => data,
        Err(error) => {
            tracing::error!(digest = %digest.id, %error, "the items of a digest cannot be written");
            return None;
        }
    };
    let event = Event {
        id: EventId::from(digest.id.to_string()),
        source: DIGEST_SOURCE.into(),
        event_type: Arc::clone(&membership.event_type),
        time: now,
        recipients: vec![membership.recipient.clone()],
        places: RecipientPlaces::default(),
        unusable: Vec::new(),
        priority: None,
        send_at: None,
        expires_at: None,
        channels: vec![membership.channel],
        data: Arc::from(data),
        extensions: BTreeMap::new(),
    };
    let found = catalog.and_then(|catalog| catalog.lookup(&membership.event_type));
    let priority = found.and_then(|found| found.definition.priority);
    let lane: Lane = priority.unwrap_or_default();
    let record = OutRecord::new(
        topics.events(lane),
        event.record_key(&digest.tenant),
        event.to_wire(),
    )
    .with(headers::TENANT, digest.tenant.to_string())
    .with(headers::CONTENT_TYPE, "application/cloudevents+json")
    // It is the wire form, with all fields filled in.
    .with(headers::VIA, "gateway");
    Some(outbox_record(record))
}

/// The latest members whose data is known and fits, in the order of their events.
fn items<'a>(members: &[&'a Member], max: usize) -> Vec<Item<'a>> {
    let mut left = MAX_BYTES;
    let latest = members.iter().rev().filter(|member| {
        let size = member.event.data.get().len();
        let fits = member.has_data && size <= left && is_shallow(&member.event.data);
        if fits {
            left -= size;
        }
        fits
    });
    let mut items: Vec<Item<'a>> = latest
        .take(max)
        .map(|member| Item {
            event_type: &member.event_type,
            time: member.event.time,
            data: &member.event.data,
        })
        .collect();
    items.reverse();
    items
}

/// Whether data can be read as a part of an item of an event: the deepest accepted nesting leaves no room for that.
fn is_shallow(data: &RawValue) -> bool {
    let wrapped = format!("[[[[{}]]]]", data.get());
    serde_json::from_str::<Value>(&wrapped).is_ok()
}
