//! What a batch gives rise to, as records; in parts, if it is very much.

use std::sync::Arc;

use bytes::Bytes;
use carillon_bus::{OutRecord, Queue, Record, Topics, dead_letter, headers};
use carillon_domain::{
    Delivery, StatusRecord, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
    decide::{Concluded, Decision},
    status::{EventDecided, EventVerdict, Origin, STATUS_VERSION},
};
use serde_json::value::RawValue;

use crate::inbound::{Inbound, Reject};

/// A transaction takes no more than about this many bytes.
const MAX_PART: usize = 16 << 20;
/// One status record takes no more than about this many bytes of event and decisions, so that it fits a Kafka message,
/// and no more than so many decisions.
const MAX_STATUS: usize = 700 << 10;
const MAX_DECISIONS: usize = 400;
/// So few decisions are no size that has to be counted.
const FEW_DECISIONS: usize = 50;

/// Records in parts of at most about [`MAX_PART`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    full: Vec<Vec<OutRecord>>,
    current: Vec<OutRecord>,
    bytes: usize,
}

impl Parts {
    fn push(&mut self, record: OutRecord) {
        let size = record.size();
        if self.bytes + size > MAX_PART && !self.current.is_empty() {
            self.full.push(std::mem::take(&mut self.current));
            self.bytes = 0;
        }
        self.bytes += size;
        self.current.push(record);
    }

    /// All parts; the last one is to be committed with the offsets.
    pub(crate) fn finish(mut self) -> Vec<Vec<OutRecord>> {
        self.full.push(self.current);
        self.full
    }
}

pub(crate) fn origin(record: &Record) -> Origin {
    Origin {
        topic: Arc::clone(&record.topic),
        partition: record.partition,
        offset: record.offset,
    }
}

/// A record that goes on in the trace of the one that it came from.
fn follow(from: &Record, topic: Arc<str>, key: String, value: Vec<u8>, tenant: &str) -> OutRecord {
    let mut out = OutRecord::new(topic, key, value).with(headers::TENANT, tenant.to_owned());
    if let Some(traceparent) = from.headers.get(headers::TRACEPARENT) {
        out.headers
            .push(headers::TRACEPARENT, Bytes::copy_from_slice(traceparent));
    }
    out
}

/// An event that was decided: its deliveries, and the record that says why.
pub(crate) fn decided(
    parts: &mut Parts,
    topics: &Topics,
    inbound: &Inbound<'_>,
    via_gateway: bool,
    concluded: Concluded,
    now: Timestamp,
) {
    for delivery in &concluded.deliveries {
        let topic = topics.channel(delivery.channel, delivery.priority);
        parts.push(follow(
            inbound.record,
            topic,
            delivery.record_key(),
            serialise(delivery),
            inbound.tenant.as_str(),
        ));
    }
    let mut event = raw_event(inbound);
    let bytes = event.as_ref().map_or(0, |event| event.get().len());
    for (part, some) in (0..).zip(in_records(concluded.decisions, bytes)) {
        let status = StatusRecord::EventDecided(EventDecided {
            v: STATUS_VERSION,
            tenant: inbound.tenant.clone(),
            event_id: inbound.event.id.clone(),
            source: Arc::clone(&inbound.event.source),
            event_type: Arc::clone(&inbound.event.event_type),
            at: now,
            verdict: EventVerdict::Routed,
            origin: origin(inbound.record),
            part,
            via_gateway,
            event: event.take(),
            decisions: some,
        });
        push_status(parts, topics, inbound.record, &status, inbound.tenant.as_str());
    }
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
pub(crate) fn duplicate(parts: &mut Parts, topics: &Topics, inbound: &Inbound<'_>, now: Timestamp) {
    let status = StatusRecord::EventDecided(EventDecided {
        v: STATUS_VERSION,
        tenant: inbound.tenant.clone(),
        event_id: inbound.event.id.clone(),
        source: Arc::clone(&inbound.event.source),
        event_type: Arc::clone(&inbound.event.event_type),
        at: now,
        verdict: EventVerdict::Duplicate,
        origin: origin(inbound.record),
        part: 0,
        // The gateway acknowledged the event once, by the record that came first; this one counts for itself.
        via_gateway: false,
        event: None,
        decisions: Vec::new(),
    });
    push_status(parts, topics, inbound.record, &status, inbound.tenant.as_str());
}

/// A record that is no event of ours: into the dead letter queue, bytes untouched, with the reason.
pub(crate) fn rejected(
    parts: &mut Parts,
    topics: &Topics,
    reject: &Reject<'_>,
    via_gateway: bool,
    group: &str,
    now: Timestamp,
) {
    let class = if reject.unparseable {
        FailureClass::Unparseable
    } else {
        FailureClass::Invalid
    };
    let letter = DeadLetter {
        class,
        provider: None,
        code: reject.code.to_owned(),
        reason: reject.reason.clone(),
        attempts: 1,
        first_failed_at: now,
    };
    parts.push(dead_letter::record(
        topics,
        reject.record,
        Queue::Events,
        group,
        &letter,
    ));
    let at = origin(reject.record);
    let (id, source, event_type) = match &reject.event {
        Some(event) => (
            event.id.clone(),
            Arc::clone(&event.source),
            Arc::clone(&event.event_type),
        ),
        None => (
            format!("{}/{}/{}", at.topic, at.partition, at.offset).into(),
            Arc::from("/"),
            Arc::from(""),
        ),
    };
    let status = StatusRecord::EventDecided(EventDecided {
        v: STATUS_VERSION,
        tenant: reject.tenant.clone(),
        event_id: id,
        source,
        event_type,
        at: now,
        verdict: EventVerdict::Rejected,
        origin: at,
        part: 0,
        via_gateway,
        event: None,
        decisions: Vec::new(),
    });
    push_status(parts, topics, reject.record, &status, reject.tenant.as_str());
}

fn push_status(parts: &mut Parts, topics: &Topics, from: &Record, status: &StatusRecord, tenant: &str) {
    parts.push(follow(
        from,
        topics.status(),
        status.record_key(),
        status.to_wire(),
        tenant,
    ));
}

fn raw_event(inbound: &Inbound<'_>) -> Option<Box<RawValue>> {
    let json = String::from_utf8(inbound.event.to_wire()).ok()?;
    RawValue::from_string(json).ok()
}

#[expect(
    clippy::expect_used,
    reason = "strings, numbers and raw JSON always serialise"
)]
fn serialise(delivery: &Delivery) -> Vec<u8> {
    serde_json::to_vec(delivery).expect("a delivery serialises")
}
