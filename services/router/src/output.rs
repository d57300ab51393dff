//! What a batch gives rise to, as records.

use std::sync::Arc;

use bytes::Bytes;
use carillon_bus::{BusError, OutRecord, Queue, Record, Topics, dead_letter, headers};
use carillon_domain::{
    Delivery, EventId, StatusRecord, TenantId, Timestamp,
    dead_letter::DeadLetter,
    decide::{Concluded, Decision},
    status::{EventDecided, EventVerdict, Origin, STATUS_VERSION},
};
use carillon_runtime::telemetry;
use serde_json::value::RawValue;

use crate::{
    inbound::{Inbound, Reject},
    parts::Parts,
    refused::Refused,
};

/// One status record takes no more than about this many bytes of event and decisions, so that it fits a Kafka message,
/// and no more than so many decisions.
const MAX_STATUS: usize = 700 << 10;
const MAX_DECISIONS: usize = 400;
/// So few decisions are no size that has to be counted.
const FEW_DECISIONS: usize = 50;

pub(crate) fn origin(record: &Record) -> Origin {
    Origin {
        topic: Arc::clone(&record.topic),
        partition: record.partition,
        offset: record.offset,
    }
}

/// What the records of an event have in common.
struct Origins<'a> {
    tenant: &'a str,
    /// They go on in the trace of the record that they come from.
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

/// An event that was decided: its deliveries, and the record that says why.
pub(crate) async fn decided(
    parts: &mut Parts<'_>,
    topics: &Topics,
    inbound: &Inbound<'_>,
    via_gateway: bool,
    concluded: Concluded,
    now: Timestamp,
) -> Result<(), BusError> {
    for record in records(topics, inbound, via_gateway, concluded, now) {
        parts.push(record).await?;
    }
    Ok(())
}

/// The topic that would refuse a record of [`decided`], by what is known.
pub(crate) fn too_large(
    topics: &Topics,
    inbound: &Inbound<'_>,
    via_gateway: bool,
    concluded: &Concluded,
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

/// One at a time: together they may be very large.
fn records<'a>(
    topics: &'a Topics,
    inbound: &'a Inbound<'_>,
    via_gateway: bool,
    concluded: Concluded,
    now: Timestamp,
) -> impl Iterator<Item = OutRecord> + use<'a> {
    let origins = Arc::new(Origins::of(inbound.record, inbound.tenant.as_str()));
    let of_deliveries = Arc::clone(&origins);
    let deliveries = concluded.deliveries.into_iter().map(move |delivery| {
        let topic = topics.channel(delivery.channel, delivery.priority);
        of_deliveries.record(topic, delivery.record_key(), serialise(&delivery))
    });
    let mut event = raw_event(inbound);
    let bytes = event.as_ref().map_or(0, |event| event.get().len());
    let statuses = (0..)
        .zip(in_records(concluded.decisions, bytes))
        .map(move |(part, some)| {
            let status = StatusRecord::EventDecided(EventDecided {
                v: STATUS_VERSION,
                tenant: inbound.tenant.clone(),
                event_id: inbound.event.id.clone(),
                source: Arc::clone(&inbound.event.source),
                event_type: Arc::clone(&inbound.type_name),
                at: now,
                accepted_at: Some(inbound.accepted_at),
                verdict: EventVerdict::Routed,
                origin: origin(inbound.record),
                part,
                via_gateway,
                event: event.take(),
                decisions: some,
            });
            origins.status(topics, &status)
        });
    deliveries.chain(statuses)
}

/// Divides decisions among status records, of which there is at least one; the first also takes `event` bytes.
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

/// How many bytes of JSON it is.
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
    // Nothing fails: neither a counter nor strings.
    let _ = serde_json::to_writer(&mut counter, decision);
    counter.0
}

/// An event that another record had brought.
pub(crate) async fn duplicate(
    parts: &mut Parts<'_>,
    topics: &Topics,
    inbound: &Inbound<'_>,
    now: Timestamp,
) -> Result<(), BusError> {
    let status = StatusRecord::EventDecided(EventDecided {
        v: STATUS_VERSION,
        tenant: inbound.tenant.clone(),
        event_id: inbound.event.id.clone(),
        source: Arc::clone(&inbound.event.source),
        event_type: Arc::clone(&inbound.type_name),
        at: now,
        accepted_at: None,
        verdict: EventVerdict::Duplicate,
        origin: origin(inbound.record),
        part: 0,
        // The gateway acknowledged the event once, by the record that came first; this one counts for itself.
        via_gateway: false,
        event: None,
        decisions: Vec::new(),
    });
    let origins = Origins::of(inbound.record, inbound.tenant.as_str());
    parts.push(origins.status(topics, &status)).await
}

/// A record that is no event of ours: into the dead letter queue, bytes untouched, with the reason.
pub(crate) async fn rejected(
    parts: &mut Parts<'_>,
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
        // Its bytes are in the topic that it came from, as the headers say.
        dead.headers
            .insert(headers::TRUNCATED, reject.record.value.len().to_string());
        dead.value = Bytes::new();
    }
    parts.push(dead).await?;
    let at = origin(reject.record);
    let (id, source, event_type) = match &reject.event {
        Some(event) => (
            event.id.clone(),
            Arc::clone(&event.source),
            Arc::clone(&event.event_type),
        ),
        None => nameless(&at),
    };
    let status = StatusRecord::EventDecided(EventDecided {
        v: STATUS_VERSION,
        tenant: reject.tenant.clone(),
        event_id: id,
        source,
        event_type,
        at: now,
        accepted_at: None,
        verdict: EventVerdict::Rejected,
        origin: at,
        part: 0,
        via_gateway,
        event: None,
        decisions: Vec::new(),
    });
    let origins = Origins::of(reject.record, reject.tenant.as_str());
    parts.push(origins.status(topics, &status)).await
}

/// Id, source and type for a record that is not an event.
fn nameless(at: &Origin) -> (EventId, Arc<str>, Arc<str>) {
    let id = format!("{}/{}/{}", at.topic, at.partition, at.offset);
    (id.into(), Arc::from("/"), Arc::from(""))
}

/// Writes the outcome of a record that leads to no message, with the reason.
pub(crate) async fn skipped(
    parts: &mut Parts<'_>,
    topics: &Topics,
    record: &Record,
    tenant: &TenantId,
    verdict: EventVerdict,
    event: Option<(&Inbound<'_>, bool)>,
    now: Timestamp,
) -> Result<(), BusError> {
    let at = origin(record);
    let (event_id, source, event_type) = match event {
        Some((inbound, _)) => (
            inbound.event.id.clone(),
            Arc::clone(&inbound.event.source),
            Arc::clone(&inbound.type_name),
        ),
        None => nameless(&at),
    };
    let status = StatusRecord::EventDecided(EventDecided {
        v: STATUS_VERSION,
        tenant: tenant.clone(),
        event_id,
        source,
        event_type,
        at: now,
        accepted_at: None,
        verdict,
        origin: at,
        part: 0,
        via_gateway: event.is_some_and(|(_, via_gateway)| via_gateway),
        event: event.and_then(|(inbound, _)| raw_event(inbound)),
        decisions: Vec::new(),
    });
    let origins = Origins::of(record, tenant.as_str());
    parts.push(origins.status(topics, &status)).await
}

fn raw_event(inbound: &Inbound<'_>) -> Option<Box<RawValue>> {
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
