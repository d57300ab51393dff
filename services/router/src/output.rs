//! The records that result from a batch.

use std::sync::Arc;

use bytes::Bytes;
use carillon_bus::{BusError, OutRecord, Queue, Record, Refused, Topics, dead_letter, headers};
use carillon_domain::{
    Delivery, DeliveryStatus, EventId, StatusRecord, TenantId, Timestamp,
    dead_letter::DeadLetter,
    decide::{Decision, Decisions, not_sent},
    status::{EventDecided, EventVerdict, Origin, STATUS_VERSION, TimelineStep},
};
use carillon_runtime::telemetry;
use serde_json::value::RawValue;

use crate::{
    decide::Unsent,
    incoming::{IncomingEvent, Reject},
    members,
    origin::origin,
    parts::OutputParts,
    releases::Released,
    waits,
};

/// The approximate limits of a status record: bytes of event and decisions, so that it fits into a Kafka message, and
/// the number of decisions.
const MAX_STATUS: usize = 700 << 10;
const MAX_DECISIONS: usize = 400;
/// The number of decisions up to which their size is not counted.
const FEW_DECISIONS: usize = 50;

/// The headers that all records of an event share.
struct Origins<'a> {
    tenant: &'a str,
    /// The trace of the original record, which the new records continue.
    traceparent: Option<Bytes>,
}

impl<'a> Origins<'a> {
    fn of(from: &Record, tenant: &'a str) -> Self {
        let span = tracing::debug_span!("route", topic = %from.topic, partition = from.partition, offset = from.offset);
        let traceparent = telemetry::follow(&span, from.headers.get_str(headers::TRACEPARENT));
        Self {
            tenant,
            traceparent: traceparent.map(Bytes::from),
        }
    }

    fn record(&self, topic: Arc<str>, key: String, value: Vec<u8>) -> OutRecord {
        let mut out = OutRecord::new(topic, key, value).with(headers::TENANT, self.tenant.to_owned());
        if let Some(traceparent) = &self.traceparent {
            out.headers.push(headers::TRACEPARENT, traceparent.clone());
        }
        out
    }

    fn status(&self, topics: &Topics, status: &StatusRecord) -> OutRecord {
        self.record(topics.status(), status.record_key(), status.to_wire())
    }
}

/// Writes the records of a decided event: its deliveries, and the statuses that contain its decisions.
pub(crate) async fn decided(
    parts: &mut OutputParts<'_>,
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    via_gateway: bool,
    concluded: Decisions,
    now: Timestamp,
) -> Result<(), BusError> {
    for record in records(topics, inbound, via_gateway, concluded, now) {
        parts.push(record).await?;
    }
    Ok(())
}

/// Writes the statuses of deliveries that have waited and end without a message.
pub(crate) async fn unsent(
    parts: &mut OutputParts<'_>,
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    unsent: Vec<Unsent>,
    now: Timestamp,
) -> Result<(), BusError> {
    let Some(released) = &inbound.released else {
        return Ok(());
    };
    let origins = Origins::of(inbound.record, inbound.tenant.as_str());
    for Unsent { part, decision } in unsent {
        for status in waits::ended(released, &part, not_sent(decision.as_ref(), now)) {
            parts.push(origins.status(topics, &status)).await?;
        }
    }
    Ok(())
}

/// The topic that is known to refuse a record of [`decided`], if there is one.
pub(crate) fn too_large(
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    via_gateway: bool,
    concluded: &Decisions,
    now: Timestamp,
    refused: &mut Refused,
) -> Option<Arc<str>> {
    if refused.is_empty() {
        return None;
    }
    records(topics, inbound, via_gateway, concluded.clone(), now)
        .find(|record| refused.meets(record))
        .map(|record| record.topic)
}

/// The records of an event, generated one at a time because together they may be very large.
fn records<'a>(
    topics: &'a Topics,
    inbound: &'a IncomingEvent<'_>,
    via_gateway: bool,
    concluded: Decisions,
    now: Timestamp,
) -> impl Iterator<Item = OutRecord> + use<'a> {
    let origins = Arc::new(Origins::of(inbound.record, inbound.tenant.as_str()));
    let of_deliveries = Arc::clone(&origins);
    let deliveries = concluded.deliveries.into_iter().map(move |delivery| {
        let topic = topics.channel(delivery.channel, delivery.priority);
        of_deliveries.record(topic, delivery.record_key(), serialise(&delivery))
    });
    let members: Vec<OutRecord> = members::records(topics, inbound, &concluded.collected).collect();
    let waiting = waits::deliveries(topics, inbound, concluded.deferred);
    let mut event = raw_event(inbound);
    let bytes = event.as_ref().map_or(0, |event| event.get().len());
    let divided = in_records(concluded.decisions, bytes);
    let count = u32::try_from(divided.len()).unwrap_or(u32::MAX);
    let statuses = (0..).zip(divided).map(move |(part, some)| {
        let status = StatusRecord::EventDecided(EventDecided {
            part,
            parts: count,
            via_gateway,
            event: event.take(),
            decisions: some,
            ..status_of(inbound, EventVerdict::Routed, now)
        });
        origins.status(topics, &status)
    });
    deliveries.chain(waiting).chain(members).chain(statuses)
}

/// Divides decisions among status records, at least one; the first record also contains `event` bytes.
fn in_records(decisions: Vec<Decision>, event: usize) -> Vec<Vec<Decision>> {
    if decisions.len() <= FEW_DECISIONS {
        return vec![decisions];
    }
    let mut records = vec![Vec::new()];
    let mut bytes = event;
    for decision in decisions {
        let size = size(&decision);
        let is_full = |current: &Vec<Decision>| current.len() == MAX_DECISIONS || bytes + size > MAX_STATUS;
        if records.last().is_none_or(is_full) {
            records.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(current) = records.last_mut() {
            current.push(decision);
        }
    }
    records
}

/// The size of the decision as JSON, in bytes.
fn size(decision: &Decision) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Neither the counter nor the serialisation of strings fails.
    let _ = serde_json::to_writer(&mut counter, decision);
    counter.0
}

/// Writes the status of an event that another record has brought before.
pub(crate) async fn duplicate(
    parts: &mut OutputParts<'_>,
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    now: Timestamp,
) -> Result<(), BusError> {
    // The gateway has acknowledged the event once, with its first record; this record counts separately.
    let status = StatusRecord::EventDecided(status_of(inbound, EventVerdict::Duplicate, now));
    let origins = Origins::of(inbound.record, inbound.tenant.as_str());
    parts.push(origins.status(topics, &status)).await
}

/// Writes a record that is not a valid event to the dead letter queue, with the reason and its original bytes.
pub(crate) async fn rejected(
    parts: &mut OutputParts<'_>,
    topics: &Topics,
    reject: &Reject<'_>,
    via_gateway: bool,
    group: &str,
    now: Timestamp,
    refused: &mut Refused,
) -> Result<(), BusError> {
    let letter = DeadLetter {
        class: reject.class,
        provider: None,
        code: reject.code.to_owned(),
        reason: reject.reason.clone(),
        attempts: 1,
        first_failed_at: now,
    };
    let mut dead = dead_letter::record(topics, reject.record, Queue::Events, group, &letter);
    if refused.meets(&dead) {
        // The original bytes are in the source topic, which the headers name.
        dead.headers
            .insert(headers::TRUNCATED, reject.record.value.len().to_string());
        dead.value = Bytes::new();
    }
    parts.push(dead).await?;
    let name = reject.event.as_ref().map(|event| Name {
        id: event.id.clone(),
        source: Arc::clone(&event.source),
        event_type: Arc::clone(&event.event_type),
    });
    let status = StatusRecord::EventDecided(EventDecided {
        via_gateway,
        release: Released::of(reject.released.as_deref()),
        ..status_of_record(reject.record, &reject.tenant, name, EventVerdict::Rejected, now)
    });
    let origins = Origins::of(reject.record, reject.tenant.as_str());
    parts.push(origins.status(topics, &status)).await?;
    let why = TimelineStep {
        at: now,
        status: DeliveryStatus::Failed,
        code: Some(reject.code.to_owned()),
        detail: Some(reject.reason.clone()),
    };
    end_waiting(parts, topics, &origins, reject.released.as_deref(), &why).await
}

/// Writes the statuses of all deliveries that have waited with an event that is not decided any more.
async fn end_waiting(
    parts: &mut OutputParts<'_>,
    topics: &Topics,
    origins: &Origins<'_>,
    released: Option<&Released>,
    why: &TimelineStep,
) -> Result<(), BusError> {
    let Some(released) = released.filter(|released| released.is_first) else {
        return Ok(());
    };
    for part in released.release.content.parts() {
        for status in waits::ended(released, part, why.clone()) {
            parts.push(origins.status(topics, &status)).await?;
        }
    }
    Ok(())
}

/// Writes the status of an event that is not decided now: it waits, or was cancelled.
pub(crate) async fn undecided(
    parts: &mut OutputParts<'_>,
    topics: &Topics,
    inbound: &IncomingEvent<'_>,
    via_gateway: bool,
    verdict: EventVerdict,
    due: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), BusError> {
    let status = StatusRecord::EventDecided(EventDecided {
        via_gateway,
        due,
        user_id: waits::only_user(inbound),
        event: raw_event(inbound),
        ..status_of(inbound, verdict, now)
    });
    let origins = Origins::of(inbound.record, inbound.tenant.as_str());
    parts.push(origins.status(topics, &status)).await
}

/// The parts of an event's identity that a status names, beside the tenant.
struct Name {
    id: EventId,
    source: Arc<str>,
    event_type: Arc<str>,
}

impl Name {
    fn of(inbound: &IncomingEvent<'_>) -> Self {
        Self {
            id: inbound.event.id.clone(),
            source: Arc::clone(&inbound.event.source),
            event_type: Arc::clone(&inbound.type_name),
        }
    }

    /// The name of a record that is not an event: its position.
    fn of_position(at: &Origin) -> Self {
        Self {
            id: format!("{}/{}/{}", at.topic, at.partition, at.offset).into(),
            source: Arc::from("/"),
            event_type: Arc::from(""),
        }
    }
}

/// The status of an event, in one part, with neither the event itself nor decisions.
fn status_of(inbound: &IncomingEvent<'_>, verdict: EventVerdict, now: Timestamp) -> EventDecided {
    EventDecided {
        accepted_at: inbound.accepted_at,
        release: Released::of(inbound.released.as_deref()),
        ..status_of_record(
            inbound.record,
            &inbound.tenant,
            Some(Name::of(inbound)),
            verdict,
            now,
        )
    }
}

/// The status of a record, as [`status_of`], which counts as accepted now. Without a name, the record is not an event.
fn status_of_record(
    record: &Record,
    tenant: &TenantId,
    name: Option<Name>,
    verdict: EventVerdict,
    now: Timestamp,
) -> EventDecided {
    let origin = origin(record);
    let name = name.unwrap_or_else(|| Name::of_position(&origin));
    EventDecided {
        v: STATUS_VERSION,
        tenant: tenant.clone(),
        event_id: name.id,
        source: name.source,
        event_type: name.event_type,
        at: now,
        accepted_at: now,
        verdict,
        origin,
        part: 0,
        parts: 1,
        via_gateway: false,
        release: None,
        due: None,
        user_id: None,
        event: None,
        decisions: Vec::new(),
    }
}

/// Writes the status of a record that leads to no message, with the reason.
pub(crate) async fn skipped(
    parts: &mut OutputParts<'_>,
    topics: &Topics,
    record: &Record,
    tenant: &TenantId,
    verdict: EventVerdict,
    event: Option<(&IncomingEvent<'_>, bool)>,
    now: Timestamp,
) -> Result<(), BusError> {
    let name = event.map(|(inbound, _)| Name::of(inbound));
    let status = StatusRecord::EventDecided(EventDecided {
        via_gateway: event.is_some_and(|(_, via_gateway)| via_gateway),
        release: event.and_then(|(inbound, _)| Released::of(inbound.released.as_deref())),
        event: event.and_then(|(inbound, _)| raw_event(inbound)),
        ..status_of_record(record, tenant, name, verdict, now)
    });
    let origins = Origins::of(record, tenant.as_str());
    parts.push(origins.status(topics, &status)).await?;
    let released = event.and_then(|(inbound, _)| inbound.released.as_deref());
    end_waiting(parts, topics, &origins, released, &not_sent(None, now)).await
}

fn raw_event(inbound: &IncomingEvent<'_>) -> Option<Box<RawValue>> {
    let json = if inbound.is_wire {
        inbound.record.value.to_vec()
    } else {
        inbound.event.to_wire()
    };
    let json = String::from_utf8(json).ok()?;
    RawValue::from_string(json).ok()
}

#[expect(
    clippy::expect_used,
    reason = "strings, numbers and raw JSON always serialise"
)]
fn serialise(delivery: &Delivery) -> Vec<u8> {
    serde_json::to_vec(delivery).expect("a delivery serialises")
}
